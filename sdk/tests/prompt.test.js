/** The soft prompt in a real Chromium, on a page with the strictest content security policy. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchChromium, setNotifications, skipChromium } from "./support/browser.js";
import { openPage } from "./support/page.js";
import { promptIn } from "./support/prompt.js";

const policy = (tidings, more = "") => ({
  "Content-Security-Policy":
    `default-src 'none'; script-src 'self' ${tidings.origin}; connect-src ${tidings.origin}; worker-src 'self'${more}`,
});
/** With this a page registers its worker itself, and hands over the registration. */
const trustedTypes = (tidings) => policy(tidings, "; require-trusted-types-for 'script'; trusted-types 'none'");
const DAY_MS = 86_400_000;

describe("soft prompt", { skip: skipChromium(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  async function open(t, { answer = "granted", ...settings } = {}) {
    const world = await openPage(t, browser, { permission: "prompt", headers: policy, ...settings });
    const prepare = async () => {
      await world.page.evaluate((answer) => {
        window.violations = [];
        addEventListener("securitypolicyviolation", ({ violatedDirective }) => window.violations.push(violatedDirective));
        Notification.requestPermission = async () => {
          window.inGesture = navigator.userActivation.isActive;
          return answer;
        };
      }, answer);
    };
    await prepare();
    return { ...world, prompt: promptIn(world), load: () => world.load().then(prepare) };
  }

  test("is a dialog with a name and a description, and the strictest policy lets it be", async (t) => {
    const world = await open(t, { headers: trustedTypes });
    await world.prompt.ask({ texts: { title: "Parcels?", body: "We tell you when yours moves." } });
    const cdp = await world.page.createCDPSession();
    const { nodes } = await cdp.send("Accessibility.getFullAXTree");
    const dialog = nodes.find(({ role }) => role?.value === "dialog");
    assert.equal(dialog.name.value, "Parcels?");
    assert.equal(dialog.description.value, "We tell you when yours moves.");
    assert.equal(dialog.properties.find(({ name }) => name === "modal").value.value, true);
    const names = nodes.filter(({ role, ignored }) => role?.value === "button" && !ignored).map(({ name }) => name.value);
    assert.deepEqual(names, ["Turn on", "Not now"]);
    assert.equal(await world.prompt.style("button", "cursor"), "pointer", "the style sheet is there");
    assert.deepEqual(await world.page.evaluate(() => window.violations), []);
  });

  test("subscribes inside the gesture with what the page says", async (t) => {
    const world = await open(t);
    const result = await world.prompt.ask({ subscribe: { attributes: { plan: "pro" } } });
    assert.deepEqual(world.posted(), [], "nothing before the click");
    await setNotifications(browser, world.site.origin, "granted");
    await world.prompt.click(".accept");
    assert.deepEqual(await result(), { outcome: "subscribed" });
    assert.equal(await world.page.evaluate(() => window.inGesture), true);
    assert.deepEqual(world.posted()[0].attributes, { plan: "pro" });
    assert.equal(await world.prompt.isThere(), false);
    assert.deepEqual(await world.page.evaluate(() => window.violations), []);
  });

  test("begins at the title, goes round its buttons, and gives the focus back", async (t) => {
    const world = await open(t);
    await world.page.evaluate(() => {
      const button = document.createElement("button");
      button.id = "opener";
      document.body.append(button);
      button.focus();
    });
    const result = await world.prompt.ask();
    assert.equal(await world.prompt.focused(), "title");
    const seen = [];
    for (let i = 0; i < 3; i += 1) {
      await world.page.keyboard.press("Tab");
      seen.push(await world.prompt.focused());
    }
    assert.deepEqual(seen.slice(0, 2), ["accept", "later"]);
    assert.notEqual(await world.page.evaluate(() => document.activeElement.id), "opener", "the page behind is inert");
    await world.page.keyboard.press("Escape");
    assert.deepEqual(await result(), { outcome: "later" });
    assert.equal(await world.page.evaluate(() => document.activeElement.id), "opener");
  });

  test("is worked by the keyboard alone", async (t) => {
    const world = await open(t);
    const result = await world.prompt.ask();
    await setNotifications(browser, world.site.origin, "granted");
    await world.page.keyboard.press("Enter");
    assert.deepEqual(world.posted(), [], "a key that was meant for the page says nothing");
    await world.page.keyboard.press("Tab");
    await world.page.keyboard.press("Enter");
    assert.deepEqual(await result(), { outcome: "subscribed" });
  });

  for (const [name, leave] of [
    ["the button", (world) => world.prompt.click("button:last-child")],
    ["Escape", (world) => world.page.keyboard.press("Escape")],
    ["a click beside it", (world) => world.page.mouse.click(5, 5)],
  ]) {
    test(`“not now” by ${name} holds for its time, on every page`, async (t) => {
      const world = await open(t);
      const result = await world.prompt.ask({ laterForDays: 7 });
      await leave(world);
      assert.deepEqual(await result(), { outcome: "later" });
      assert.deepEqual(world.posted(), []);
      await world.load();
      assert.match((await world.prompt.refuse()).reason, /not now/);
      const wait = (days) =>
        world.page.evaluate((ms) => {
          const { now } = Date;
          Date.now = () => now() + ms;
        }, days * DAY_MS);
      await world.load();
      await wait(6.9);
      assert.equal((await world.prompt.refuse()).outcome, "not-asked");
      await world.load();
      await wait(7.1);
      await world.prompt.ask();
    });
  }

  test("a click inside, beside its buttons, closes nothing", async (t) => {
    const world = await open(t);
    await world.prompt.ask();
    await world.prompt.click("h2");
    assert.equal(await world.prompt.isThere(), true);
  });

  test("asks once on a page, unless the person asks for it", async (t) => {
    const world = await open(t);
    const result = await world.prompt.ask({ laterForDays: 0 });
    assert.match((await world.prompt.refuse({ force: true })).reason, /being asked/);
    await world.page.keyboard.press("Escape");
    await result();
    assert.match((await world.prompt.refuse()).reason, /asked already/);
    await world.prompt.ask({ force: true });
  });

  for (const [state, settings] of [
    ["denied", { permission: "denied" }],
    ["unsupported", { script: () => delete window.PushManager }],
    [
      "needs-install",
      {
        script: () => {
          delete window.PushManager;
          Object.defineProperty(navigator, "standalone", { value: false });
        },
      },
    ],
  ]) {
    test(`is not shown in the state ${state}`, async (t) => {
      const world = await open(t, settings);
      assert.equal((await world.call("state")).state, state);
      const { outcome, reason } = await world.prompt.refuse({ force: true });
      assert.equal(outcome, "not-asked");
      assert.ok(reason);
    });
  }

  test("is not shown where the browser is subscribed", async (t) => {
    const world = await open(t, { permission: "granted" });
    await world.call("subscribe");
    assert.equal((await world.prompt.refuse({ force: true })).outcome, "not-asked");
  });

  test("shows how to install the site, where the page wants that", async (t) => {
    const world = await open(t, {
      script: () => {
        delete window.PushManager;
        Object.defineProperty(navigator, "standalone", { value: false });
      },
    });
    const result = await world.prompt.ask({ install: { title: "Keep us at hand" } });
    const text = await world.prompt.text();
    assert.match(text, /Keep us at hand/);
    assert.match(text, /Tap Share[^]*Add to Home Screen/);
    assert.equal(await world.prompt.focused(), "title");
    await world.prompt.click("button");
    assert.deepEqual(await result(), { outcome: "explained" });
    await world.load();
    assert.equal((await world.prompt.refuse({ install: true })).outcome, "not-asked", "that holds for its time, too");
  });

  test("stays open where subscribing fails, says so, and takes a second try", async (t) => {
    const world = await open(t);
    const result = await world.prompt.ask({ texts: { failed: "No luck." } });
    await setNotifications(browser, world.site.origin, "granted");
    world.tidings.answers["GET /vapid-public-key"] = "drop";
    await world.prompt.click(".accept");
    await eventually("an alert", async () => (await world.prompt.text("[role=alert]")) === "No luck.");
    assert.equal(await world.prompt.focused(), "accept", "the button keeps the focus");
    delete world.tidings.answers["GET /vapid-public-key"];
    await world.prompt.click(".accept");
    assert.deepEqual(await result(), { outcome: "subscribed" });
  });

  for (const [answer, code] of [
    ["denied", "denied"],
    ["default", "dismissed"],
  ]) {
    test(`closes where the answer to the browser is ${answer}, and waits`, async (t) => {
      const world = await open(t, { answer });
      const result = await world.prompt.ask();
      await world.prompt.click(".accept");
      assert.deepEqual(await result(), { outcome: "failed", code });
      await world.load();
      assert.equal((await world.prompt.refuse()).outcome, "not-asked");
    });
  }

  test("asks where nothing can be remembered", async (t) => {
    const script = () =>
      Object.defineProperty(window, "localStorage", {
        get() {
          throw new DOMException("No storage here.", "SecurityError");
        },
      });
    // The stand-in of a push service needs it: nobody subscribes here.
    const world = await open(t, { script });
    await world.page.evaluate(() => {
      window.tidings.state = async () => ({ state: "prompt", reason: "" });
    });
    const result = await world.prompt.ask();
    await world.page.keyboard.press("Escape");
    assert.deepEqual(await result(), { outcome: "later" });
  });

  const COLOURS = [
    { name: "light", page: "normal", system: "dark", background: "rgb(255, 255, 255)" },
    { name: "dark", page: "light dark", system: "dark", background: "rgb(18, 18, 18)" },
  ];
  for (const { name, page, system, background } of COLOURS) {
    test(`is ${name} on a page that is ${page} where the system is ${system}`, async (t) => {
      const world = await open(t);
      await world.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: system }]);
      await world.page.evaluate((scheme) => (document.documentElement.style.colorScheme = scheme), page);
      await world.prompt.ask();
      assert.equal(await world.prompt.style("dialog", "backgroundColor"), background);
    });
  }

  test("takes the page's style by properties and parts, and keeps its own names to itself", async (t) => {
    const world = await open(t);
    await world.page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(`
        :root { --soft: rgb(1, 2, 3); --text: rgb(4, 5, 6); }
        tidings-prompt { --tidings-prompt-soft: var(--soft); --tidings-prompt-accent: rgb(7, 8, 9); }
        tidings-prompt::part(title) { color: var(--text); }`);
      document.adoptedStyleSheets.push(sheet);
    });
    await world.prompt.ask();
    assert.equal(await world.prompt.style("#body", "color"), "rgb(1, 2, 3)");
    assert.equal(await world.prompt.style(".accept", "backgroundColor"), "rgb(7, 8, 9)");
    assert.equal(await world.prompt.style("h2", "color"), "rgb(4, 5, 6)");
  });

  for (const [value, animation] of [
    ["reduce", "none"],
    ["no-preference", "rise"],
  ]) {
    test(`moves ${animation === "none" ? "nothing" : "a little"} where the person's setting is ${value}`, async (t) => {
      const world = await open(t);
      await world.page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value }]);
      await world.prompt.ask();
      assert.equal(await world.prompt.style("dialog", "animationName"), animation);
    });
  }

  test("fits a narrow window, also with long words, and goes from right to left with its page", async (t) => {
    const world = await open(t);
    await world.page.setViewport({ width: 320, height: 400 });
    await world.page.evaluate(() => (document.documentElement.dir = "rtl"));
    await world.prompt.ask({ texts: { body: "word".repeat(200), accept: "Yes", later: "No" } });
    const [dialog, accept, later] = await world.prompt.boxes("dialog", ".accept", "button:last-child");
    assert.ok(dialog.left >= 0 && dialog.right <= 320 && dialog.top >= 0 && dialog.bottom <= 400, JSON.stringify(dialog));
    assert.ok(dialog.overflow <= 0, `${dialog.overflow} px too wide`);
    assert.ok(accept.right >= later.right, "the first button is at the right");
    assert.ok(accept.height >= 44 && later.height >= 44, "big enough for a thumb");
  });

  test("is not defined twice where two copies of the file are loaded", async (t) => {
    const world = await open(t);
    const error = await world.page.evaluate(
      (server) => import(`${server}/sdk/tidings-prompt.js?a`).then(() => import(`${server}/sdk/tidings-prompt.js?b`)).then(() => "", String),
      world.tidings.origin,
    );
    assert.equal(error, "");
    await world.prompt.ask();
  });
});
