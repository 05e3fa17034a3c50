/**
 * The service worker in a real Firefox, for what it does otherwise than Chromium: it reports a notification that was
 * replaced, or closed by a script, as closed. A push service is not needed for that, so the pushes are dispatched in the
 * worker.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchFirefox, skipFirefox } from "./support/browser.js";
import { startSite, startTidings } from "./support/servers.js";

const RECEIPTS = "/v1/apps/default/receipts";
/** In the site's worker: takes payloads from the page, and tells the site of every notification that closes. */
const WORKER = `
  self.addEventListener("message", async ({ data, ports }) => {
    const work = [];
    const event = new PushEvent("push", data === null ? {} : { data });
    event.waitUntil = (promise) => work.push(promise);
    self.dispatchEvent(event);
    await Promise.all(work);
    const all = await self.registration.getNotifications();
    ports[0].postMessage(all.map(({ title, body, silent }) => ({ title, body, silent })));
  });
  self.addEventListener("notificationclose", ({ notification }) => {
    fetch("/closed/" + notification.data.tidings.message);
  });
`;

describe("service worker in Firefox", { skip: skipFirefox(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchFirefox();
  });
  after(() => browser?.close());

  async function open(t) {
    const tidings = await startTidings();
    const site = await startSite(tidings, WORKER);
    const page = await browser.newPage();
    t.after(async () => {
      await page.close();
      await Promise.all([site.close(), tidings.close()]);
    });
    await page.goto(site.origin);
    await page.evaluate(async () => {
      await navigator.serviceWorker.register("/tidings-sw.js");
      await navigator.serviceWorker.ready;
    });
    return {
      site,
      tidings,
      notification(message, members = {}) {
        const data = { tidings: { message, subscription: "sub_1", proof: "proof", receipts: tidings.origin + RECEIPTS } };
        return { web_push: 8030, notification: { title: message, navigate: site.origin, data, ...members } };
      },
      /** Answers with what is on screen afterwards. */
      push: (payload) =>
        page.evaluate(
          async (data) => {
            const { active } = await navigator.serviceWorker.ready;
            const { port1, port2 } = new MessageChannel();
            const answer = new Promise((resolve) => (port1.onmessage = (event) => resolve(event.data)));
            active.postMessage(data, [port2]);
            return answer;
          },
          typeof payload === "object" && payload ? JSON.stringify(payload) : payload,
        ),
      onScreen: () =>
        page.evaluate(async () => {
          const registration = await navigator.serviceWorker.ready;
          return (await registration.getNotifications()).map(({ title }) => title);
        }),
      closeAll: () =>
        page.evaluate(async () => {
          const registration = await navigator.serviceWorker.ready;
          for (const notification of await registration.getNotifications()) notification.close();
        }),
      receipts: () =>
        tidings.requests
          .filter(({ path }) => path === RECEIPTS)
          .flatMap(({ body }) => JSON.parse(body))
          .map(({ message, event }) => `${message} ${event}`),
    };
  }

  const PAYLOADS = [null, "", "{", "null", "Dinner is ready", { title: "Dinner" }, { tidings: {}, data: 1 }];
  test("shows something for every payload", async (t) => {
    const world = await open(t);
    for (const payload of PAYLOADS) {
      assert.equal((await world.push(payload)).length, 1, JSON.stringify(payload));
      await world.closeAll();
      await eventually("an empty screen", async () => (await world.onScreen()).length === 0);
    }
  });

  test("does not count a replaced message as dismissed", async (t) => {
    const world = await open(t);
    await world.push(world.notification("msg_1", { tag: "score" }));
    const [{ title }] = await world.push(world.notification("msg_2", { tag: "score" }));
    assert.equal(title, "msg_2");
    await world.site.received("GET", "/closed/msg_1");
    // A landmark: what the closing would have sent went out before.
    await world.push(world.notification("msg_3"));
    assert.deepEqual(world.receipts(), ["msg_1 shown", "msg_2 shown", "msg_3 shown"]);
  });

  test("does not count a repeated message as dismissed", async (t) => {
    const world = await open(t);
    const push = world.notification("msg_1");
    await world.push(push);
    const screen = await world.push(push);
    assert.deepEqual(screen, [{ title: "msg_1", body: "", silent: true }]);
    await world.site.received("GET", "/closed/msg_1");
    await world.push(world.notification("msg_2"));
    assert.deepEqual(world.receipts(), ["msg_1 shown", "msg_2 shown"]);
  });

  test("counts a dismissal, and closes at once what is repeated after it", async (t) => {
    const world = await open(t);
    const push = world.notification("msg_1");
    await world.push(push);
    await world.closeAll();
    await eventually("a dismissal", () => world.receipts().length === 2);
    assert.deepEqual(world.receipts(), ["msg_1 shown", "msg_1 dismissed"]);
    await world.push(push);
    await eventually("an empty screen", async () => (await world.onScreen()).length === 0);
    await world.push(world.notification("msg_2"));
    assert.deepEqual(world.receipts(), ["msg_1 shown", "msg_1 dismissed", "msg_2 shown"]);
  });
});
