/**
 * Tidings in a page; tidings.d.ts describes its public names.
 * @import * as Types from "./tidings.d.ts"
 * @import { Key } from "./tidings-calls.js"
 * @import { Kept } from "./tidings-kept.d.ts"
 */
import {
  activation,
  askPermission,
  callServer,
  denied,
  fetchKey,
  findObstacle,
  hasKey,
  inStore,
  subjectOf,
  subscription,
  TidingsError,
  unusable,
  within,
} from "./tidings-calls.js";

export { TidingsError };

/** An unchanged subscription is told to the server once a day. */
const REFRESH_MS = 86_400_000;
// Bundlers would take `new URL("..", import.meta.url)` for a file to be copied.
const HERE = import.meta.url;

/** @implements {Types.Tidings} */
export class Tidings extends EventTarget {
  #api;
  #name;
  #worker;
  #ms;
  #permissionMs;
  #asking = false;
  /** @type {BroadcastChannel | undefined} to the site's other pages, and from its worker */
  #others;
  /** @type {Kept | undefined} stands in where IndexedDB fails */
  #kept;

  /** @param {Types.TidingsOptions} [options] */
  constructor({
    server = new URL("..", HERE),
    app = "default",
    serviceWorker = "/tidings-sw.js",
    timeoutMs = 10_000,
    permissionTimeoutMs = 120_000,
  } = {}) {
    super();
    const base = new URL(server, globalThis.location?.href ?? HERE).href.replace(/\/?$/, "/");
    this.#api = `${base}v1/apps/${encodeURIComponent(app)}/`;
    this.#name = `${base} ${app}`;
    this.#worker = async (/** @type {(script: string | URL) => any} */ act) =>
      typeof serviceWorker === "string" || serviceWorker instanceof URL ? act(serviceWorker) : serviceWorker;
    this.#ms = timeoutMs;
    this.#permissionMs = permissionTimeoutMs;
    if (globalThis.document) this.#listen();
  }

  /** @returns {Promise<Types.State>} */
  async state() {
    const obstacle = findObstacle();
    if (obstacle) return { state: /** @type {Types.StateName} */ (obstacle.code), reason: obstacle.message };
    const granted = Notification.permission === "granted";
    const [push, kept] = await this.#both();
    if (granted && push && kept?.endpoint === push.endpoint) {
      const { id, endpoint, vapidKey, user } = kept;
      const subscription = { id, endpoint, vapidKey, user };
      return { state: "subscribed", reason: "This browser is subscribed.", subscription };
    }
    return { state: "prompt", reason: granted ? "Allowed, but not subscribed." : "Nobody was asked yet." };
  }

  /** @param {Types.SubscribeOptions} [options] */
  async subscribe(options = {}) {
    const obstacle = findObstacle();
    if (obstacle) throw obstacle;
    this.#asking = true;
    try {
      // Before any await: Firefox and Safari take the question only inside the gesture.
      const asked = askPermission();
      const ready = Promise.all([fetchKey(this.#ms, this.#api), this.#registration()]);
      ready.catch(() => {});
      const permission = await within(this.#permissionMs, "asking for permission", asked, "denied");
      if (permission === "denied") throw denied();
      if (permission !== "granted") throw new TidingsError("dismissed", "Closed without an answer. Ask again later.");
      const [key, registration] = await ready;
      await this.#alone(() => this.#enrol(registration, key, options));
    } finally {
      this.#asking = false;
    }
    return this.#changed();
  }

  async unsubscribe() {
    await this.#alone(async () => {
      const kept = await this.#load();
      await this.#drop(kept);
      await this.#save(undefined);
      await this.#end(kept);
    });
    return this.#changed();
  }

  /** @param {{ attributes?: Types.Attributes }} [options] */
  async logout({ attributes } = {}) {
    await this.#alone(async () => {
      const kept = await this.#load();
      if (kept) await this.#detach(kept, attributes);
    });
    return this.#changed();
  }

  async test() {
    const kept = await this.#load();
    if (!kept) throw new TidingsError("not-subscribed", "This browser is not subscribed. Call subscribe() first.");
    await this.#call("POST", `subscriptions/${kept.id}/test`, kept.token);
  }

  /** @param {Types.SubscribeOptions} [options] */
  async sync(options = {}) {
    if (findObstacle() || Notification.permission !== "granted") return this.state();
    const repaired = await this.#alone(async () => {
      const before = await this.#load();
      const leaves = options.user === null && before?.user !== undefined;
      // First of all: the rest needs the server, which may be away.
      if (before && leaves) await this.#detach(before, options.attributes);
      const [push, kept] = await this.#both();
      if (!push && !kept) return false;
      const key = await fetchKey(this.#ms, this.#api);
      const sameKey = push && hasKey(push, key);
      // An unknown one with another key belongs to another push system of the site.
      if (!kept && !sameKey) return false;
      // A function that makes tokens is called where `user` does not say whose, or the server is told.
      const said = options.user === undefined ? await this.#proved(options) : options;
      const fresh = kept && sameKey && kept.endpoint === push.endpoint && Date.now() - kept.saved < REFRESH_MS;
      if (fresh && !kept.leaving && isAsTold(kept, said)) return leaves;
      await this.#enrol(await this.#registration(), key, said);
      return true;
    });
    return repaired ? this.#changed() : this.state();
  }

  /** @param {ServiceWorkerRegistration} registration @param {Key} key @param {Types.SubscribeOptions} options */
  async #enrol({ pushManager, scope }, key, options) {
    let before = await this.#load();
    const proved = await this.#proved(options);
    const { user, userToken } = proved;
    // Also where another person comes: should the server refuse that one, nothing more comes for the one before.
    const leaves = user !== undefined && before?.user !== undefined && user !== before.user;
    if (before && (before.leaving || leaves)) before = await this.#detach(before, user ? {} : options.attributes);
    const told = details(before, proved);
    let push = await subscription(pushManager, key, this.#ms);
    const tell = () =>
      this.#call("POST", "subscriptions", undefined, {
        ...push.toJSON(),
        ...told,
        user: user ?? told.user,
        user_token: userToken,
        vapid_key: key.id,
        encodings: PushManager.supportedContentEncodings,
      });
    // First of all, so that the next page tells it again, or takes it back, where no answer comes.
    if (before && user) await this.#save({ ...before, user, saved: 0 });
    const answer = await tell().catch(async (error) => {
      if (error.problem?.status < 500) await this.#save(before);
      if (!error.problem?.type?.endsWith(":endpoint-taken")) throw error;
      // The server has this endpoint with other keys and changes them for nobody; a new endpoint is free.
      await within(this.#ms, "unsubscribing", push.unsubscribe());
      push = await subscription(pushManager, key, this.#ms);
      return tell();
    });
    const { id, token } = Object(answer);
    if (!id || !token) throw unusable(`${this.#api}subscriptions`);
    const kept = {
      id,
      token,
      endpoint: push.endpoint,
      vapidKey: { id: key.id, key: key.key },
      api: this.#api,
      scope,
      saved: Date.now(),
      told,
      user: user ?? told.user ?? (before?.id === id ? before?.user : undefined),
    };
    await this.#save(kept);
    if (before?.id !== id) await this.#end(before);
    // The server may have known this one before we did, and whose it was.
    if (user === null && before?.id !== id) await this.#detach(kept, told.attributes);
  }

  /**
   * Nobody's from here on: on the server, or, where that cannot be told, by giving up what the browser has. The next sync()
   * makes a new one, and ends the one that is left on the server.
   * @param {Kept} kept @param {Types.Attributes} [attributes] what stays
   */
  async #detach({ user, leaving, ...rest }, attributes = {}) {
    const { locale, timezone } = rest.told;
    const nobodys = { ...rest, told: { locale, timezone, attributes } };
    // First of all, so that it is finished although the page be closed.
    await this.#save({ ...nobodys, leaving: true });
    const said = { user: null, attributes };
    await this.#call("PATCH", `subscriptions/${rest.id}`, rest.token, said).catch(() => this.#drop(rest));
    await this.#save(nobodys);
    return nobodys;
  }

  /** Ends it in the browser. @param {Kept | undefined} kept */
  async #drop(kept) {
    const [push] = await this.#both();
    // One that we do not remember may be another push system's.
    if (push && kept?.endpoint === push.endpoint) await within(this.#ms, "unsubscribing", push.unsubscribe());
  }

  /** Ends it on the server. @param {Kept | undefined} kept */
  async #end(kept) {
    // Should this fail, the push service tells the server at its next message.
    if (kept) await this.#call("DELETE", `subscriptions/${kept.id}`, kept.token).catch(() => {});
  }

  /** What the browser has, and what we remember. @returns {Promise<[PushSubscription?, Kept?]>} */
  async #both() {
    const scope = (/** @type {string | URL} */ script) => new URL(".", new URL(script, location.href));
    const finding = this.#worker((script) => navigator.serviceWorker?.getRegistration(scope(script)));
    const found = await within(this.#ms, "finding the service worker", finding, "worker");
    const push = found && (await within(this.#ms, "looking for a subscription", found.pushManager.getSubscription()));
    return [push ?? undefined, await this.#load()];
  }

  /** The worker's registration, made if need be, once it can take a subscription. */
  #registration() {
    // The HTTP cache must not keep old copies of what the worker imports.
    const registering = this.#worker((script) => navigator.serviceWorker.register(script, { updateViaCache: "none" }));
    return within(this.#ms, "starting the service worker", registering.then(activation), "worker");
  }

  /** With the token that a function of the page makes. Without one, its `user` is not told.
   * @param {Types.SubscribeOptions} options @returns {Promise<Types.SubscribeOptions & { userToken?: string }>} */
  async #proved({ userToken: token, ...options }) {
    if (typeof token === "function") {
      const making = (async (make) => make())(token);
      token = (await within(this.#ms, "fetching the user token", making, "user-token")) || undefined;
      if (options.user && !token) options.user = undefined;
    }
    return { ...options, userToken: token, user: options.user === undefined ? subjectOf(token) : options.user };
  }

  /** @param {string} method @param {string} path @param {string} [token] @param {object} [body] */
  #call(method, path, token, body) {
    return callServer(this.#ms, method, this.#api + path, token, body);
  }

  /** One page at a time. @template T @param {() => Promise<T>} act @returns {Promise<T | undefined>} */
  async #alone(act) {
    // Long enough for all that another page may wait for.
    const signal = globalThis.AbortSignal?.timeout?.(10 * this.#ms);
    try {
      return await globalThis.navigator?.locks?.request(this.#name, { signal }, act);
    } catch (cause) {
      if (cause instanceof TidingsError) throw cause;
      throw new TidingsError("timeout", "Another page of this site keeps the subscription busy. Try again.", { cause });
    }
  }

  #listen() {
    // A sandboxed frame has no part in the site.
    if (globalThis.origin === "null") return;
    navigator.serviceWorker?.addEventListener("message", ({ data }) => {
      if (data?.tidings?.event) this.dispatchEvent(new CustomEvent("receipt", { detail: data.tidings }));
    });
    const look = () => this.#tell().catch(() => {});
    this.#others = new BroadcastChannel("tidings");
    this.#others.onmessage = ({ data }) => data === this.#name && look();
    // Firefox and Chromium tell of what the person does in the browser's settings.
    const watching = navigator.permissions?.query({ name: "notifications" });
    watching?.then((status) => status.addEventListener("change", () => this.#asking || look())).catch(() => {});
  }

  #changed() {
    this.#others?.postMessage(this.#name);
    return this.#tell();
  }

  async #tell() {
    const detail = await this.state();
    this.dispatchEvent(new CustomEvent("change", { detail }));
    return detail;
  }

  /** @returns {Promise<Kept | undefined>} */
  async #load() {
    const loading = inStore("readonly", (store) => store.get(this.#name));
    return within(this.#ms, "reading", loading).catch(() => this.#kept);
  }

  /** @param {Kept | undefined} kept */
  async #save(kept) {
    this.#kept = kept;
    const saving = inStore("readwrite", (store) => (kept ? store.put(kept, this.#name) : store.delete(this.#name)));
    // Not keeping it costs little: asked again, the server gives the same id and token.
    await within(this.#ms, "writing", saving).catch(() => {});
  }
}

/** What the server is told, and may be told again. @param {Kept | undefined} before @param {Types.SubscribeOptions} options */
function details(before, { user, userToken, attributes, locale = navigator.language, timezone }) {
  return {
    ...before?.told,
    locale,
    timezone: timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    ...(attributes && { attributes }),
    // A proof expires; a page that is believed may say it again.
    ...(user && { user: userToken ? undefined : user }),
  };
}

/** @param {Kept} kept @param {Types.SubscribeOptions} said */
function isAsTold(kept, said) {
  const sameUser = said.user === undefined || (said.user ?? undefined) === kept.user;
  return sameUser && JSON.stringify(kept.told) === JSON.stringify(details(kept, said));
}
