/** Whose subscription it is: users, their proofs, logging out; and what the site's other pages hear of it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launchChromium, setNotifications, skipChromium } from "./support/browser.js";
import { openPage, SUBSCRIPTIONS } from "./support/page.js";
import { OTHER_KEY, problem } from "./support/servers.js";

/** A JWT as far as the page looks into it. */
const tokenOf = (sub) => `e30.${Buffer.from(JSON.stringify({ sub })).toString("base64url")}.c2ln`;
const ADA = { user: "ada", userToken: tokenOf("ada"), attributes: { plan: "pro" } };

describe("the person", { skip: skipChromium(), timeout: 300_000 }, () => {
  let browser;

  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  const open = (t, options) => openPage(t, browser, options);

  const who = (posted) => posted.map(({ user, user_token }) => [user, user_token]);

  describe("named", () => {
    test("is in the state, also after a reload", async (t) => {
      const world = await open(t);
      await world.call("subscribe", ADA);
      await world.load();
      assert.equal((await world.call("state")).subscription.user, "ada");
    });

    test("by the token alone", async (t) => {
      const world = await open(t);
      const { subscription } = await world.call("subscribe", { userToken: tokenOf("jürgen") });
      assert.equal(subscription.user, "jürgen");
      assert.deepEqual(world.posted()[0].user_token, tokenOf("jürgen"));
      await world.call("sync", { userToken: tokenOf("jürgen") });
      assert.equal(world.posted().length, 1, "the same person");
      await world.call("sync", { userToken: tokenOf("bob") });
      assert.equal(world.posted()[1].user_token, tokenOf("bob"));
    });

    test("is told when somebody signs in, once", async (t) => {
      const world = await open(t);
      await world.call("subscribe", { attributes: { plan: "pro" } });
      await world.call("sync", { user: "ada", userToken: tokenOf("ada") });
      assert.deepEqual(who(world.posted()), [[undefined, undefined], ["ada", tokenOf("ada")]]);
      assert.deepEqual(world.posted()[1].attributes, { plan: "pro" }, "what was known of the visitor stays");
      await world.call("sync", { user: "ada", userToken: tokenOf("ada") });
      assert.equal(world.posted().length, 2);
    });

    test("starts without the attributes of the one before", async (t) => {
      const world = await open(t);
      await world.call("subscribe", ADA);
      await world.call("sync", { user: "bob", userToken: tokenOf("bob") });
      const [, bob] = world.posted();
      assert.deepEqual([bob.user, bob.attributes], ["bob", {}]);
      assert.equal((await world.call("state")).subscription.user, "bob");
    });

    test("lets the one before go first, so that a refusal of the new one leaves nobody behind", async (t) => {
      const world = await open(t);
      await world.call("subscribe", ADA);
      world.tidings.answers["POST /subscriptions"] = problem(409, "Too many subscriptions");
      const { error } = await world.call("sync", { user: "bob", userToken: tokenOf("bob"), attributes: { plan: "free" } });
      assert.equal(error.code, "refused");
      assert.deepEqual(world.patched().map(({ body }) => JSON.parse(body)), [{ user: null, attributes: {} }]);
      assert.equal((await world.call("state")).subscription.user, undefined);
    });

    test("is told again of a subscription that had to be renewed without a proof", async (t) => {
      const world = await open(t);
      await world.call("subscribe", ADA);
      world.tidings.key = OTHER_KEY;
      const renewed = await world.call("sync");
      assert.equal(renewed.subscription.user, undefined, "the new one is nobody's on the server");
      await world.call("sync", ADA);
      assert.deepEqual(who(world.posted()).at(-1), ["ada", ADA.userToken]);
    });

    test("is told again by a page that is believed without proof", async (t) => {
      const world = await open(t);
      await world.call("subscribe", { user: "ada" });
      world.tidings.key = OTHER_KEY;
      const { subscription } = await world.call("sync");
      assert.deepEqual(who(world.posted()).at(-1), ["ada", undefined]);
      assert.equal(subscription.user, "ada");
    });

    test("is not remembered where the server refuses the proof", async (t) => {
      const world = await open(t);
      await world.call("subscribe");
      world.tidings.answers["POST /subscriptions"] = problem(403, "The user token is refused", "It expired 7 s ago.");
      const { error } = await world.call("sync", ADA);
      assert.match(error.message, /expired/);
      assert.equal((await world.call("state")).subscription.user, undefined);
      delete world.tidings.answers["POST /subscriptions"];
      await world.call("sync", ADA);
      assert.deepEqual(who(world.posted()).at(-1), ["ada", ADA.userToken]);
    });
  });

  describe("whose token a function fetches", () => {
    /** Calls `method` with a function that counts its calls in `window.made` and comes to `end`. */
    const callWith = (world, method, options, end) =>
      world.page.evaluate(
        async (method, options, end) => {
          window.made ??= 0;
          const userToken = async () => {
            window.made += 1;
            if (end === "reject") throw new Error("signed out by the back end");
            if (end === "hang") return new Promise(() => {});
            return end;
          };
          return window.tidings[method]({ ...options, userToken }).catch(({ code, message }) => ({ code, message }));
        },
        method,
        options,
        end,
      );
    const made = (world) => world.page.evaluate(() => window.made);

    test("is called only when the server is told", async (t) => {
      const world = await open(t);
      await callWith(world, "subscribe", { user: "ada" }, tokenOf("ada"));
      assert.deepEqual(who(world.posted()), [["ada", tokenOf("ada")]]);
      await callWith(world, "sync", { user: "ada" }, tokenOf("ada"));
      assert.deepEqual([await made(world), world.posted().length], [1, 1]);
      await callWith(world, "sync", { user: "bob" }, tokenOf("bob"));
      assert.deepEqual(who(world.posted())[1], ["bob", tokenOf("bob")]);
    });

    test("alone, is called each time and compared", async (t) => {
      const world = await open(t);
      await callWith(world, "subscribe", {}, tokenOf("ada"));
      await callWith(world, "sync", {}, tokenOf("ada"));
      assert.deepEqual([await made(world), world.posted().length], [2, 1]);
      await callWith(world, "sync", {}, tokenOf("bob"));
      assert.deepEqual(who(world.posted())[1], ["bob", tokenOf("bob")]);
      assert.equal(await made(world), 3, "one token serves both");
    });

    for (const nothing of [null, ""]) {
      test(`names nobody where it comes to ${JSON.stringify(nothing)}`, async (t) => {
        const world = await open(t);
        const state = await callWith(world, "subscribe", { user: "ada" }, nothing);
        assert.equal(state.subscription.user, undefined);
        assert.deepEqual(who(world.posted()), [[undefined, undefined]]);
      });
    }

    test("says user-token where it fails, or hangs", async (t) => {
      const world = await open(t, { options: { timeoutMs: 2_000 } });
      const failed = await callWith(world, "subscribe", { user: "ada" }, "reject");
      assert.equal(failed.code, "user-token");
      assert.match(failed.message, /signed out by the back end/);
      const late = await callWith(world, "subscribe", { user: "ada" }, "hang");
      assert.equal(late.code, "timeout");
      assert.match(late.message, /user token/);
      assert.deepEqual(world.posted(), []);
    });
  });

  for (const [name, leave] of [
    ["logout()", (world) => world.call("logout")],
    ["sync() with nobody", (world) => world.call("sync", { user: null })],
    ["subscribe() with nobody", (world) => world.call("subscribe", { user: null })],
  ]) {
    describe(name, () => {
      test("detaches the browser and keeps the subscription", async (t) => {
        const world = await open(t);
        const { subscription } = await world.call("subscribe", ADA);
        const state = await leave(world);
        const { user, ...rest } = subscription;
        assert.equal(state.state, "subscribed");
        assert.deepEqual(state.subscription, rest);
        const [request] = world.patched();
        assert.equal(request.path, `${SUBSCRIPTIONS}/sub_1`);
        assert.equal(request.headers.authorization, "Bearer token of sub_1");
        assert.deepEqual(JSON.parse(request.body), { user: null, attributes: {} });
        assert.equal(world.patched().length, 1);
        assert.deepEqual(await world.pushCalls(), ["subscribe"]);
      });

      test("forgets the person here, too", async (t) => {
        const world = await open(t);
        await world.call("subscribe", { ...ADA, userToken: undefined });
        await leave(world);
        const before = world.posted().length;
        world.tidings.key = OTHER_KEY;
        await world.call("sync");
        const renewed = world.posted().at(-1);
        assert.ok(world.posted().length > before);
        assert.deepEqual([renewed.user, renewed.attributes], [undefined, {}]);
      });

      for (const [trouble, answer] of [
        ["is away", "drop"],
        ["never answers", "hang"],
        ["refuses", problem(401, "No token")],
        ["is unwell", { status: 503 }],
      ]) {
        test(`where the server ${trouble}, gives the browser's subscription up and makes another later`, async (t) => {
          const world = await open(t, { options: { timeoutMs: 2_000 } });
          await world.call("subscribe", ADA);
          world.tidings.answers["PATCH /sub_1"] = answer;
          await leave(world);
          assert.equal((await world.pushCalls())[1], "unsubscribe");
          await world.load();
          const { state, subscription } = await world.call("sync");
          assert.equal(state, "subscribed");
          assert.equal(subscription.id, "sub_2");
          const { user, attributes } = world.posted().at(-1);
          assert.deepEqual([user, attributes], [undefined, {}]);
          assert.deepEqual(world.deleted(), [`${SUBSCRIPTIONS}/sub_1`]);
        });
      }
    });
  }

  test("logout() keeps the attributes that the page says", async (t) => {
    const world = await open(t);
    await world.call("subscribe", ADA);
    await world.call("logout", { attributes: { edition: "north" } });
    assert.deepEqual(JSON.parse(world.patched()[0].body), { user: null, attributes: { edition: "north" } });
    await world.call("sync");
    assert.equal(world.posted().length, 1, "the server knows all that");
  });

  test("logout() is nothing where nobody is subscribed", async (t) => {
    const world = await open(t);
    assert.equal((await world.call("logout")).state, "prompt");
    assert.equal(world.tidings.requests.filter(({ path }) => path.startsWith("/v1/")).length, 0);
  });

  test("sync() with nobody gives the subscription up where the whole server is away", async (t) => {
    const world = await open(t);
    await world.call("subscribe", ADA);
    world.tidings.answers = { "GET /vapid-public-key": "drop", "PATCH /sub_1": "drop" };
    assert.equal((await world.call("sync", { user: null })).error.code, "unreachable");
    assert.deepEqual(await world.pushCalls(), ["subscribe", "unsubscribe"]);
    world.tidings.answers = {};
    await world.load();
    const { subscription } = await world.call("sync", { user: null });
    assert.equal(subscription.id, "sub_2");
    assert.equal(subscription.user, undefined);
  });

  test("a page that is left in the middle of logout() is no harm", async (t) => {
    const world = await open(t);
    await world.call("subscribe", ADA);
    world.tidings.answers["PATCH /sub_1"] = "hang";
    await world.page.evaluate(() => void window.tidings.logout());
    await world.tidings.received("PATCH", `${SUBSCRIPTIONS}/sub_1`);
    delete world.tidings.answers["PATCH /sub_1"];
    await world.load();
    await world.call("sync");
    assert.equal(world.patched().length, 2, "the next page finishes it");
    assert.equal((await world.call("state")).subscription.user, undefined);
  });

  test("a page that is left while it says who signed in is no harm", async (t) => {
    const world = await open(t);
    await world.call("subscribe");
    world.tidings.answers["POST /subscriptions"] = "hang";
    await world.page.evaluate((ada) => void window.tidings.sync(ada), ADA);
    await world.tidings.received("POST", SUBSCRIPTIONS, 2);
    delete world.tidings.answers["POST /subscriptions"];
    await world.load();
    // The server may have taken it.
    await world.call("sync", { user: null });
    assert.equal(world.patched().length, 1);
    assert.equal((await world.call("state")).subscription.user, undefined);
  });

  test("a failed logout() is known by its error, and finished by the next sync()", async (t) => {
    const world = await open(t, { options: { timeoutMs: 2_000 } });
    await world.call("subscribe", ADA);
    world.tidings.answers["PATCH /sub_1"] = "drop";
    // Neither can the server be told, nor does the browser let go.
    await world.page.evaluate(() => {
      const { getSubscription } = PushManager.prototype;
      PushManager.prototype.getSubscription = async function () {
        return Object.assign(await getSubscription.call(this), { unsubscribe: () => new Promise(() => {}) });
      };
    });
    assert.equal((await world.call("logout")).error.code, "timeout");
    delete world.tidings.answers["PATCH /sub_1"];
    await world.load();
    await world.call("sync");
    assert.deepEqual(JSON.parse(world.patched().at(-1).body), { user: null, attributes: {} });
  });

  test("sync() with nobody detaches a subscription that it takes up", async (t) => {
    const world = await open(t);
    await world.call("subscribe", ADA);
    await world.page.evaluate(() => new Promise((resolve) => (indexedDB.deleteDatabase("tidings").onsuccess = resolve)));
    await world.load();
    const { state } = await world.call("sync", { user: null });
    assert.equal(state, "subscribed");
    assert.equal(world.patched().length, 1);
  });

  test("sync() with nobody detaches a subscription that something else registered, and keeps what was told", async (t) => {
    const world = await open(t);
    await world.call("subscribe", { attributes: { plan: "pro" } });
    // As a worker that was ended before it could remember what it renewed.
    await world.page.evaluate(() => {
      const { current, made } = JSON.parse(localStorage.getItem("test push service"));
      localStorage.setItem("test push service", JSON.stringify({ current, made: made + 1 }));
    });
    await world.load();
    await world.call("sync", { user: null });
    const [{ path, body }] = world.patched();
    assert.equal(path, `${SUBSCRIPTIONS}/sub_2`);
    assert.deepEqual(JSON.parse(body), { user: null, attributes: { plan: "pro" } });
  });

  describe("in another page of the site", () => {
    test("what one page does is told", async (t) => {
      const world = await open(t);
      const other = await world.another();
      await world.call("subscribe", ADA);
      await eventually("subscribed there", async () => (await other.changes()).at(-1) === "subscribed");
      await world.call("logout");
      await eventually("logged out there", async () => (await other.changes()).length === 2);
      assert.equal((await other.call("state")).subscription.user, undefined);
      await world.call("unsubscribe");
      await eventually("unsubscribed there", async () => (await other.changes()).at(-1) === "prompt");
      assert.deepEqual(await world.changes(), ["subscribed", "subscribed", "prompt"], "one's own doing once");
    });

    test("another application is not told", async (t) => {
      const world = await open(t);
      const other = await world.another();
      await other.page.evaluate(async (server) => {
        const { Tidings } = await import(`${server}/sdk/tidings.js`);
        window.apart = 0;
        new Tidings({ app: "other" }).addEventListener("change", () => (window.apart += 1));
      }, world.tidings.origin);
      await world.call("subscribe");
      await eventually("subscribed there", async () => (await other.changes()).length === 1);
      assert.equal(await other.page.evaluate(() => window.apart), 0);
    });
  });

  test("what the person changes in the browser's settings is told", async (t) => {
    const world = await open(t);
    await world.call("subscribe");
    await setNotifications(browser, world.site.origin, "denied");
    await eventually("denied", async () => (await world.changes()).at(-1) === "denied");
  });
});
