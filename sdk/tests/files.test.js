/** What the files promise without any browser. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const read = (path) => readFile(new URL(`../${path}`, import.meta.url), "utf8");

for (const path of ["tidings.js", "tidings-sw.js"]) {
  test(`${path} is smaller than 5 KB, comments and all`, async () => {
    const { length } = gzipSync(await read(path), { level: 9 });
    assert.ok(length < 5_000, `${length} bytes`);
  });

  test(`${path} imports nothing`, async () => {
    assert.doesNotMatch(await read(path), /^import |\bimport\(|^\s*importScripts\(/m);
  });
}

test("page and worker create the same stores", async () => {
  const [page, worker] = await Promise.all(["tidings.js", "tidings-sw.js"].map(read));
  const database = (script) => ({
    open: script.match(/indexedDB\.open\(.*?\)/)[0],
    stores: script.match(/\["subscriptions".*?\]/)[0],
    options: script.match(/createObjectStore\(\w+, (.*?)\)/)[1],
  });
  assert.deepEqual(database(page), database(worker));
});

test("the demo has no inline script or style", async () => {
  const html = await read("demo/index.html");
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
});

test("the lock file names no registry", async () => {
  assert.doesNotMatch(await read("package-lock.json"), /"resolved"/);
});
