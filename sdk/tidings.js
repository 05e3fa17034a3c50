/**
 * Tidings in a page; tidings.d.ts describes its public names.
 * @import * as Types from "./tidings.d.ts"
 * @typedef {{ id: string, key: string, octets: Uint8Array<ArrayBuffer> }} Key
 * @typedef {Types.Subscription & { token: string, saved: number, told: Types.SubscribeOptions }} Kept
 */

/** An unchanged subscription is told to the server once a day. */
const REFRESH_MS = 86_400_000;

/** @implements {Types.TidingsError} */
export class TidingsError extends Error {
  /**
   * @param {Types.TidingsErrorCode} code @param {string} message
   * @param {{ cause?: unknown, problem?: Types.Problem }} [details]
   */
  constructor(code, message, { cause, problem } = {}) {
    super(message, { cause });
    this.name = "TidingsError";
    this.code = code;
    this.problem = problem;
  }
}

/** @implements {Types.Tidings} */
export class Tidings extends EventTarget {
  #api;
  #name;
  #worker;
  #timeoutMs;
  #permissionTimeoutMs;
  /** @type {Kept | undefined} stands in where IndexedDB fails */
  #kept;

  /** @param {Types.TidingsOptions} [options] */
  constructor({
    server = new URL("..", import.meta.url),
    app = "default",
    serviceWorker = "/tidings-sw.js",
    timeoutMs = 10_000,
    permissionTimeoutMs = 120_000,
  } = {}) {
    super();
    const base = new URL(server, location.href).href.replace(/\/?$/, "/");
    this.#api = `${base}v1/apps/${encodeURIComponent(app)}/`;
    this.#name = `${base} ${app}`;
    this.#worker = async (/** @type {(script: string | URL) => any} */ act) =>
      typeof serviceWorker === "string" || serviceWorker instanceof URL ? act(serviceWorker) : serviceWorker;
    this.#timeoutMs = timeoutMs;
    this.#permissionTimeoutMs = permissionTimeoutMs;

    navigator.serviceWorker?.addEventListener("message", ({ data }) => {
      if (data?.tidings?.event) this.dispatchEvent(new CustomEvent("receipt", { detail: data.tidings }));
    });
  }

  /** @returns {Promise<Types.State>} */
  async state() {
    const obstacle = findObstacle();
    if (obstacle) return { state: /** @type {Types.StateName} */ (obstacle.code), reason: obstacle.message };
    const granted = Notification.permission === "granted";
    const [push, kept] = await this.#both();
    if (granted && push && kept?.endpoint === push.endpoint) {
      const { token, saved, told, ...subscription } = kept;
      return { state: "subscribed", reason: "This browser is subscribed.", subscription };
    }
    return { state: "prompt", reason: granted ? "Allowed, but not subscribed." : "Nobody was asked yet." };
  }

  /** @param {Types.SubscribeOptions} [options] */
  async subscribe(options = {}) {
    const obstacle = findObstacle();
    if (obstacle) throw obstacle;
    // Before any await: Firefox and Safari take the question only inside the gesture.
    const asked = askPermission();
    const ready = Promise.all([this.#vapidKey(), this.#registration()]);
    ready.catch(() => {});
    const permission = await this.#within(asked, "asking for permission", "denied", this.#permissionTimeoutMs);
    if (permission === "denied") throw denied();
    if (permission !== "granted") throw new TidingsError("dismissed", "Closed without an answer. Ask again later.");
    const [key, registration] = await ready;
    await navigator.locks.request(this.#name, () => this.#enrol(registration, key, options));
    return this.#changed();
  }

  async unsubscribe() {
    await navigator.locks?.request(this.#name, async () => {
      const [push, kept] = await this.#both();
      // One that we do not remember may be another push system's.
      if (push && kept?.endpoint === push.endpoint) await this.#within(push.unsubscribe(), "unsubscribing");
      await this.#save(undefined);
      await this.#end(kept);
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
    const repaired = await navigator.locks.request(this.#name, async () => {
      const [push, kept] = await this.#both();
      if (!push && !kept) return false;
      const key = await this.#vapidKey();
      const sameKey = push && hasKey(push, key);
      // An unknown one with another key belongs to another push system of the site.
      if (!kept && !sameKey) return false;
      const fresh = kept && sameKey && kept.endpoint === push.endpoint && Date.now() - kept.saved < REFRESH_MS;
      if (fresh && JSON.stringify(kept.told) === JSON.stringify(details(kept, options))) return false;
      await this.#enrol(await this.#registration(), key, options);
      return true;
    });
    return repaired ? this.#changed() : this.state();
  }

  /** @param {ServiceWorkerRegistration} registration @param {Key} key @param {Types.SubscribeOptions} options */
  async #enrol({ pushManager }, key, options) {
    const before = await this.#load();
    const told = details(before, options);
    let push = await this.#push(pushManager, key);
    const tell = () =>
      this.#call("POST", "subscriptions", undefined, {
        ...push.toJSON(),
        ...told,
        // Proofs expire: a user is named only where the page does so now.
        user: options.user,
        user_token: options.userToken,
        vapid_key: key.id,
        encodings: PushManager.supportedContentEncodings,
      });
    const { id, token } = await tell().catch(async (error) => {
      if (error.problem?.status !== 409) throw error;
      // The server has this endpoint with other keys and changes them for nobody; a new endpoint is free.
      await this.#within(push.unsubscribe(), "unsubscribing");
      push = await this.#push(pushManager, key);
      return tell();
    });
    await this.#save({
      id,
      token,
      endpoint: push.endpoint,
      vapidKey: { id: key.id, key: key.key },
      saved: Date.now(),
      told,
    });
    if (before?.id !== id) await this.#end(before);
  }

  /** @param {PushManager} pushManager @param {Key} key @returns {Promise<PushSubscription>} */
  async #push(pushManager, key) {
    for (let tries = 1; ; tries += 1) {
      const found = await this.#within(pushManager.getSubscription(), "looking for a subscription");
      if (found && hasKey(found, key)) return found;
      if (found) await this.#within(found.unsubscribe(), "unsubscribing");
      try {
        // The octets, not their base64url: every browser takes those.
        const subscribing = pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key.octets });
        return await this.#within(subscribing, "subscribing");
      } catch (error) {
        const { code, cause } = /** @type {{ code: string, cause?: Error }} */ (error);
        // A Firefox that is just starting loses the first call for ever and answers the second.
        if (tries > 1 || (code !== "timeout" && cause?.name !== "InvalidStateError")) throw error;
      }
    }
  }

  /** What the browser has, and what we remember. @returns {Promise<[PushSubscription?, Kept?]>} */
  async #both() {
    const scope = (/** @type {string | URL} */ script) => new URL(".", new URL(script, location.href));
    const finding = this.#worker((script) => navigator.serviceWorker?.getRegistration(scope(script)));
    const found = await this.#within(finding, "finding the service worker", "worker");
    const push = found && (await this.#within(found.pushManager.getSubscription(), "looking for a subscription"));
    return [push ?? undefined, await this.#load()];
  }

  /** The worker's registration, made if need be, once it can take a subscription. */
  #registration() {
    // The HTTP cache must not keep old copies of what the worker imports.
    const registering = this.#worker((script) => navigator.serviceWorker.register(script, { updateViaCache: "none" }));
    return this.#within(registering.then(activation), "starting the service worker", "worker");
  }

  /** @returns {Promise<Key>} */
  async #vapidKey() {
    const { id, key = "" } = await this.#call("GET", "vapid-public-key");
    const base64 = key.replace(/-/g, "+").replace(/_/g, "/");
    return { id, key, octets: Uint8Array.from(atob(base64), (octet) => octet.charCodeAt(0)) };
  }

  /** @param {Kept} [kept] */
  async #end(kept) {
    // Should this fail, the push service tells the server at its next message.
    if (kept) await this.#call("DELETE", `subscriptions/${kept.id}`, kept.token).catch(() => {});
  }

  /** @param {string} method @param {string} path @param {string} [token] @param {object} [body] */
  async #call(method, path, token, body) {
    const url = this.#api + path;
    const headers = {
      Accept: "application/json",
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(body && { "Content-Type": "application/json" }),
    };
    const signal = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await fetch(url, { method, headers, body: JSON.stringify(body), signal, credentials: "omit" });
      const text = await response.text();
      if (response.ok) return text && JSON.parse(text);
      // What answers in between, a proxy for example, does so in HTML.
      const told = JSON.parse(text.startsWith("{") ? text : "{}");
      const problem = { title: `Status ${response.status}`, status: response.status, ...told };
      throw new TidingsError("refused", [problem.title, problem.detail].filter(Boolean).join(": "), { problem });
    } catch (cause) {
      if (cause instanceof TidingsError) throw cause;
      if (signal.aborted) throw new TidingsError("timeout", `${url} did not answer in time. Try again.`, { cause });
      const advice = `Is it a Tidings server, running, with ${location.origin} among its allowed origins?`;
      throw new TidingsError("unreachable", `No usable answer from ${url}. ${advice}`, { cause });
    }
  }

  async #changed() {
    const detail = await this.state();
    this.dispatchEvent(new CustomEvent("change", { detail }));
    return detail;
  }

  /** @returns {Promise<Kept | undefined>} */
  async #load() {
    const loading = inStore("readonly", (store) => store.get(this.#name));
    return this.#within(loading, "reading").catch(() => this.#kept);
  }

  /** @param {Kept | undefined} kept */
  async #save(kept) {
    this.#kept = kept;
    const saving = inStore("readwrite", (store) => (kept ? store.put(kept, this.#name) : store.delete(this.#name)));
    // Not keeping it costs little: asked again, the server gives the same id and token.
    await this.#within(saving, "writing").catch(() => {});
  }

  /**
   * @template T @param {Promise<T>} promise @param {string} what
   * @param {Types.TidingsErrorCode} [code] @returns {Promise<T>}
   */
  #within(promise, what, code = "push-service", ms = this.#timeoutMs) {
    return new Promise((resolve, reject) => {
      const late = `The browser did not finish ${what} in ${ms / 1000} s. Reload the page and try again.`;
      setTimeout(() => reject(new TidingsError("timeout", late)), ms);
      promise.then(resolve, (cause) => {
        const message = `The browser failed at ${what}. Check the network and its settings. (${cause.message})`;
        reject(cause.name === "NotAllowedError" ? denied() : new TidingsError(code, message, { cause }));
      });
    });
  }
}

function findObstacle() {
  if (!isSecureContext) {
    return new TidingsError("unsupported", "Push works only on secure pages. Serve this one over https.");
  }
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) {
    // `standalone` exists only on iOS and iPadOS, which hide push from sites that are not installed.
    return "standalone" in navigator && !navigator.standalone
      ? new TidingsError("needs-install", "On iPhone and iPad, add this site to the home screen and open it there.")
      : new TidingsError("unsupported", "This browser, or its private window, has no Web Push.");
  }
  return Notification.permission === "denied" ? denied() : undefined;
}

function denied() {
  return new TidingsError("denied", "Notifications are blocked. Only the person can allow them, in the settings.");
}

/** @returns {Promise<NotificationPermission>} */
function askPermission() {
  // Older Safari knows only the callback, and returns nothing.
  return new Promise((resolve, reject) => Notification.requestPermission(resolve)?.then(resolve, reject));
}

/** @param {ServiceWorkerRegistration} registration @returns {Promise<ServiceWorkerRegistration>} */
function activation(registration) {
  return new Promise((resolve, reject) => {
    const worker = registration.installing ?? registration.waiting;
    const look = () => {
      if (registration.active) resolve(registration);
      else if (worker?.state === "redundant") reject(new Error("It failed to install."));
    };
    worker?.addEventListener("statechange", look);
    look();
  });
}

/** @param {PushSubscription} push @param {Key} key */
function hasKey({ options }, { octets }) {
  return String(new Uint8Array(options.applicationServerKey ?? [])) === String(octets);
}

/** @param {Kept | undefined} before @param {Types.SubscribeOptions} options */
function details(before, { userToken, ...options }) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return { ...before?.told, locale: navigator.language, timezone: timeZone, ...options };
}

/** One request to the database that the worker shares. Either of the two creates all stores.
 * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} act @returns {Promise<any>} */
function inStore(mode, act) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("tidings", 1);
    opening.onupgradeneeded = () => {
      for (const name of ["subscriptions", "shown", "receipts"]) {
        opening.result.createObjectStore(name, { autoIncrement: true });
      }
    };
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction("subscriptions", mode);
      const request = act(transaction.objectStore("subscriptions"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
      database.close();
    };
  });
}
