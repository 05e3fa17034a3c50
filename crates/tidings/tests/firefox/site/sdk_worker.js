importScripts("{{tidings}}/sdk/tidings-sw.js");
