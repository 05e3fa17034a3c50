/**
 * The calls that Tidings makes, to the browser and to the server, each with a limit of time, and the errors that come of
 * them. A part of `tidings.js`: pages import that.
 *
 * @import * as Types from "./tidings.d.ts"
 * @typedef {{ id: string, key: string, octets: Uint8Array<ArrayBuffer> }} Key
 */

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

/** Why this browser cannot be subscribed now, if it cannot. On a server, where pages are rendered, it never can. */
export function findObstacle() {
  if (!globalThis.isSecureContext) {
    return new TidingsError("unsupported", "Push works only on secure pages. Serve this one over https.");
  }
  if (globalThis.origin === "null") {
    return new TidingsError("unsupported", "Push needs a site: open this page by itself, not in a sandboxed frame.");
  }
  const needed = [navigator.serviceWorker, navigator.locks, window.PushManager, window.Notification, AbortSignal.timeout];
  if (!needed.every(Boolean)) {
    // `standalone` exists only on iOS and iPadOS, which hide push from sites that are not installed.
    return "standalone" in navigator && !navigator.standalone
      ? new TidingsError("needs-install", "On iPhone and iPad, add this site to the home screen and open it there.")
      : new TidingsError("unsupported", "This browser, or its private window, has no Web Push.");
  }
  return Notification.permission === "denied" ? denied() : undefined;
}

export function denied() {
  return new TidingsError("denied", "Notifications are blocked. Only the person can allow them, in the settings.");
}

/** @returns {Promise<NotificationPermission>} */
export function askPermission() {
  // Older Safari knows only the callback, and returns nothing.
  return new Promise((resolve, reject) => Notification.requestPermission(resolve)?.then(resolve, reject));
}

/**
 * Some calls of browsers never come back.
 * @template T @param {number} ms @param {string} what as in “failed at …” @param {Promise<T>} promise
 * @param {Types.TidingsErrorCode} [code] @returns {Promise<T>}
 */
export function within(ms, what, promise, code = "push-service") {
  return new Promise((resolve, reject) => {
    const late = `The browser did not finish ${what} in ${ms / 1000} s. Reload the page and try again.`;
    const timer = setTimeout(() => reject(new TidingsError("timeout", late)), ms);
    const stop = () => clearTimeout(timer);
    promise.finally(stop).then(resolve, (cause) => {
      const message = `The browser failed at ${what}. Check the network and its settings. (${cause?.message ?? cause})`;
      reject(cause?.name === "NotAllowedError" ? denied() : new TidingsError(code, message, { cause }));
    });
  });
}

/** The registration, once its worker can take a subscription.
 * @param {ServiceWorkerRegistration} registration @returns {Promise<ServiceWorkerRegistration>} */
export function activation(registration) {
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

/**
 * The subscription with this key: the browser's own, or a new one. One with another key makes way.
 * @param {PushManager} pushManager @param {Key} key @param {number} ms for each call @returns {Promise<PushSubscription>}
 */
export async function subscription(pushManager, key, ms) {
  for (let tries = 1; ; tries += 1) {
    const found = await within(ms, "looking for a subscription", pushManager.getSubscription());
    if (found && hasKey(found, key)) return found;
    if (found) await within(ms, "unsubscribing", found.unsubscribe());
    try {
      // The octets, not their base64url: every browser takes those.
      const options = { userVisibleOnly: true, applicationServerKey: key.octets };
      return await within(ms, "subscribing", pushManager.subscribe(options));
    } catch (error) {
      const { code, cause } = /** @type {{ code: string, cause?: Error }} */ (error);
      // A Firefox that is just starting loses the first call for ever and answers the second.
      if (tries > 1 || (code !== "timeout" && cause?.name !== "InvalidStateError")) throw error;
    }
  }
}

/** @param {PushSubscription} push @param {Key} key */
export function hasKey({ options }, { octets }) {
  return String(new Uint8Array(options.applicationServerKey ?? [])) === String(octets);
}

/**
 * @param {number} ms @param {string} method @param {string} url @param {string} [token] @param {object} [body]
 * @returns {Promise<any>}
 */
export async function callServer(ms, method, url, token, body) {
  const headers = {
    Accept: "application/json",
    ...(token && { Authorization: `Bearer ${token}` }),
    ...(body && { "Content-Type": "application/json" }),
  };
  const signal = AbortSignal.timeout(ms);
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
    throw unusable(url, cause);
  }
}

/** @param {string} url @param {unknown} [cause] */
export function unusable(url, cause) {
  const advice = `Is it a Tidings server, running, with ${location.origin} among its allowed origins?`;
  return new TidingsError("unreachable", `No usable answer from ${url}. ${advice}`, { cause });
}

/** The server's VAPID key of today. @param {number} ms @param {string} api @returns {Promise<Key>} */
export async function fetchKey(ms, api) {
  const url = `${api}vapid-public-key`;
  const { id, key } = Object(await callServer(ms, "GET", url));
  try {
    const octets = octetsOf(key);
    if (octets.length === 65) return { id, key, octets };
  } catch {
    // Not even text in base64url.
  }
  throw unusable(url);
}

/** @param {string} base64url */
function octetsOf(base64url) {
  const base64 = base64url.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(base64), (octet) => octet.charCodeAt(0));
}

/** Whom a JWT names. Nothing is proved by that: it only saves telling the server again. @param {string} [token] */
export function subjectOf(token) {
  try {
    const { sub } = JSON.parse(new TextDecoder().decode(octetsOf(String(token).split(".")[1] ?? "")));
    return typeof sub === "string" ? sub : undefined;
  } catch {
    return undefined;
  }
}

/** One request to the database that the worker shares. Either of the two creates all stores.
 * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} act @returns {Promise<any>} */
export function inStore(mode, act) {
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
