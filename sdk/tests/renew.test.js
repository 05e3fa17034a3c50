/**
 * `tidings-sw-renew.js` in a real Chromium: what the worker does when the browser drops or replaces a subscription. The push
 * service is a stand-in in the worker, the event is dispatched there.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchChromium, skipChromium } from "./support/browser.js";
import { openPage, SUBSCRIPTIONS } from "./support/page.js";
import { installWorkerPushService } from "./support/push.js";
import { KEY, OTHER_KEY, problem } from "./support/servers.js";

const ADA = { user: "ada", userToken: "e30.eyJzdWIiOiJhZGEifQ.c2ln", attributes: { plan: "pro" } };
/** What the worker finds after the event: a subscription that the browser made, with this key, or none. */
const FORMS = [
  { name: "dropped it", has: null },
  { name: "made a new one with the same key", has: KEY },
  { name: "made a new one with a key of the past", has: OTHER_KEY },
];

describe("tidings-sw-renew.js", { skip: skipChromium(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  /** A browser that is subscribed, and what happens to it in its worker. */
  async function open(t, { options = ADA, hook = "", subscribed = true, timeouts = "" } = {}) {
    const worker = `${timeouts}\n(${installWorkerPushService})();\n${hook}`;
    const world = await openPage(t, browser, { worker });
    if (subscribed) await world.call("subscribe", options);
    else await world.page.evaluate(() => navigator.serviceWorker.register("/tidings-sw.js").then(() => navigator.serviceWorker.ready));
    const origin = world.site.origin;
    const target = await browser.waitForTarget((one) => one.type() === "service_worker" && one.url().startsWith(origin));
    const attached = await target.worker();
    return {
      ...world,
      worker: attached,
      /** The browser replaces what it had by `has`, and tells the worker. */
      change: (has, permission = "granted") =>
        attached.evaluate(
          async (key, permission) => {
            self.push.made += 1;
            self.push.current = key && { number: self.push.made, key };
            Object.defineProperty(Notification, "permission", { get: () => permission });
            const event = new ExtendableEvent("pushsubscriptionchange");
            const work = [];
            event.waitUntil = (promise) => work.push(promise);
            dispatchEvent(event);
            await Promise.all(work);
          },
          has && has.key,
          permission,
        ),
      workerCalls: () => attached.evaluate(() => self.push.calls),
      kept: () =>
        world.page.evaluate(async () => {
          const opening = indexedDB.open("tidings", 1);
          await new Promise((resolve) => (opening.onsuccess = resolve));
          const request = opening.result.transaction("subscriptions").objectStore("subscriptions").getAll();
          await new Promise((resolve) => (request.onsuccess = resolve));
          opening.result.close();
          return request.result[0];
        }),
    };
  }

  for (const { name, has } of FORMS) {
    test(`registers anew where the browser ${name}, and ends the old one`, async (t) => {
      const world = await open(t);
      await world.change(has);
      const renewed = world.posted()[1];
      const { api, scope, saved, told, ...kept } = await world.kept();
      assert.deepEqual(kept, { id: "sub_2", token: "token of sub_2", endpoint: renewed.endpoint, vapidKey: KEY });
      assert.notEqual(renewed.endpoint, world.posted()[0].endpoint);
      assert.equal(renewed.vapid_key, KEY.id);
      assert.deepEqual(renewed.attributes, { plan: "pro" });
      for (const member of ["locale", "timezone", "encodings"]) {
        assert.deepEqual(renewed[member], world.posted()[0][member], member);
      }
      assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
      const calls = { null: ["subscribe"], [KEY.id]: [], [OTHER_KEY.id]: ["unsubscribe", "subscribe"] };
      assert.deepEqual(await world.workerCalls(), calls[has?.id ?? null]);
    });
  }

  test("takes the server's key of today", async (t) => {
    const world = await open(t);
    world.tidings.key = OTHER_KEY;
    await world.change(null);
    assert.equal(world.posted()[1].vapid_key, OTHER_KEY.id);
    assert.deepEqual((await world.kept()).vapidKey, OTHER_KEY);
  });

  test("tells open pages", async (t) => {
    const world = await open(t);
    await world.change(null);
    await eventually("a change", async () => (await world.changes()).length === 2);
  });

  test("names the person with a fresh proof by the site's hook", async (t) => {
    const world = await open(t, { hook: `self.tidings.userToken = async () => "fresh";` });
    await world.change(null);
    assert.equal(world.posted()[1].user_token, "fresh");
    assert.equal(world.posted()[1].user, "ada", "a proof of somebody else is to be refused");
    assert.equal((await world.kept()).user, "ada");
  });

  test("names again whom the server believed without proof", async (t) => {
    const world = await open(t, { options: { user: "ada" } });
    await world.change(null);
    assert.equal(world.posted()[1].user, "ada");
    assert.equal((await world.kept()).user, "ada");
  });

  for (const [name, hook] of [
    ["there is no hook", ""],
    ["the hook fails", `self.tidings.userToken = async () => { throw new Error("no"); };`],
    ["the hook knows of nobody", `self.tidings.userToken = () => null;`],
  ]) {
    test(`is nobody's where ${name}, until the next page`, async (t) => {
      const world = await open(t, { hook });
      await world.change(null);
      assert.equal("user" in world.posted()[1] || "user_token" in world.posted()[1], false);
      assert.equal((await world.kept()).user, undefined);
    });
  }

  test("does not ask the hook for somebody who was never named", async (t) => {
    const world = await open(t, { options: {}, hook: `self.asked = 0; self.tidings.userToken = () => "t" + ++self.asked;` });
    await world.change(null);
    assert.equal(world.posted().length, 2);
    assert.equal(await world.worker.evaluate(() => self.asked), 0);
  });

  test("does nothing for what is as it was", async (t) => {
    const world = await open(t);
    await world.worker.evaluate((endpoint) => {
      self.push.made = Number(endpoint.split("/").at(-1)) - 1;
    }, world.posted()[0].endpoint);
    await world.change(KEY);
    assert.equal(world.posted().length, 1);
    assert.deepEqual(world.deleted(), []);
  });

  test("does nothing for another push system's", async (t) => {
    const world = await open(t, { subscribed: false });
    await world.change(OTHER_KEY);
    assert.deepEqual(world.posted(), []);
    assert.deepEqual(await world.workerCalls(), []);
  });

  for (const [name, change] of [
    ["a logout that the page has begun", { leaving: true }],
    ["the subscription of another worker", { scope: "https://site.example/elsewhere/" }],
  ]) {
    test(`does nothing for ${name}`, async (t) => {
      const world = await open(t);
      await world.page.evaluate(async (change) => {
        const opening = indexedDB.open("tidings", 1);
        await new Promise((resolve) => (opening.onsuccess = resolve));
        const store = opening.result.transaction("subscriptions", "readwrite").objectStore("subscriptions");
        const cursor = store.openCursor();
        cursor.onsuccess = () => cursor.result.update({ ...cursor.result.value, ...change });
        await new Promise((resolve) => (store.transaction.oncomplete = resolve));
        opening.result.close();
      }, change);
      await world.change(null);
      assert.equal(world.posted().length, 1);
      assert.deepEqual(await world.workerCalls(), []);
    });
  }

  test("does nothing without the permission", async (t) => {
    const world = await open(t);
    await world.change(null, "denied");
    assert.equal(world.posted().length, 1);
    assert.deepEqual(await world.workerCalls(), []);
  });

  for (const [name, break_] of [
    ["the server is away", (world) => (world.tidings.answers["GET /vapid-public-key"] = "drop")],
    ["the server refuses", (world) => (world.tidings.answers["POST /subscriptions"] = problem(429, "Slow down"))],
    ["the push service is away", (world) => world.worker.evaluate(() => void self.push.plans.push("AbortError"))],
  ]) {
    test(`leaves the repair to the next page where ${name}`, async (t) => {
      const world = await open(t);
      await break_(world);
      await world.change(null);
      assert.deepEqual(world.deleted(), []);
      assert.equal((await world.kept()).id, "sub_1");
      world.tidings.answers = {};
      await world.page.evaluate(() => localStorage.setItem("test push service", '{ "made": 70 }'));
      await world.load();
      const { subscription } = await world.call("sync", ADA);
      assert.equal(subscription.endpoint, "https://push.example/71");
      assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
    });
  }

  test("does not hold the page up where the browser hangs", async (t) => {
    // Ten times as fast as in life.
    const timeouts = `{ const { setTimeout } = self; self.setTimeout = (act, ms) => setTimeout(act, ms / 10); }`;
    const world = await open(t, { timeouts });
    await world.worker.evaluate(() => void self.push.plans.push("hang"));
    await world.change(null);
    assert.equal(world.posted().length, 1);
    assert.equal((await world.call("sync")).state, "subscribed");
  });
});
