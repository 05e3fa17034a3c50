/** `tidings.js` in a page of another origin than the server's, in a real Chromium; only the push service is a stand-in. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchChromium, setNotifications, skipChromium } from "./support/browser.js";
import { openPage, SUBSCRIPTIONS } from "./support/page.js";
import { KEY, OTHER_KEY, problem } from "./support/servers.js";

describe("tidings.js", { skip: skipChromium(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  const open = (t, options) => openPage(t, browser, options);

  describe("state()", () => {
    test("is prompt before anybody was asked, and touches nothing", async (t) => {
      const world = await open(t, { permission: "prompt" });
      assert.deepEqual(await world.call("state"), { state: "prompt", reason: "Nobody was asked yet." });
      assert.deepEqual(
        world.tidings.requests.map(({ path }) => path),
        ["/sdk/tidings.js", "/sdk/tidings-calls.js"],
      );
      assert.equal(await world.page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
    });

    test("is prompt where notifications are allowed but not subscribed", async (t) => {
      const world = await open(t);
      assert.deepEqual(await world.call("state"), { state: "prompt", reason: "Allowed, but not subscribed." });
    });

    test("is denied where the person blocked notifications", async (t) => {
      const world = await open(t, { permission: "denied" });
      const { state, reason } = await world.call("state");
      assert.equal(state, "denied");
      assert.match(reason, /settings/);
    });

    test("is unsupported where the browser has no push", async (t) => {
      const world = await open(t, { script: () => delete window.PushManager });
      assert.equal((await world.call("state")).state, "unsupported");
    });

    test("is unsupported on an insecure page, and says so", async (t) => {
      const script = () => Object.defineProperty(window, "isSecureContext", { value: false });
      const world = await open(t, { script });
      const { state, reason } = await world.call("state");
      assert.equal(state, "unsupported");
      assert.match(reason, /https/);
    });

    test("is unsupported in a sandboxed frame, and says so", async (t) => {
      const world = await open(t, { headers: () => ({ "Content-Security-Policy": "sandbox allow-scripts" }) });
      const { state, reason } = await world.call("state");
      assert.equal(state, "unsupported");
      assert.match(reason, /sandboxed/);
      assert.equal((await world.call("subscribe")).error.code, "unsupported");
      assert.equal((await world.call("sync")).state, "unsupported");
    });

    test("is needs-install in a browser on iOS", async (t) => {
      const script = () => {
        delete window.PushManager;
        delete window.Notification;
        Object.defineProperty(navigator, "standalone", { value: false });
      };
      const world = await open(t, { script });
      const { state, reason } = await world.call("state");
      assert.equal(state, "needs-install");
      assert.match(reason, /home screen/);
    });

    test("is unsupported on an iOS too old for push, although installed", async (t) => {
      const script = () => {
        delete window.PushManager;
        Object.defineProperty(navigator, "standalone", { value: true });
      };
      const world = await open(t, { script });
      assert.equal((await world.call("state")).state, "unsupported");
    });

    test("is subscribed also after a reload", async (t) => {
      const world = await open(t);
      const subscribed = await world.call("subscribe");
      assert.equal(subscribed.state, "subscribed");
      await world.load();
      assert.deepEqual(await world.call("state"), subscribed);
    });
  });

  describe("subscribe()", () => {
    test("hands the server the subscription and keeps the answer", async (t) => {
      const world = await open(t);
      const state = await world.call("subscribe", { attributes: { plan: "pro" }, user: "ada", userToken: "a.b.c" });
      assert.deepEqual(state, {
        state: "subscribed",
        reason: "This browser is subscribed.",
        subscription: { id: "sub_1", endpoint: "https://push.example/1", vapidKey: KEY, user: "ada" },
      });
      const surroundings = await world.page.evaluate(() => ({
        locale: navigator.language,
        timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
        encodings: PushManager.supportedContentEncodings,
      }));
      assert.deepEqual(world.posted(), [
        {
          endpoint: "https://push.example/1",
          expirationTime: null,
          keys: { p256dh: "p256dh 1", auth: "auth 1" },
          attributes: { plan: "pro" },
          user: "ada",
          user_token: "a.b.c",
          vapid_key: "key_1",
          ...surroundings,
        },
      ]);
      assert.deepEqual(await world.page.evaluate(() => window.changes), ["subscribed"]);
    });

    test("asks for permission before it waits for anything", async (t) => {
      const script = () => {
        Notification.requestPermission = () => {
          window.asked = true;
          return new Promise(() => {});
        };
      };
      const world = await open(t, { permission: "prompt", script });
      const askedAtOnce = await world.page.evaluate(() => {
        window.tidings.subscribe().catch(() => {});
        return window.asked;
      });
      assert.equal(askedAtOnce, true);
    });

    test("takes the permission from a callback", async (t) => {
      const script = () => {
        Notification.requestPermission = (callback) => void setTimeout(callback, 0, "granted");
      };
      const world = await open(t, { script });
      assert.equal((await world.call("subscribe")).state, "subscribed");
    });

    test("does not ask again where the person said no", async (t) => {
      const script = () => {
        window.asked = 0;
        Notification.requestPermission = async () => void (window.asked += 1);
      };
      const world = await open(t, { permission: "denied", script });
      const { error } = await world.call("subscribe");
      assert.equal(error.name, "TidingsError");
      assert.equal(error.code, "denied");
      assert.equal(await world.page.evaluate(() => window.asked), 0);
    });

    for (const [answer, code] of [
      ["denied", "denied"],
      ["default", "dismissed"],
    ]) {
      test(`says ${code} where the answer is ${answer}, and subscribes nobody`, async (t) => {
        const world = await open(t, { permission: "prompt" });
        await world.page.evaluate((answer) => (Notification.requestPermission = async () => answer), answer);
        assert.equal((await world.call("subscribe")).error.code, code);
        assert.deepEqual(await world.pushCalls(), []);
      });
    }

    test("gives up a permission prompt that never closes", async (t) => {
      const script = () => (Notification.requestPermission = () => new Promise(() => {}));
      const world = await open(t, { permission: "prompt", script, options: { permissionTimeoutMs: 100 } });
      const { error } = await world.call("subscribe");
      assert.equal(error.code, "timeout");
      assert.match(error.message, /asking for permission/);
    });

    test("tries again where the browser loses the first call", async (t) => {
      const world = await open(t, { plans: ["hang"], options: { timeoutMs: 2_000 } });
      assert.equal((await world.call("subscribe")).state, "subscribed");
      assert.deepEqual(await world.pushCalls(), ["subscribe", "subscribe"]);
    });

    test("gives up a browser that never answers", async (t) => {
      const world = await open(t, { plans: ["hang", "hang"], options: { timeoutMs: 2_000 } });
      const { error } = await world.call("subscribe");
      assert.equal(error.code, "timeout");
      assert.match(error.message, /subscribing/);
      assert.deepEqual(await world.pushCalls(), ["subscribe", "subscribe"]);
      assert.deepEqual(world.posted(), []);
    });

    test("says what to do where the push service cannot be reached", async (t) => {
      const world = await open(t, { plans: ["AbortError"] });
      const { error } = await world.call("subscribe");
      assert.equal(error.code, "push-service");
      assert.match(error.message, /network.*as planned/);
    });

    test("says denied where the browser allows notifications but not push", async (t) => {
      const world = await open(t, { plans: ["NotAllowedError"] });
      assert.equal((await world.call("subscribe")).error.code, "denied");
    });

    test("replaces a subscription that has another key", async (t) => {
      const world = await open(t);
      world.tidings.key = OTHER_KEY;
      await world.call("subscribe");
      world.tidings.key = KEY;
      const { subscription } = await world.call("subscribe");
      assert.deepEqual(subscription, { id: "sub_2", endpoint: "https://push.example/2", vapidKey: KEY });
      assert.deepEqual(await world.pushCalls(), ["subscribe", "unsubscribe", "subscribe"]);
      assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
    });

    test("takes a new endpoint where the server has this one with other keys", async (t) => {
      const world = await open(t);
      let conflicts = 0;
      world.tidings.answers["POST /subscriptions"] = () => {
        conflicts += 1;
        delete world.tidings.answers["POST /subscriptions"];
        return problem(409, "Endpoint taken", undefined, "urn:tidings:problem:endpoint-taken");
      };
      const { subscription } = await world.call("subscribe");
      assert.equal(conflicts, 1);
      assert.equal(subscription.endpoint, "https://push.example/2");
      assert.deepEqual(await world.pushCalls(), ["subscribe", "unsubscribe", "subscribe"]);
    });

    test("hands on the server's problem document", async (t) => {
      const world = await open(t);
      world.tidings.answers["POST /subscriptions"] = problem(422, "Bad attribute", "“plan” must be text.");
      const { error } = await world.call("subscribe");
      assert.equal(error.code, "refused");
      assert.equal(error.message, "Bad attribute: “plan” must be text.");
      assert.equal(error.problem.status, 422);
      assert.equal((await world.call("state")).state, "prompt");
    });

    test("understands a refusal that is no problem document", async (t) => {
      const world = await open(t);
      world.tidings.answers["POST /subscriptions"] = { status: 502, body: "<html>Bad Gateway</html>" };
      const { error } = await world.call("subscribe");
      assert.equal(error.code, "refused");
      assert.equal(error.message, "Status 502");
    });

    const UNUSABLE = [
      { name: "drops the connection", answer: "drop", code: "unreachable" },
      { name: "never answers", answer: "hang", code: "timeout" },
      { name: "answers with a web page", answer: { body: "<!doctype html>" }, code: "unreachable" },
      { name: "answers with no key", answer: { body: "{}" }, code: "unreachable" },
      { name: "answers with nothing", answer: { body: "" }, code: "unreachable" },
      { name: "answers with a key that is no base64url", answer: { body: '{"key":"§"}' }, code: "unreachable" },
      { name: "answers with a key of another size", answer: { body: '{"key":"BAAB"}' }, code: "unreachable" },
    ];
    for (const { name, answer, code } of UNUSABLE) {
      test(`says ${code} where the server ${name}`, async (t) => {
        const world = await open(t, { options: { timeoutMs: 2_000 } });
        world.tidings.answers["GET /vapid-public-key"] = answer;
        const { error } = await world.call("subscribe");
        assert.equal(error.name, "TidingsError");
        assert.equal(error.code, code);
      });
    }

    test("says unreachable where the server takes it without an id", async (t) => {
      const world = await open(t);
      world.tidings.answers["POST /subscriptions"] = { status: 201, body: "" };
      assert.equal((await world.call("subscribe")).error.code, "unreachable");
    });

    test("keeps its endpoint where the server refuses for another reason", async (t) => {
      const world = await open(t);
      const type = "urn:tidings:problem:too-many-subscriptions";
      world.tidings.answers["POST /subscriptions"] = problem(409, "Too many", undefined, type);
      assert.equal((await world.call("subscribe")).error.problem.type, type);
      assert.deepEqual(await world.pushCalls(), ["subscribe"]);
    });

    test("says worker where the service worker does not start", async (t) => {
      const world = await open(t, { options: { serviceWorker: "/broken-sw.js" } });
      assert.equal((await world.call("subscribe")).error.code, "worker");
    });

    test("works with a registration of the site's own", async (t) => {
      const world = await open(t);
      const state = await world.page.evaluate(async (server) => {
        const { Tidings } = await import(`${server}/sdk/tidings.js`);
        const serviceWorker = navigator.serviceWorker.register("/tidings-sw.js");
        return new Tidings({ serviceWorker }).subscribe();
      }, world.tidings.origin);
      assert.equal(state.state, "subscribed");
    });

    test("works without IndexedDB", async (t) => {
      const script = () => {
        IDBFactory.prototype.open = () => {
          throw new DOMException("No storage here.", "SecurityError");
        };
      };
      const world = await open(t, { script });
      assert.equal((await world.call("subscribe")).state, "subscribed");
      assert.equal((await world.call("unsubscribe")).state, "prompt");
      assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
    });
  });

  describe("sync()", () => {
    test("does nothing for a subscription that is as it was", async (t) => {
      const world = await open(t);
      const subscribed = await world.call("subscribe", { attributes: { plan: "pro" } });
      await world.load();
      assert.deepEqual(await world.call("sync"), subscribed);
      assert.deepEqual(await world.call("sync", { attributes: { plan: "pro" } }), subscribed);
      assert.equal(world.posted().length, 1);
      assert.deepEqual(await world.page.evaluate(() => window.changes), []);
    });

    test("subscribes nobody who was not subscribed", async (t) => {
      const world = await open(t);
      assert.equal((await world.call("sync")).state, "prompt");
      assert.deepEqual(await world.pushCalls(), []);
      assert.deepEqual(world.posted(), []);
    });

    test("replaces a subscription that the browser lost", async (t) => {
      const world = await open(t);
      await world.call("subscribe", { attributes: { plan: "pro" } });
      await world.page.evaluate(() => localStorage.setItem("test push service", '{ "made": 1 }'));
      await world.load();
      assert.equal((await world.call("state")).state, "prompt");
      const { state, subscription } = await world.call("sync");
      assert.equal(state, "subscribed");
      assert.equal(subscription.id, "sub_2");
      assert.deepEqual(world.posted()[1].attributes, { plan: "pro" });
      assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
      assert.deepEqual(await world.page.evaluate(() => window.changes), ["subscribed"]);
    });

    test("renews a subscription when the server has another key", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      world.tidings.key = OTHER_KEY;
      await world.load();
      const { subscription } = await world.call("sync");
      assert.deepEqual(subscription.vapidKey, OTHER_KEY);
      assert.deepEqual(await world.pushCalls(), ["unsubscribe", "subscribe"]);
    });

    test("finishes a renewal that the push service interrupted", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      world.tidings.key = OTHER_KEY;
      await world.load();
      await world.page.evaluate(() => window.push.plans.push("AbortError"));
      assert.equal((await world.call("sync")).error.code, "push-service");
      assert.deepEqual(world.deleted(), [], "the server keeps the old one until there is a new one");
      await world.load();
      assert.equal((await world.call("sync")).state, "subscribed");
      assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
    });

    test("leaves a subscription alone that is another push system's", async (t) => {
      const world = await open(t);
      await world.page.evaluate(async () => {
        await navigator.serviceWorker.register("/tidings-sw.js");
        const registration = await navigator.serviceWorker.ready;
        await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: new Uint8Array(65).fill(4) });
      });
      assert.equal((await world.call("sync")).state, "prompt");
      await world.call("unsubscribe");
      assert.deepEqual(await world.pushCalls(), ["subscribe"]);
      assert.deepEqual(world.posted(), []);
    });

    test("takes up a subscription with our key that it forgot", async (t) => {
      const world = await open(t);
      const subscribed = await world.call("subscribe");
      await world.page.evaluate(
        () => new Promise((resolve) => (indexedDB.deleteDatabase("tidings").onsuccess = resolve)),
      );
      await world.load();
      assert.equal((await world.call("state")).state, "prompt");
      assert.deepEqual(await world.call("sync"), subscribed);
      assert.deepEqual(await world.pushCalls(), []);
    });

    test("tells the server when attributes, or the time zone, change", async (t) => {
      const world = await open(t);
      await world.call("subscribe", { attributes: { plan: "free" } });
      await world.call("sync", { attributes: { plan: "pro" } });
      assert.deepEqual(world.posted()[1].attributes, { plan: "pro" });
      await world.page.emulateTimezone("Pacific/Auckland");
      await world.load();
      await world.call("sync");
      assert.equal(world.posted()[2].timezone, "Pacific/Auckland");
      assert.deepEqual(world.posted()[2].attributes, { plan: "pro" });
    });

    test("tells the server again after a day", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      await world.page.evaluate(() => {
        const { now } = Date;
        Date.now = () => now() + 25 * 60 * 60 * 1000;
      });
      await world.call("sync");
      assert.equal(world.posted().length, 2);
    });

    test("names the user only where the page does", async (t) => {
      const world = await open(t);
      await world.call("subscribe", { user: "ada", userToken: "a.b.c" });
      await world.page.evaluate(() => {
        const { now } = Date;
        Date.now = () => now() + 25 * 60 * 60 * 1000;
      });
      await world.call("sync");
      assert.equal("user" in world.posted()[1], false, "a proof that has expired would be refused");
    });

    test("two pages at once renew once", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      world.tidings.key = OTHER_KEY;
      await world.load();
      const ids = await world.page.evaluate(async (server) => {
        const { Tidings } = await import(`${server}/sdk/tidings.js`);
        const states = await Promise.all([new Tidings().sync(), new Tidings().sync()]);
        return states.map(({ subscription }) => subscription.id);
      }, world.tidings.origin);
      assert.deepEqual(ids, ["sub_2", "sub_2"]);
      assert.deepEqual(await world.pushCalls(), ["unsubscribe", "subscribe"]);
    });

    test("waits where the permission is gone", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      await setNotifications(browser, world.site.origin, "denied");
      await world.load();
      assert.equal((await world.call("sync")).state, "denied");
      assert.equal(world.posted().length, 1);
    });
  });

  describe("unsubscribe()", () => {
    test("ends it in the browser and on the server", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      assert.equal((await world.call("unsubscribe")).state, "prompt");
      assert.deepEqual(await world.pushCalls(), ["subscribe", "unsubscribe"]);
      const [request] = await world.tidings.received("DELETE", `${SUBSCRIPTIONS}/sub_1`);
      assert.equal(request.headers.authorization, "Bearer token of sub_1");
      assert.deepEqual(await world.page.evaluate(() => window.changes), ["subscribed", "prompt"]);
      assert.equal((await world.call("sync")).state, "prompt", "nothing brings it back");
    });

    test("ends it in the browser although the server is away", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      world.tidings.answers["DELETE /sub_1"] = "drop";
      assert.equal((await world.call("unsubscribe")).state, "prompt");
    });

    for (const [name, script] of [
      ["an unsupported browser", () => delete window.PushManager],
      ["a browser without service workers", () => delete Navigator.prototype.serviceWorker],
    ]) {
      test(`says so in ${name}`, async (t) => {
        const world = await open(t, { script });
        assert.equal((await world.call("unsubscribe")).state, "unsupported");
      });
    }
  });

  describe("test()", () => {
    test("asks with the subscription's token", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      assert.equal(await world.call("test"), undefined);
      const [request] = await world.tidings.received("POST", `${SUBSCRIPTIONS}/sub_1/test`);
      assert.equal(request.headers.authorization, "Bearer token of sub_1");
    });

    test("says not-subscribed before", async (t) => {
      const world = await open(t);
      assert.equal((await world.call("test")).error.code, "not-subscribed");
    });

    test("hands on that it was too soon", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      world.tidings.answers["POST /test"] = problem(429, "Too many tests", "Wait 7 s.");
      const { error } = await world.call("test");
      assert.equal(error.message, "Too many tests: Wait 7 s.");
      assert.equal(error.problem.status, 429);
    });
  });

  test("dispatches the receipts that the worker reports", async (t) => {
    const world = await open(t);
    await world.call("subscribe");
    const told = { message: "msg_1", subscription: "sub_1", event: "clicked", action: "track", at: "2026-01-01T00:00:00Z" };
    await world.page.evaluate(() => {
      window.receipts = [];
      window.tidings.addEventListener("receipt", ({ detail }) => window.receipts.push(detail));
    });
    const target = await browser.waitForTarget(
      (one) => one.type() === "service_worker" && one.url().startsWith(world.site.origin),
    );
    const worker = await target.worker();
    await worker.evaluate(async (told) => {
      const windows = await clients.matchAll({ includeUncontrolled: true });
      for (const client of windows) client.postMessage("something of the site's own");
      for (const client of windows) client.postMessage({ tidings: told });
    }, told);
    await eventually("a receipt", () => world.page.evaluate(() => window.receipts.length));
    assert.deepEqual(await world.page.evaluate(() => window.receipts), [told]);
  });

  test("talks to the application and the server it is given", async (t) => {
    const world = await open(t, { options: { app: "north/west", serviceWorker: "/tidings-sw.js" } });
    await world.call("subscribe");
    await world.tidings.received("POST", "/v1/apps/north%2Fwest/subscriptions");
  });
});
