/** What the files promise without any browser. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const read = (path) => readFile(new URL(`../${path}`, import.meta.url), "utf8");

/** What each may import: the page's module is split in two, and nothing else comes from anywhere. */
const IMPORTS = {
  "tidings.js": ["./tidings-calls.js"],
  "tidings-calls.js": [],
  "tidings-prompt.js": [],
  "tidings-sw.js": [],
  "tidings-sw-renew.js": [],
};

for (const [path, imports] of Object.entries(IMPORTS)) {
  test(`${path} is smaller than 5 KB, comments and all`, async () => {
    const { length } = gzipSync(await read(path), { level: 9 });
    assert.ok(length < 5_000, `${length} bytes`);
  });

  test(`${path} imports ${imports.join(" and ") || "nothing"}`, async () => {
    const script = await read(path);
    assert.deepEqual(Array.from(script.matchAll(/^(?:import|}) .*from "(.*)"/gm), ([, from]) => from), imports);
    assert.doesNotMatch(script.replace(/\/\*[^]*?\*\//g, ""), /\bimport\(|^\s*importScripts\(/m);
  });
}

test("page and workers create the same stores", async () => {
  const scripts = await Promise.all(["tidings-calls.js", "tidings-sw.js", "tidings-sw-renew.js"].map(read));
  const [page, ...workers] = scripts.map((script) => ({
    open: script.match(/indexedDB\.open\(.*?\)/)[0],
    stores: script.match(/\["subscriptions".*?\]/)[0],
    options: script.match(/createObjectStore\(\w+, (.*?)\)/)[1],
  }));
  for (const worker of workers) assert.deepEqual(worker, page);
});

test("the licences are the project's", async () => {
  for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) assert.equal(await read(name), await read(`../${name}`));
});

test("the demo has no inline script or style", async () => {
  const html = await read("demo/index.html");
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
});

test("the lock file names no registry", async () => {
  assert.doesNotMatch(await read("package-lock.json"), /"resolved"/);
});
