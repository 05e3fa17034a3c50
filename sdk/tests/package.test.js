/** What `npm pack` makes, in a project of somebody else's. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SDK = fileURLToPath(new URL("..", import.meta.url));
const TSC = join(SDK, "node_modules/.bin/tsc");
const run = promisify(execFile);

const PAGE = `
import { Tidings, TidingsError, type Receipt, type State, type TidingsErrorCode } from "tidings-sdk";
import { softPrompt, type PromptResult } from "tidings-sdk/tidings-prompt.js";

const tidings = new Tidings({
  server: "https://tidings.example",
  app: "default",
  serviceWorker: navigator.serviceWorker.ready,
  timeoutMs: 5_000,
  permissionTimeoutMs: 60_000,
});
tidings.addEventListener("change", ({ detail }) => {
  const state: State = detail;
  if (state.subscription) console.log(state.subscription.id, state.subscription.user?.length, state.subscription.vapidKey.key);
});
tidings.addEventListener("receipt", (event) => {
  const { event: what, message, action, notification, data }: Receipt = event.detail;
  console.log(what satisfies "shown" | "clicked" | "dismissed", message, action?.length, notification?.title, data);
});
export async function all(): Promise<PromptResult> {
  const userToken = async () => (await fetch("/push-token")).text();
  await tidings.sync({ user: "ada", userToken });
  await tidings.sync({ user: null });
  const attributes = { plan: "pro", seats: 3, trial: false, topics: ["news"] };
  const { state } = await tidings.subscribe({ attributes, user: "ada", userToken: "a.b.c", locale: "de", timezone: "Europe/Berlin" });
  console.log(state satisfies "unsupported" | "needs-install" | "denied" | "prompt" | "subscribed");
  await tidings.logout({ attributes: { edition: "north" } });
  await tidings.unsubscribe();
  try {
    await tidings.test();
  } catch (error) {
    if (error instanceof TidingsError) console.log(error.code satisfies TidingsErrorCode, error.problem?.detail);
  }
  // @ts-expect-error attributes are flat
  await tidings.subscribe({ attributes: { address: { city: "Berlin" } } });
  // @ts-expect-error there is no such option
  await tidings.subscribe({ usr: "ada" });
  // @ts-expect-error there is no such event detail
  tidings.addEventListener("receipt", ({ detail }) => detail.proof);
  return softPrompt(tidings, {
    texts: { title: "Parcels?", body: "We tell you when yours moves.", accept: "Yes", later: "No", failed: "No luck." },
    install: { title: "Install", body: "Like this", steps: ["Tap"], close: "Fine" },
    subscribe: { attributes },
    laterForDays: 7,
    force: true,
  });
}
`;
const WORKER = `
import type { Content, Hooks } from "tidings-sdk/tidings-sw.js";

declare const self: ServiceWorkerGlobalScope & { tidings: Hooks };

self.tidings.onData = async (data: { price: number }, event: PushEvent): Promise<Content> => {
  event.waitUntil(Promise.resolve());
  return { title: "Price " + data.price, navigate: "/prices", actions: [{ action: "buy", title: "Buy", navigate: "/buy" }] };
};
self.tidings.fallback = { title: "The Daily", body: "There is news." };
self.tidings.userToken = async () => (await fetch("/push-token")).text();
// @ts-expect-error a title is text
self.tidings.onData = () => ({ title: 7 });
`;
const SERVER = `
import assert from "node:assert/strict";
import { Tidings, TidingsError } from "tidings-sdk";
import { softPrompt } from "tidings-sdk/tidings-prompt.js";

const tidings = new Tidings({ server: "/push" });
assert.equal((await tidings.state()).state, "unsupported");
assert.equal((await tidings.sync()).state, "unsupported");
assert.equal((await tidings.logout()).state, "unsupported");
assert.equal((await softPrompt(tidings)).outcome, "not-asked");
await assert.rejects(tidings.subscribe(), (error) => error instanceof TidingsError && error.code === "unsupported");
`;

describe("npm package", { timeout: 120_000 }, () => {
  let project;

  before(async () => {
    project = await mkdtemp(join(tmpdir(), "tidings-sdk-"));
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", project], { cwd: SDK });
    const [{ filename }] = JSON.parse(stdout);
    await writeFile(join(project, "package.json"), '{ "name": "site", "private": true, "type": "module" }');
    const offline = ["--offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    await run("npm", ["install", ...offline, `./${filename}`], { cwd: project });
  });
  after(() => project && rm(project, { recursive: true, force: true }));

  const installed = (path) => join(project, "node_modules/tidings-sdk", path);

  test("holds the files, their types, the licences, and nothing else", async () => {
    const { stdout } = await run("npm", ["pack", "--json", "--dry-run"], { cwd: SDK });
    const [{ files }] = JSON.parse(stdout);
    assert.deepEqual(files.map(({ path }) => path).sort(), [
      "LICENSE-APACHE",
      "LICENSE-MIT",
      "README.md",
      "package.json",
      "tidings-calls.js",
      "tidings-prompt.d.ts",
      "tidings-prompt.js",
      "tidings-sw-renew.js",
      "tidings-sw.d.ts",
      "tidings-sw.js",
      "tidings.d.ts",
      "tidings.js",
    ]);
  });

  test("has what its package.json promises, and depends on nothing", async () => {
    const manifest = JSON.parse(await readFile(installed("package.json"), "utf8"));
    assert.equal(manifest.dependencies, undefined);
    const promised = Object.values(manifest.exports).flatMap((target) => (typeof target === "string" ? target : Object.values(target)));
    for (const path of [...promised, ...manifest.sideEffects, manifest.types]) await readFile(installed(path));
  });

  test("has workers to be copied", async () => {
    for (const name of ["tidings-sw.js", "tidings-sw-renew.js"]) {
      assert.equal(await readFile(installed(name), "utf8"), await readFile(join(SDK, name), "utf8"));
    }
  });

  for (const [name, source, lib, module] of [
    ["page", PAGE, ["es2022", "dom"], "nodenext"],
    ["page that is bundled", PAGE, ["es2022", "dom"], "preserve"],
    ["worker", WORKER, ["es2022", "webworker"], "nodenext"],
    ["worker's hooks beside a page", `export type { Hooks } from "tidings-sdk/tidings-sw.js";`, ["es2022", "dom"], "nodenext"],
  ]) {
    test(`types a ${name} strictly`, async () => {
      const folder = join(project, name.replace(/\W/g, "-"));
      await mkdir(folder);
      await writeFile(join(folder, "index.ts"), source);
      const compilerOptions = { strict: true, noEmit: true, target: "es2022", module, lib, types: [], skipLibCheck: false };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["index.ts"] }));
      await run(TSC, ["-p", folder]).catch(({ stdout }) => assert.fail(stdout));
    });
  }

  test("can be imported, and used, where pages are rendered", async () => {
    await writeFile(join(project, "server.js"), SERVER);
    await run(process.execPath, ["server.js"], { cwd: project, timeout: 20_000 });
  });
});
