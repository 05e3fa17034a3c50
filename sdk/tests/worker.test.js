/**
 * The service worker in a real Chromium. A page on one origin imports it from another, as most sites do; pushes come over
 * CDP. A person's clicks cannot be made that way: those events are dispatched in the worker, where opening a window, which
 * wants a real click, is recorded instead.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchChromium, setNotifications, skipChromium } from "./support/browser.js";
import { startSite, startTidings } from "./support/servers.js";

const RECEIPTS = "/v1/apps/default/receipts";

describe("service worker", { skip: skipChromium(), timeout: 300_000 }, () => {
  let browser;
  let messages = 0;

  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  async function attach(origin) {
    const target = await browser.waitForTarget((one) => one.type() === "service_worker" && one.url().startsWith(origin));
    return target.worker();
  }

  /** A fresh site whose worker is installed; `script` is what the site's own worker says besides the import. */
  async function open(t, script, { attached = true } = {}) {
    const tidings = await startTidings();
    const site = await startSite(tidings, script);
    await setNotifications(browser, site.origin, "granted");
    const page = await browser.newPage();
    t.after(async () => {
      await page.close();
      await Promise.all([site.close(), tidings.close()]);
    });
    await page.goto(site.origin);
    const cdp = await page.createCDPSession();
    const registered = new Promise((resolve) => {
      cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
        const found = registrations.find(({ scopeURL }) => scopeURL === `${site.origin}/`);
        if (found) resolve(found.registrationId);
      });
    });
    await cdp.send("ServiceWorker.enable");
    await page.evaluate(async () => {
      window.told = [];
      navigator.serviceWorker.onmessage = ({ data }) => window.told.push(data.tidings);
      await navigator.serviceWorker.register("/tidings-sw.js");
      await navigator.serviceWorker.ready;
    });
    const registrationId = await registered;
    const worker = attached ? await attach(site.origin) : undefined;
    await worker?.evaluate(() => {
      self.log = [];
      const { showNotification } = ServiceWorkerRegistration.prototype;
      ServiceWorkerRegistration.prototype.showNotification = async function (title, options = {}) {
        await showNotification.call(this, title, options);
        self.log.push({ title, silent: options.silent ?? false, tag: options.tag, renotify: options.renotify ?? false });
      };
      self.clients.openWindow = async (url) => void self.log.push({ opened: url });
      WindowClient.prototype.focus = async function () {
        self.log.push({ focused: this.url });
      };
    });

    const stopped = () =>
      new Promise((resolve) => {
        cdp.on("ServiceWorker.workerVersionUpdated", ({ versions }) => {
          const ours = versions.find(({ scriptURL }) => scriptURL.startsWith(site.origin));
          if (ours?.runningStatus === "stopped") resolve();
        });
      });

    const world = {
      tidings,
      site,
      page,
      worker,
      push: (payload) =>
        cdp.send("ServiceWorker.deliverPushMessage", {
          origin: site.origin,
          registrationId,
          data: typeof payload === "string" ? payload : JSON.stringify(payload),
        }),
      /** Ends the worker as browsers do after some idle time. One that is attached would wait for its debugger then. */
      async stop() {
        const stop = stopped();
        await cdp.send("ServiceWorker.stopAllWorkers");
        await stop;
      },
      onScreen: () =>
        worker.evaluate(async () => {
          const all = await registration.getNotifications();
          return all.map(({ title, body, tag, data, silent, icon, requireInteraction, actions, renotify }) => {
            return { title, body, tag, data, silent, icon, requireInteraction, actions: [...actions], renotify };
          });
        }),
      shows: async () => (await worker.evaluate(() => self.log)).filter(({ title }) => title),
      opened: async () => (await worker.evaluate(() => self.log)).filter(({ title }) => !title),
      /** What a person's click or dismissal does to the only notification on screen. */
      interact: (type, action = "") =>
        worker.evaluate(
          async (type, action) => {
            const [notification] = await registration.getNotifications();
            const event = new NotificationEvent(type, { notification, action });
            const work = [];
            event.waitUntil = (promise) => work.push(promise);
            if (type === "notificationclose") notification.close();
            dispatchEvent(event);
            await Promise.all(work);
          },
          type,
          action,
        ),
      /** All receipts that the server got, once there are `count`. */
      async receipts(count) {
        return eventually(`${count} receipts`, () => {
          const got = tidings.requests.filter(({ path }) => path === RECEIPTS).flatMap(({ body }) => JSON.parse(body));
          return got.length >= count && got;
        });
      },
      /** The envelope that the server puts into every message. */
      envelope() {
        messages += 1;
        const message = `msg_${String(messages).padStart(6, "0")}`;
        return { message, subscription: "sub_1", proof: `proof of ${message}`, receipts: tidings.origin + RECEIPTS };
      },
      notification(members = {}) {
        const { data, ...rest } = members;
        const notification = {
          title: "Parcel delivered",
          body: "Left with a neighbour",
          navigate: `${site.origin}/parcel/17`,
          data: { ...data, tidings: world.envelope() },
          mutable: true,
          ...rest,
        };
        return { web_push: 8030, notification, mutable: true };
      },
    };
    return world;
  }

  /**
   * The notification of a push, once it is on screen. Chromium forgets one that is asked for (`getNotifications()`) while it
   * is being shown, so that is not asked before.
   */
  async function appears(world, title) {
    await eventually(`“${title}” shown`, async () => (await world.shows()).find((one) => one.title === title));
    return (await world.onScreen()).find((one) => one.title === title);
  }

  test("shows a declarative message with all its members and reports it", async (t) => {
    const world = await open(t);
    const push = world.notification({
      icon: "/icon.png",
      tag: "parcel-17",
      requireInteraction: true,
      renotify: true,
      data: { order: 17 },
      actions: [{ action: "track", title: "Track", navigate: `${world.site.origin}/track` }],
    });
    await world.push(push);
    const [receipt] = await world.receipts(1);
    const { at, ...rest } = receipt;
    const { message, subscription, proof } = push.notification.data.tidings;
    assert.deepEqual(rest, { message, subscription, proof, event: "shown" });
    assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

    const [shown] = await world.onScreen();
    assert.equal(shown.title, "Parcel delivered");
    assert.equal(shown.body, "Left with a neighbour");
    assert.equal(shown.tag, "parcel-17");
    assert.equal(shown.icon, `${world.site.origin}/icon.png`);
    assert.equal(shown.requireInteraction, true);
    assert.equal(shown.renotify, true);
    assert.equal(shown.actions[0].title, "Track");
    assert.equal(shown.data.order, 17);
  });

  test("sends receipts without a preflight and without cookies", async (t) => {
    const world = await open(t);
    await world.push(world.notification());
    const [{ headers }] = await world.tidings.received("POST", RECEIPTS);
    assert.equal(headers["content-type"], "text/plain");
    assert.equal(headers.origin, world.site.origin);
    assert.equal(headers.cookie, undefined);
    assert.deepEqual(
      world.tidings.requests.filter(({ method }) => method === "OPTIONS"),
      [],
    );
  });

  test("shows although a page is visible, and tells it what", async (t) => {
    const world = await open(t);
    assert.equal(await world.page.evaluate(() => document.visibilityState), "visible");
    const push = world.notification({ tag: "parcel-17", data: { order: 17 } });
    await world.push(push);
    await appears(world, "Parcel delivered");
    await world.page.waitForFunction(() => window.told.length === 1);
    const [{ at, notification, ...told }] = await world.page.evaluate(() => window.told);
    const { message, subscription } = push.notification.data.tidings;
    assert.deepEqual(told, { message, subscription, event: "shown" });
    const { title, body, tag, navigate, data } = notification;
    assert.deepEqual({ title, body, tag, navigate }, {
      title: "Parcel delivered",
      body: "Left with a neighbour",
      tag: "parcel-17",
      navigate: `${world.site.origin}/parcel/17`,
    });
    assert.deepEqual(data, { order: 17 }, "no proof");
  });

  test("tells pages of a repeated message once, and of a click without what it said", async (t) => {
    const world = await open(t);
    const push = world.notification();
    await world.push(push);
    await world.receipts(1);
    await world.push(push);
    await eventually("a second display", async () => (await world.shows()).length === 2);
    await world.interact("notificationclick");
    await world.receipts(2);
    await world.page.waitForFunction(() => window.told.length === 2);
    const [, clicked] = await world.page.evaluate(() => window.told);
    assert.deepEqual(Object.keys(clicked).sort(), ["at", "event", "message", "subscription"]);
    assert.equal(clicked.event, "clicked");
  });

  test("tells pages the data that the site's back end sent", async (t) => {
    const world = await open(t, `self.tidings.onData = ({ price }) => ({ title: "Price " + price });`);
    await world.push({ tidings: world.envelope(), data: { price: 3 } });
    await world.page.waitForFunction(() => window.told.length === 1);
    const [{ data, notification }] = await world.page.evaluate(() => window.told);
    assert.deepEqual([data, notification.title], [{ price: 3 }, "Price 3"]);
  });

  test("reports although what was shown cannot be told to pages", async (t) => {
    const world = await open(t, `self.tidings.onData = () => ({ title: "Price", format: () => "a function" });`);
    await world.push({ tidings: world.envelope(), data: { price: 3 } });
    assert.equal((await world.receipts(1))[0].event, "shown");
  });

  test("shows without the icon where that cannot be loaded", async (t) => {
    const world = await open(t);
    const gone = await startTidings();
    await gone.close();
    const images = { icon: `${gone.origin}/icon.png`, image: `${gone.origin}/image.png`, badge: `${gone.origin}/badge.png` };
    await world.push(world.notification(images));
    assert.equal((await appears(world, "Parcel delivered")).body, "Left with a neighbour");
    await world.receipts(1);
  });

  test("gives a message without a tag one of its own", async (t) => {
    const world = await open(t);
    await world.push(world.notification());
    await world.push(world.notification());
    await world.receipts(2);
    assert.equal((await world.onScreen()).length, 2);
  });

  test("lets the later of two messages with one tag stay", async (t) => {
    const world = await open(t);
    await Promise.all([
      world.push(world.notification({ tag: "score", title: "1 : 0" })),
      world.push(world.notification({ tag: "score", title: "2 : 0" })),
    ]);
    await world.receipts(2);
    assert.deepEqual(
      (await world.onScreen()).map(({ title }) => title),
      ["2 : 0"],
    );
  });

  test("lets the later of two messages with one tag stay, although the first takes longer", async (t) => {
    const world = await open(
      t,
      `self.tidings.onData = async (data) => {
        self.begun = true;
        await new Promise((resolve) => (self.finish = resolve));
        return { title: data.score, tag: "score" };
      };`,
    );
    await world.push({ tidings: world.envelope(), data: { score: "1 : 0" } });
    await eventually("the first", () => world.worker.evaluate(() => self.begun));
    await world.push(world.notification({ tag: "score", title: "2 : 0" }));
    await world.worker.evaluate(() => setTimeout(self.finish, 300));
    await world.receipts(2);
    assert.deepEqual(
      (await world.shows()).map(({ title }) => title),
      ["1 : 0", "2 : 0"],
    );
  });

  const UNREADABLE = [
    { name: "no payload", payload: "" },
    { name: "broken JSON", payload: '{"web_push":8030,"notifi' },
    { name: "binary data", payload: "\u0000\u0001\u0002" },
    { name: "markup", payload: "<html>502 Bad Gateway</html>" },
    { name: "JSON null", payload: "null" },
    { name: "a number", payload: "42" },
    { name: "a list", payload: "[1,2]" },
    { name: "a declarative message without a title", payload: { web_push: 8030, notification: { body: "x" } } },
    { name: "a title that is no text", payload: { web_push: 8030, notification: { title: { a: 1 } } } },
    { name: "data without a hook", payload: { tidings: { message: "msg_x" }, data: { price: 3 } } },
    { name: "an envelope that is no object", payload: { tidings: 7, data: null } },
  ];
  for (const { name, payload } of UNREADABLE) {
    test(`shows something for ${name}`, async (t) => {
      const world = await open(t);
      await world.push(payload);
      const shown = await appears(world, "localhost");
      assert.equal(shown.body, "There is something new.");
    });
  }

  const GUESSED = [
    { name: "a plain sentence", payload: "Dinner is ready", title: "localhost", body: "Dinner is ready" },
    { name: "a JSON string", payload: '"Dinner is ready"', title: "localhost", body: "Dinner is ready" },
    { name: "exact bytes with a title", payload: { title: "Dinner", body: "is ready" }, title: "Dinner", body: "is ready" },
    {
      name: "a later version",
      payload: { web_push: 9000, notification: { title: "Dinner", body: "is ready" } },
      title: "Dinner",
      body: "is ready",
    },
    {
      name: "data with a title",
      payload: { tidings: { message: "msg_y" }, data: { title: "Dinner", body: "is ready" } },
      title: "Dinner",
      body: "is ready",
    },
  ];
  for (const { name, payload, title, body } of GUESSED) {
    test(`shows what ${name} says`, async (t) => {
      const world = await open(t);
      await world.push(payload);
      assert.equal((await appears(world, title)).body, body);
    });
  }

  test("shows the site's own fallback", async (t) => {
    const world = await open(t, `self.tidings.fallback = { title: "The Daily", body: "News", navigate: "/news" };`);
    await world.push("");
    assert.equal((await appears(world, "The Daily")).body, "News");
    await world.interact("notificationclick");
    assert.deepEqual(await world.opened(), [{ opened: `${world.site.origin}/news` }]);
  });

  test("keeps silence, although it comes with a vibration", async (t) => {
    const world = await open(t);
    await world.push(world.notification({ silent: true, vibrate: [200], icon: "/icon.png" }));
    const shown = await appears(world, "Parcel delivered");
    assert.equal(shown.silent, true);
    assert.equal(shown.icon, `${world.site.origin}/icon.png`, "nothing else of it is lost");
  });

  test("renews attention for a message without a tag", async (t) => {
    const world = await open(t);
    await world.push(world.notification({ renotify: true, tag: "", icon: "/icon.png" }));
    const shown = await appears(world, "Parcel delivered");
    assert.equal(shown.renotify, true);
    assert.equal(shown.icon, `${world.site.origin}/icon.png`, "nothing else of it is lost");
  });

  test("shows exact bytes that renew attention without a tag", async (t) => {
    const world = await open(t);
    await world.push({ title: "Dinner", renotify: true, icon: "/icon.png" });
    const shown = await appears(world, "Dinner");
    assert.equal(shown.icon, `${world.site.origin}/icon.png`, "nothing else of it is lost");
  });

  const OFFENSIVE = [
    { name: "a direction that does not exist", members: { dir: "up" } },
    { name: "actions that are no list", members: { actions: { action: "a" } } },
    { name: "actions that are nothing", members: { actions: [null] } },
    { name: "an icon that is no address", members: { icon: "http://[", image: 7 } },
    { name: "a time that is no time", members: { timestamp: "yesterday" } },
  ];
  for (const { name, members } of OFFENSIVE) {
    test(`shows a message with ${name}`, async (t) => {
      const world = await open(t);
      const push = world.notification(members);
      await world.push(push);
      const shown = await appears(world, "Parcel delivered");
      assert.equal(shown.body, "Left with a neighbour");
      const [receipt] = await world.receipts(1);
      assert.equal(receipt.message, push.notification.data.tidings.message);
    });
  }

  test("replaces a repeated message on screen without a sound and reports it once", async (t) => {
    const world = await open(t);
    const push = world.notification({ tag: "parcel-17", renotify: true, vibrate: [200] });
    await world.push(push);
    await world.receipts(1);
    await world.push(push);
    await eventually("a second display", async () => (await world.shows()).length === 2);
    const [, second] = await world.shows();
    assert.deepEqual(second, { title: "Parcel delivered", silent: true, tag: "parcel-17", renotify: false });
    const screen = await world.onScreen();
    assert.equal(screen.length, 1);
    // A third message is a landmark: whatever the repetition wanted to send went out before.
    await world.push(world.notification());
    assert.equal((await world.receipts(2)).length, 2);
    await world.interact("notificationclick");
  });

  test("a repeated message still opens and counts when it is clicked", async (t) => {
    const world = await open(t);
    const push = world.notification();
    await world.push(push);
    await world.receipts(1);
    await world.push(push);
    await eventually("a second display", async () => (await world.shows()).length === 2);
    await world.interact("notificationclick");
    assert.deepEqual(await world.opened(), [{ opened: `${world.site.origin}/parcel/17` }]);
    const events = (await world.receipts(2)).map(({ event }) => event);
    assert.deepEqual(events, ["shown", "clicked"]);
  });

  test("shows a repeated message that was dismissed silently and closes it at once", async (t) => {
    const world = await open(t);
    const push = world.notification({ tag: "parcel-17" });
    await world.push(push);
    await world.receipts(1);
    await world.interact("notificationclose");
    await world.receipts(2);
    await world.push(push);
    await eventually("a second display", async () => (await world.shows()).length === 2);
    assert.equal((await world.shows())[1].silent, true);
    await eventually("an empty screen", async () => (await world.onScreen()).length === 0);
    const events = (await world.receipts(2)).map(({ event }) => event);
    assert.deepEqual(events, ["shown", "dismissed"]);
  });

  test("a repeated message leaves another one with its tag alone", async (t) => {
    const world = await open(t);
    const first = world.notification({ tag: "score", title: "1 : 0" });
    await world.push(first);
    await world.receipts(1);
    await world.push(world.notification({ tag: "score", title: "2 : 0" }));
    await world.receipts(2);
    await world.push(first);
    await eventually("a third display", async () => (await world.shows()).length === 3);
    await eventually("only the later one", async () => {
      const titles = (await world.onScreen()).map(({ title }) => title);
      return titles.length === 1 && titles[0] === "2 : 0";
    });
  });

  test("recognises a repeated message after the worker was stopped", async (t) => {
    const world = await open(t, "", { attached: false });
    const push = world.notification();
    await world.push(push);
    await world.receipts(1);
    await world.page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      for (const one of await registration.getNotifications()) one.close();
    });
    await world.stop();
    await world.push(push);
    const landmark = world.notification({ title: "Landmark" });
    await world.push(landmark);
    const receipts = await world.receipts(2);
    assert.deepEqual(
      receipts.map(({ message }) => message),
      [push, landmark].map(({ notification }) => notification.data.tidings.message),
    );
    const titles = await world.page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      return (await registration.getNotifications()).map(({ title }) => title);
    });
    assert.deepEqual(titles, ["Landmark"]);
  });

  test("a click closes, opens the address and counts, but not as dismissed", async (t) => {
    const world = await open(t);
    const push = world.notification();
    await world.push(push);
    await world.receipts(1);
    // Firefox reports a notification that the worker closed as closed.
    await world.worker.evaluate(async () => {
      const [notification] = await registration.getNotifications();
      const work = [];
      for (const type of ["notificationclick", "notificationclose"]) {
        const event = new NotificationEvent(type, { notification });
        event.waitUntil = (promise) => work.push(promise);
        dispatchEvent(event);
      }
      await Promise.all(work);
    });
    assert.deepEqual(await world.opened(), [{ opened: `${world.site.origin}/parcel/17` }]);
    assert.deepEqual(await world.onScreen(), []);
    const receipts = await world.receipts(2);
    assert.deepEqual(
      receipts.map(({ event }) => event),
      ["shown", "clicked"],
    );
    assert.equal(receipts[1].proof, push.notification.data.tidings.proof);
  });

  test("a click on an action opens the action's address and names it", async (t) => {
    const world = await open(t);
    const navigate = `${world.site.origin}/track`;
    await world.push(world.notification({ actions: [{ action: "track", title: "Track", navigate }] }));
    await world.receipts(1);
    await world.interact("notificationclick", "track");
    assert.deepEqual(await world.opened(), [{ opened: navigate }]);
    const [, clicked] = await world.receipts(2);
    assert.equal(clicked.action, "track");
  });

  test("a click focuses a window that is at the address already", async (t) => {
    const world = await open(t);
    await world.push(world.notification({ navigate: `${world.site.origin}/` }));
    await world.receipts(1);
    await world.interact("notificationclick");
    assert.deepEqual(await world.opened(), [{ focused: `${world.site.origin}/` }]);
  });

  for (const navigate of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", 7, undefined]) {
    test(`a click on a message with the address ${navigate} opens the site`, async (t) => {
      const world = await open(t);
      await world.push(world.notification({ navigate }));
      await world.receipts(1);
      await world.interact("notificationclick");
      assert.deepEqual(await world.opened(), [{ opened: world.site.origin }]);
    });
  }

  test("a click opens the address before anything goes over the network", async (t) => {
    const world = await open(t);
    await world.push(world.notification());
    await world.receipts(1);
    await world.worker.evaluate(() => {
      const { openWindow } = self.clients;
      self.clients.openWindow = async (url) => {
        await openWindow(url);
        await new Promise((resolve) => setTimeout(resolve, 200));
        self.log.push({ done: true });
      };
      const { fetch } = self;
      self.fetch = (...args) => {
        self.log.push({ fetched: true });
        return fetch(...args);
      };
    });
    await world.interact("notificationclick");
    const order = await world.opened();
    assert.deepEqual(order.map((entry) => Object.keys(entry)[0]), ["opened", "done", "fetched"]);
  });

  test("a click counts although no window may be opened", async (t) => {
    const world = await open(t);
    await world.push(world.notification());
    await world.receipts(1);
    await world.worker.evaluate(() => {
      self.clients.openWindow = async () => {
        throw new DOMException("Not allowed to open a window.", "InvalidAccessError");
      };
    });
    await world.interact("notificationclick");
    assert.equal((await world.receipts(2))[1].event, "clicked");
  });

  test("a dismissal counts", async (t) => {
    const world = await open(t);
    await world.push(world.notification());
    await world.receipts(1);
    await world.interact("notificationclose");
    const [, dismissed] = await world.receipts(2);
    assert.equal(dismissed.event, "dismissed");
    assert.equal("action" in dismissed, false);
  });

  test("leaves the site's own notifications alone", async (t) => {
    const world = await open(t);
    await world.worker.evaluate(() => registration.showNotification("Own", { data: { mine: true } }));
    await world.interact("notificationclick");
    assert.deepEqual(await world.opened(), []);
    assert.equal((await world.onScreen()).length, 1);
  });

  for (const [name, answer] of [
    ["without a connection", "drop"],
    ["while the server is unwell", { status: 503 }],
    ["while the server is busy", { status: 429 }],
    ["while the server never answers", "hang"],
  ]) {
    test(`keeps receipts ${name} and sends them with the next event`, async (t) => {
      const world = await open(t);
      world.tidings.answers["POST /receipts"] = answer;
      const first = world.notification();
      await world.push(first);
      await world.tidings.received("POST", RECEIPTS, 1);
      world.tidings.requests.length = 0;
      delete world.tidings.answers["POST /receipts"];
      const second = world.notification();
      await world.push(second);
      const receipts = await world.receipts(2);
      assert.deepEqual(
        receipts.map(({ message, event }) => [message, event]),
        [first, second].map(({ notification }) => [notification.data.tidings.message, "shown"]),
      );
      assert.equal(world.tidings.requests.length, 1, "both go in one request");
    });
  }

  test("gives up a receipt that the server refuses for good", async (t) => {
    const world = await open(t);
    world.tidings.answers["POST /receipts"] = { status: 422 };
    await world.push(world.notification());
    await world.tidings.received("POST", RECEIPTS, 1);
    world.tidings.requests.length = 0;
    delete world.tidings.answers["POST /receipts"];
    const second = world.notification();
    await world.push(second);
    const receipts = await world.receipts(1);
    assert.deepEqual(
      receipts.map(({ message }) => message),
      [second.notification.data.tidings.message],
    );
  });

  test("keeps a bounded number of receipts and of shown messages", async (t) => {
    const world = await open(t);
    world.tidings.answers["POST /receipts"] = "drop";
    await world.push(world.notification());
    await world.tidings.received("POST", RECEIPTS, 1);
    await world.worker.evaluate(async (url) => {
      const opening = indexedDB.open("tidings", 1);
      await new Promise((resolve) => (opening.onsuccess = resolve));
      const transaction = opening.result.transaction(["shown", "receipts"], "readwrite");
      const at = new Date().toISOString();
      const old = new Date(Date.now() - 8 * 24 * 60 * 60 * 1000).toISOString();
      for (let i = 0; i < 700; i += 1) {
        const message = `msg_${String(i).padStart(5, "0")}`;
        transaction.objectStore("shown").put(1, message);
        const receipt = { message, event: "shown", at: i % 2 ? at : old };
        transaction.objectStore("receipts").put({ url, receipt }, `${message} shown`);
      }
      await new Promise((resolve) => (transaction.oncomplete = resolve));
      opening.result.close();
    }, world.tidings.origin + RECEIPTS);
    world.tidings.requests.length = 0;
    delete world.tidings.answers["POST /receipts"];
    const last = world.notification();
    await world.push(last);
    const receipts = await world.receipts(1);
    assert.ok(receipts.length <= 100, `${receipts.length} receipts`);
    assert.ok(receipts.length > 40, "the recent ones are there");
    const weekAgo = Date.now() - 7 * 24 * 60 * 60 * 1000;
    assert.ok(receipts.every(({ at }) => Date.parse(at) > weekAgo));
    const count = (name) =>
      world.worker.evaluate(async (name) => {
        const opening = indexedDB.open("tidings", 1);
        await new Promise((resolve) => (opening.onsuccess = resolve));
        const request = opening.result.transaction(name).objectStore(name).count();
        await new Promise((resolve) => (request.onsuccess = resolve));
        opening.result.close();
        return request.result;
      }, name);
    assert.equal(await count("shown"), 500);
    await eventually("an empty store", async () => (await count("receipts")) === 0);
  });

  test("shows and reports without IndexedDB", async (t) => {
    const world = await open(t);
    await world.worker.evaluate(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("No storage here.", "SecurityError");
      };
    });
    await world.push(world.notification());
    await appears(world, "Parcel delivered");
    assert.equal((await world.receipts(1))[0].event, "shown");
  });

  test("shows while IndexedDB never answers", async (t) => {
    const world = await open(t);
    await world.worker.evaluate(() => {
      IDBFactory.prototype.open = () => ({});
    });
    await world.push(world.notification());
    await appears(world, "Parcel delivered");
  });

  test("sets the badge", async (t) => {
    const world = await open(t);
    await world.worker.evaluate(() => {
      self.badges = [];
      navigator.setAppBadge = async (count) => void self.badges.push(count);
    });
    await world.push({ ...world.notification(), app_badge: "3" });
    await world.receipts(1);
    await world.push({ ...world.notification(), app_badge: 0 });
    await world.receipts(2);
    await world.push(world.notification({ app_badge: 2 }));
    await world.receipts(3);
    await world.push({ ...world.notification(), app_badge: "many" });
    await world.receipts(4);
    assert.deepEqual(await world.worker.evaluate(() => self.badges), [3, 0, 2]);
  });

  test("leaves a declared notification to the browser and reports it", async (t) => {
    const world = await open(t);
    const { notification } = world.notification();
    // Safari's event: the notification is there, with its methods, the data is not.
    await world.worker.evaluate(async (declared) => {
      const event = new PushEvent("push");
      Object.defineProperty(event, "notification", { value: { ...declared, close() {} } });
      const work = [];
      event.waitUntil = (promise) => work.push(promise);
      dispatchEvent(event);
      await Promise.all(work);
    }, notification);
    assert.equal((await world.receipts(1))[0].message, notification.data.tidings.message);
    assert.deepEqual(await world.shows(), []);
    await world.page.waitForFunction(() => window.told.length === 1);
    assert.equal((await world.page.evaluate(() => window.told[0].notification)).title, "Parcel delivered");
  });

  describe("with the site's hook", () => {
    const HOOKS = [
      { name: "returns", script: `self.tidings.onData = (data) => ({ title: "Price " + data.price, tag: "price" });` },
      { name: "promises", script: `self.tidings.onData = async (data) => ({ title: "Price " + data.price });` },
      {
        name: "shows",
        script: `self.tidings.onData = (data) => { self.registration.showNotification("Price " + data.price); };`,
      },
    ];
    for (const { name, script } of HOOKS) {
      test(`shows once what it ${name}`, async (t) => {
        const world = await open(t, script);
        const tidings = world.envelope();
        await world.push({ tidings, data: { price: 3 } });
        assert.equal((await world.receipts(1))[0].message, tidings.message);
        assert.deepEqual(
          (await world.onScreen()).map(({ title }) => title),
          ["Price 3"],
        );
        const replaced = await world.worker.evaluate(() => Object.hasOwn(registration, "showNotification"));
        assert.equal(replaced, false, "the browser's function is back in its place");
      });
    }

    const FAILING = [
      { name: "shows nothing", script: `self.tidings.onData = () => {};` },
      { name: "throws", script: `self.tidings.onData = () => { throw new Error("no"); };` },
      { name: "rejects", script: `self.tidings.onData = async () => { throw new Error("no"); };` },
      {
        name: "fails to show",
        script: `self.tidings.onData = () => self.registration.showNotification("x", { silent: true, vibrate: [1] });`,
      },
    ];
    for (const { name, script } of FAILING) {
      test(`shows something where it ${name}`, async (t) => {
        const world = await open(t, script);
        await world.push({ tidings: world.envelope(), data: { price: 3 } });
        await appears(world, "localhost");
        await world.receipts(1);
      });
    }

    test("gives it exact bytes, but no notification", async (t) => {
      const script = `self.tidings.onData = (data) => ({ title: "Got " + JSON.stringify(data) });`;
      const world = await open(t, script);
      await world.push({ price: 3 });
      await appears(world, 'Got {"price":3}');
      await world.push("Dinner");
      await appears(world, 'Got "Dinner"');
      await world.push(world.notification());
      await appears(world, "Parcel delivered");
      assert.equal((await world.onScreen()).length, 3);
    });

    test("asks it once for a repeated message", async (t) => {
      const world = await open(t, `self.asked = 0; self.tidings.onData = () => ({ title: "Time " + ++self.asked });`);
      const push = { tidings: world.envelope(), data: {} };
      await world.push(push);
      await world.receipts(1);
      await world.push(push);
      await eventually("a second display", async () => (await world.shows()).length === 2);
      assert.deepEqual(
        (await world.onScreen()).map(({ title }) => title),
        ["Time 1"],
      );
      assert.equal(await world.worker.evaluate(() => self.asked), 1);
    });
  });
});
