/**
 * For a service worker, beside `tidings-sw.js`: what browsers replace or drop of their own accord (`pushsubscriptionchange`) is
 * renewed at once, without a page. The site's worker imports both. A script of its own, since a site can do without: what this
 * does not renew, the next page's `sync()` does.
 *
 * @import { Kept } from "./tidings-kept.d.ts"
 */
"use strict";
{
  const worker = /** @type {ServiceWorkerGlobalScope & { tidings: import("./tidings-sw.d.ts").Hooks }} */ (/** @type {unknown} */ (self));
  worker.tidings ??= {};

  const CALL_MS = 10_000;
  // Longer than its calls together: what is late would come in the way of a page that has the lock by then.
  const RENEWAL_MS = 90_000;

  worker.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renewAll()));

  /**
   * Events name the old and the new subscription, one of them, or neither, as the browser and its version will have it. So
   * nothing is taken from them: what is remembered and what the browser has now say more.
   */
  async function renewAll() {
    // Without the permission nothing can be had; it is granted again in a page.
    if (Notification.permission !== "granted") return;
    const names = await within(CALL_MS, inStore("readonly", (store) => store.getAllKeys()));
    for (const name of names) {
      // The page's lock: one of the two renews, and the other finds it done. A call that hangs must not hold it for ever.
      await navigator.locks.request(name, () => within(RENEWAL_MS, renew(name)).catch(() => {}));
    }
  }

  /** @param {string} name server and application, as the page calls them */
  async function renew(name) {
    const { scope, pushManager } = worker.registration;
    /** @type {Kept | undefined} */
    const before = await inStore("readonly", (store) => store.get(name));
    // One that is unknown is another push system's, and a logout is the page's to finish.
    if (before?.scope !== scope || before.leaving) return;
    const vapidKey = await call("GET", `${before.api}vapid-public-key`);
    const push = await subscription(pushManager, octetsOf(vapidKey.key));
    if (push.endpoint === before.endpoint) return;

    const proof = before.user === undefined ? undefined : await userToken();
    // With the proof, too: a session that is somebody else's by now proves nothing here.
    const user = proof ? before.user : before.told.user;
    const { id, token } = await call("POST", `${before.api}subscriptions`, undefined, {
      ...push.toJSON(),
      ...before.told,
      user,
      user_token: proof,
      vapid_key: vapidKey.id,
      encodings: PushManager.supportedContentEncodings,
    });
    const { endpoint } = push;
    /** @type {Kept} */
    const kept = { ...before, id, token, endpoint, vapidKey, user, saved: Date.now() };
    await inStore("readwrite", (store) => store.put(kept, name));
    new BroadcastChannel("tidings").postMessage(name);
    if (id !== before.id) await call("DELETE", `${before.api}subscriptions/${before.id}`, before.token);
  }

  /** @param {PushManager} pushManager @param {Uint8Array<ArrayBuffer>} applicationServerKey */
  async function subscription(pushManager, applicationServerKey) {
    const found = await within(CALL_MS, pushManager.getSubscription());
    const key = found?.options.applicationServerKey;
    if (found && String(new Uint8Array(key ?? [])) === String(applicationServerKey)) return found;
    if (found) await within(CALL_MS, found.unsubscribe());
    return within(2 * CALL_MS, pushManager.subscribe({ userVisibleOnly: true, applicationServerKey }));
  }

  /** What proves the person, who else is let go: better nobody's than not there. */
  async function userToken() {
    const making = (async () => worker.tidings.userToken?.())();
    return (await within(CALL_MS, making).catch(() => undefined)) || undefined;
  }

  /** @param {string} method @param {string} url @param {string} [token] @param {object} [body] */
  async function call(method, url, token, body) {
    const headers = {
      Accept: "application/json",
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(body && { "Content-Type": "application/json" }),
    };
    const signal = AbortSignal.timeout(CALL_MS);
    const response = await fetch(url, { method, headers, body: JSON.stringify(body), signal, credentials: "omit" });
    if (!response.ok) throw new Error(`${method} ${url} was answered with ${response.status}`);
    return response.status === 204 ? undefined : response.json();
  }

  /** @param {string} base64url */
  function octetsOf(base64url) {
    const base64 = base64url.replace(/-/g, "+").replace(/_/g, "/");
    return Uint8Array.from(atob(base64), (octet) => octet.charCodeAt(0));
  }

  /**
   * One request to what the page keeps. Whoever comes first creates all stores.
   * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} act @returns {Promise<any>}
   */
  function inStore(mode, act) {
    return new Promise((resolve, reject) => {
      const opening = indexedDB.open("tidings", 1);
      opening.onupgradeneeded = () => {
        for (const each of ["subscriptions", "shown", "receipts"]) {
          opening.result.createObjectStore(each, { autoIncrement: true });
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

  /** @template T @param {number} ms @param {Promise<T>} promise @returns {Promise<T>} */
  function within(ms, promise) {
    const late = () => new Error(`Not done in ${ms} ms`);
    return Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(late()), ms))]);
  }
}
