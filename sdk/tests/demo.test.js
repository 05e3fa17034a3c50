/** The demo page as the server gives it, with a strict content security policy. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchChromium, setNotifications, skipChromium } from "./support/browser.js";
import { promptIn } from "./support/prompt.js";
import { installPushService } from "./support/push.js";
import { problem, startTidings } from "./support/servers.js";

describe("demo page", { skip: skipChromium(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  async function open(t, { permission = "granted", script = () => {} } = {}) {
    const tidings = await startTidings();
    await setNotifications(browser, tidings.origin, permission);
    const page = await browser.newPage();
    const complaints = [];
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    t.after(async () => {
      await page.close();
      await tidings.close();
    });
    await page.evaluateOnNewDocument(installPushService, []);
    await page.evaluateOnNewDocument(script);
    await page.goto(`${tidings.origin}/demo`);
    await page.waitForSelector("#state[aria-busy=false]");
    const state = () => page.$eval("#state", (card) => card.dataset.now);
    return {
      tidings,
      page,
      complaints,
      state,
      reaches: (wanted) => eventually(`the state ${wanted}`, async () => (await state()) === wanted),
      /** What a person sees of the part of the page. */
      visible: (selector) => page.$eval(selector, (part) => part.innerText),
    };
  }

  const STATES = [
    { state: "prompt", permission: "prompt", says: /nobody will before you click/ },
    { state: "prompt", permission: "granted", says: /may show notifications, but/ },
    { state: "denied", permission: "denied", says: /Firefox[^]*Safari/ },
    { state: "unsupported", script: () => delete window.PushManager, says: /has no Web Push/ },
    {
      state: "needs-install",
      script: () => {
        delete window.PushManager;
        Object.defineProperty(navigator, "standalone", { value: false });
      },
      says: /Add to Home Screen/,
    },
  ];
  for (const { state, permission, script, says } of STATES) {
    test(`says ${state}${permission ? ` (permission ${permission})` : ""} and why`, async (t) => {
      const world = await open(t, { permission, script });
      assert.equal(await world.state(), state);
      assert.match(await world.visible("#state"), says);
      assert.equal((await world.page.$$("#state [data-state]:not([hidden])")).length, 1);
    });
  }

  test("asks nothing by itself and loads nothing from elsewhere", async (t) => {
    const script = () => {
      window.asked = 0;
      Notification.requestPermission = () => void (window.asked += 1);
    };
    const world = await open(t, { permission: "prompt", script });
    const origins = await world.page.evaluate(() =>
      performance.getEntriesByType("resource").map(({ name }) => new URL(name).origin),
    );
    assert.deepEqual([...new Set(origins)], [world.tidings.origin]);
    assert.equal(await world.page.evaluate(() => window.asked), 0);
    assert.deepEqual(await world.page.evaluate(() => window.push.calls), []);
    assert.deepEqual(world.complaints, []);
  });

  test("subscribes on a click, shows the subscription, and unsubscribes", async (t) => {
    const world = await open(t);
    await world.page.click("#subscribe");
    await world.reaches("subscribed");
    const text = await world.visible("#state");
    assert.match(text, /sub_1/);
    assert.match(text, /https:\/\/push\.example\n/, "the origin only");
    assert.match(text, /BP4z9KsN6nGR…3jl7A8/);
    await world.page.click("#unsubscribe");
    await world.reaches("prompt");
    assert.deepEqual(world.complaints, []);
  });

  test("shows the soft prompt as often as the person wants, in the page's style", async (t) => {
    const world = await open(t);
    const prompt = promptIn(world);
    const shown = () => eventually("the soft prompt", prompt.isThere);
    await world.page.click("#soft-prompt");
    await shown();
    assert.match(await prompt.text(), /nothing else/);
    const [page, button] = await Promise.all([
      world.page.$eval("#subscribe", (one) => getComputedStyle(one).backgroundColor),
      prompt.style(".accept", "backgroundColor"),
    ]);
    assert.equal(button, page);
    await world.page.keyboard.press("Escape");
    await eventually("none", async () => !(await prompt.isThere()));
    await world.page.click("#soft-prompt");
    await shown();
    await prompt.click(".accept");
    await world.reaches("subscribed");
    assert.deepEqual(world.complaints, []);
  });

  test("is subscribed still after a reload", async (t) => {
    const world = await open(t);
    await world.page.click("#subscribe");
    await world.reaches("subscribed");
    await world.page.reload();
    await world.reaches("subscribed");
  });

  test("notices when the person allows notifications again", async (t) => {
    const world = await open(t, { permission: "denied" });
    assert.equal(await world.state(), "denied");
    await setNotifications(browser, world.tidings.origin, "prompt");
    await world.reaches("prompt");
  });

  test("asks for a test once and then waits", async (t) => {
    const world = await open(t);
    await world.page.click("#subscribe");
    await world.reaches("subscribed");
    await world.page.click("#test");
    await eventually("a pause", async () => /again in \d+ s/.test(await world.visible("#test")));
    await world.page.click("#test");
    assert.equal((await world.tidings.received("POST", "/v1/apps/default/subscriptions/sub_1/test")).length, 1);
    assert.match(await world.visible("#receipt-list"), /Test requested/);
  });

  test("shows receipts as the worker reports them", async (t) => {
    const world = await open(t);
    await world.page.click("#subscribe");
    await world.reaches("subscribed");
    const cdp = await world.page.createCDPSession();
    const registered = new Promise((resolve) => {
      cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
        const ours = registrations.find(({ scopeURL }) => scopeURL === `${world.tidings.origin}/sdk/`);
        if (ours) resolve(ours.registrationId);
      });
    });
    await cdp.send("ServiceWorker.enable");
    const receipts = `${world.tidings.origin}/v1/apps/default/receipts`;
    const tidings = { message: "msg_1", subscription: "sub_1", proof: "proof", receipts };
    const notification = { title: "Ship sighted", navigate: `${world.tidings.origin}/demo`, data: { tidings } };
    await cdp.send("ServiceWorker.deliverPushMessage", {
      origin: world.tidings.origin,
      registrationId: await registered,
      data: JSON.stringify({ web_push: 8030, notification }),
    });
    await eventually("a receipt on the page", async () => /Shown\s+msg_1/.test(await world.visible("#receipt-list")));
    assert.equal(await world.page.$eval("#no-receipts", (part) => part.hidden), true);
    assert.deepEqual(world.complaints, []);
  });

  test("shows the server's problem document", async (t) => {
    const world = await open(t);
    world.tidings.answers["POST /subscriptions"] = problem(422, "Unknown push service", "Add it to push.hosts.");
    await world.page.click("#subscribe");
    await eventually("a problem", async () => (await world.visible("#problem")).includes("Unknown push service"));
    assert.match(await world.visible("#problem"), /Add it to push\.hosts\./);
    assert.equal(await world.state(), "prompt");
  });

  test("says what is wrong when the server is away", async (t) => {
    const world = await open(t);
    world.tidings.answers["GET /vapid-public-key"] = "drop";
    await world.page.click("#subscribe");
    await eventually("a problem", async () => /running/.test(await world.visible("#problem")));
  });

  test("writes a command that a shell takes as it is meant", async (t) => {
    const world = await open(t);
    await world.page.click("#subscribe");
    await world.reaches("subscribed");
    await world.page.$eval("#title", (field) => (field.value = ""));
    await world.page.type("#title", `It's "$HOME" \\ now`);
    const command = await world.page.$eval("#command", (part) => part.textContent);
    const { execFileSync } = await import("node:child_process");
    const script = `curl() { printf '%s\\0' "$@"; }; TIDINGS_TOKEN=secret; ${command}`;
    const words = execFileSync("sh", ["-c", script]).toString().split("\0");
    assert.equal(words[0], `${world.tidings.origin}/v1/messages`);
    assert.ok(words.includes("Authorization: Bearer secret"));
    const { audience, notification } = JSON.parse(words[words.indexOf("-d") + 1]);
    assert.deepEqual(audience, { subscriptions: ["sub_1"] });
    assert.equal(notification.title, `It's "$HOME" \\ now`);
    assert.equal(await world.visible("#preview-title"), `It's "$HOME" \\ now`);
  });

  for (const width of [320, 390, 768, 1280]) {
    test(`fits a window ${width} wide`, async (t) => {
      const world = await open(t);
      await world.page.setViewport({ width, height: 800 });
      const overflow = await world.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide`);
    });
  }
});
