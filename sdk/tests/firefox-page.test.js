/**
 * The SDK in a page of a real Firefox: what depends on the browser's own databases, locks, channels and dialogs. The push
 * service is a stand-in; the whole way with Firefox's own is tested where the server is.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchFirefox, skipFirefox } from "./support/browser.js";
import { openPage, SUBSCRIPTIONS } from "./support/page.js";
import { promptIn } from "./support/prompt.js";
import { installWorkerPushService } from "./support/push.js";
import { OTHER_KEY } from "./support/servers.js";

const ADA = { user: "ada", userToken: "e30.eyJzdWIiOiJhZGEifQ.c2ln", attributes: { plan: "pro" } };
/** In the site's worker: the page has it told that its subscription changed. */
const WORKER = `
  (${installWorkerPushService})();
  self.addEventListener("message", async ({ ports }) => {
    const work = [];
    const event = new ExtendableEvent("pushsubscriptionchange");
    event.waitUntil = (promise) => work.push(promise);
    self.dispatchEvent(event);
    await Promise.all(work);
    ports[0].postMessage(self.push.calls);
  });
`;

describe("page in Firefox", { skip: skipFirefox(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchFirefox();
  });
  after(() => browser?.close());

  const open = (t, settings) => openPage(t, browser, { permission: null, ...settings });

  test("subscribes, renews with another key, logs out and unsubscribes, and other pages hear of it", async (t) => {
    const world = await open(t);
    const other = await world.another();
    assert.equal((await world.call("state")).state, "prompt");
    assert.equal((await world.call("subscribe", ADA)).subscription.user, "ada");
    await eventually("subscribed there", async () => (await other.changes()).at(-1) === "subscribed");
    world.tidings.key = OTHER_KEY;
    await world.load();
    assert.deepEqual((await world.call("sync", ADA)).subscription.vapidKey, OTHER_KEY);
    await world.call("logout");
    assert.deepEqual(JSON.parse(world.patched()[0].body), { user: null, attributes: {} });
    assert.equal((await other.call("state")).subscription.user, undefined);
    assert.equal((await world.call("unsubscribe")).state, "prompt");
    await eventually("unsubscribed there", async () => (await other.changes()).at(-1) === "prompt");
    assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`, `${SUBSCRIPTIONS}/sub_2`]);
  });

  test("gives its subscription up where a logout cannot be told", async (t) => {
    const world = await open(t);
    await world.call("subscribe", ADA);
    world.tidings.answers["PATCH /sub_1"] = "drop";
    assert.equal((await world.call("logout")).state, "prompt");
    assert.equal((await world.call("sync")).subscription.id, "sub_2");
    assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
  });

  test("the worker renews what the browser dropped", async (t) => {
    const world = await open(t, { worker: WORKER });
    await world.call("subscribe", ADA);
    const calls = await world.page.evaluate(async () => {
      const { active } = await navigator.serviceWorker.ready;
      const { port1, port2 } = new MessageChannel();
      const answer = new Promise((resolve) => (port1.onmessage = (event) => resolve(event.data)));
      active.postMessage(null, [port2]);
      return answer;
    });
    assert.deepEqual(calls, ["subscribe"]);
    assert.deepEqual(world.posted()[1].attributes, { plan: "pro" });
    assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
    await eventually("a change", async () => (await world.changes()).length === 2);
  });

  test("the soft prompt begins at its title, goes by Escape, and gives the focus back", async (t) => {
    const world = await open(t);
    const prompt = promptIn(world);
    await world.page.evaluate(() => {
      const button = document.createElement("button");
      button.id = "opener";
      document.body.append(button);
      button.focus();
    });
    const result = await prompt.ask();
    assert.equal(await prompt.focused(), "title");
    await world.page.keyboard.press("Tab");
    assert.equal(await prompt.focused(), "accept");
    await world.page.keyboard.press("Escape");
    assert.equal((await result()).outcome, "later");
    assert.equal(await world.page.evaluate(() => document.activeElement.id), "opener");
    assert.match((await prompt.refuse()).reason, /asked already/);
  });

  test("the soft prompt subscribes by the keyboard", async (t) => {
    const world = await open(t);
    const prompt = promptIn(world);
    const result = await prompt.ask({ subscribe: { attributes: { plan: "pro" } } });
    await world.page.keyboard.press("Tab");
    await world.page.keyboard.press("Enter");
    assert.equal((await result()).outcome, "subscribed");
    assert.deepEqual(world.posted()[0].attributes, { plan: "pro" });
  });
});
