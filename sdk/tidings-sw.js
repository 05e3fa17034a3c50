/**
 * Tidings in a service worker. Use this file as it is, or `importScripts()` it from any origin into the site's own worker;
 * tidings-sw.d.ts describes its hooks.
 *
 * @import { Content, Envelope as Ours } from "./tidings-sw.d.ts"
 */
"use strict";
{
  const worker = /** @type {ServiceWorkerGlobalScope & { tidings: import("./tidings-sw.d.ts").Hooks }} */ (/** @type {unknown} */ (self));
  worker.tidings ??= {};

  const HOOK_MS = 10_000;
  const LOCAL_MS = 2_000;
  const RECEIPTS_MS = 3_000;
  const RECEIPTS_AGE_MS = 7 * 86_400_000;
  const RECEIPTS_KEPT = 100;
  const SHOWN_KEPT = 500;

  worker.addEventListener("push", (event) => event.waitUntil(onPush(event)));

  worker.addEventListener("notificationclick", (event) => {
    const { notification, action } = event;
    const ours = oursIn(notification);
    if (!ours) return;
    closeQuietly(notification);
    const target = httpUrl(ours.actions?.[action]) ?? httpUrl(ours.navigate) ?? worker.location.origin;
    // Opening comes first: the click allows it for one second only (Firefox).
    event.waitUntil(within(open(target), LOCAL_MS).then(() => report("clicked", ours, action)));
  });

  worker.addEventListener("notificationclose", (event) => {
    const ours = oursIn(event.notification);
    if (ours && !closing.has(ours.message)) event.waitUntil(report("dismissed", ours));
  });

  /** @param {PushEvent} event */
  async function onPush(event) {
    const { ours, badge, ...push } = read(event);
    // One after the other, so that of two with the same tag the later stays.
    const shown = await inTurn(() => show(event, push, ours));
    if (!shown) return;
    const count = Number(badge ?? NaN);
    if (count >= 0) within(navigator.setAppBadge?.(count), LOCAL_MS);
    await report("shown", ours, undefined, shown);
  }

  /**
   * `declared` is a notification that the browser itself shows if we do not (Declarative Web Push).
   * @param {PushEvent & { notification?: Notification }} event
   * @returns {{ ours: Ours, content?: Content, declared?: Notification, data?: unknown, badge?: unknown }}
   */
  function read({ data, notification: declared }) {
    if (declared) return { declared, content: copy(declared), ours: Object(oursIn(declared)) };
    /** @type {any} */
    let json = data?.text();
    try {
      json = JSON.parse(json);
    } catch {
      // Text, perhaps.
    }
    const { web_push, notification, app_badge, tidings, data: inner } = Object(json);
    const titled = [notification, inner, json].find((one) => one?.title && typeof one.title === "string");
    const content = titled ?? sentence(json);
    return {
      content,
      badge: app_badge ?? notification?.app_badge,
      ours: Object(tidings ?? notification?.data?.tidings),
      ...(!(web_push && content) && { data: tidings ? inner : json }),
    };
  }

  /** What pages are told of it, unless it was there before.
   * @param {PushEvent} event @param {Omit<ReturnType<typeof read>, "ours">} push @param {Ours} ours */
  async function show(event, { content, declared, ...push }, ours) {
    const [visible, shown] = await Promise.all([onScreen(isOf(ours)), wasShown(ours)]);
    const wanted = content ?? fallback();
    if (shown || visible.length) {
      await repeat(visible.at(-1), wanted, ours);
      return undefined;
    }
    const answer = "data" in push ? await ask(event, push.data) : undefined;
    const notification = answer === true ? undefined : answer || wanted;
    if (!declared && notification) {
      await display(notification, ours).catch(() => display(fallback(), ours));
    }
    await remember(ours);
    // Receipts' proofs are no page's business.
    const data = { ...notification?.data, tidings: undefined };
    return { notification: notification && { ...notification, data }, ...push };
  }

  /**
   * A push that comes twice replaces its notification without a sound. If the person has closed that, it appears only
   * as long as browsers insist.
   * @param {Notification | undefined} old @param {Content} content @param {Ours} ours
   */
  async function repeat(old, content, ours) {
    // With nothing to replace, the caller's tag may by now show another message.
    const again = old ? copy(old) : { ...content, tag: "" };
    await display({ ...again, silent: true, renotify: false }, ours);
    // Safari stacks what others replace.
    const rest = (await onScreen(isOf(ours))).slice(0, old ? -1 : undefined);
    for (const one of rest) closeQuietly(one);
  }

  /**
   * The site's hook on data that is no notification.
   * @param {PushEvent} event @param {unknown} data
   * @returns {Promise<Content | boolean>} what it wants shown, or whether it showed something
   */
  async function ask(event, data) {
    /** @type {Promise<void>[]} */
    const shows = [];
    const { registration } = worker;
    registration.showNotification = (...args) => {
      shows.push(ServiceWorkerRegistration.prototype.showNotification.apply(registration, args));
      return /** @type {Promise<void>} */ (shows.at(-1));
    };
    const hook = async () => /** @type {any} */ (worker.tidings.onData?.(data, event));
    const answer = await within(hook(), HOOK_MS);
    Reflect.deleteProperty(registration, "showNotification");
    if (answer?.title) return answer;
    return (await Promise.allSettled(shows)).some(({ status }) => status === "fulfilled");
  }

  /** @param {Content} content @param {Ours} ours */
  async function display({ title, ...content }, ours) {
    const { body, silent, data, navigate, vibrate } = content;
    const actions = Array.from(content.actions ?? [], (action) => ({ ...action, icon: httpUrl(action?.icon) }));
    const targets = Object.fromEntries(actions.map((action) => [action.action, action.navigate]));
    const tag = content.tag || (ours.message && `tidings ${ours.message}`);
    const tidings = { navigate, actions: targets, ...ours, ...data?.tidings };
    const plain = { body, silent, tag, data: { ...data, tidings } };
    const options = {
      ...content,
      ...plain,
      actions,
      icon: httpUrl(content.icon),
      image: httpUrl(content.image),
      badge: httpUrl(content.badge),
      navigate: httpUrl(navigate),
      // These two throw: a vibration in silence, and renewed attention to no tag.
      vibrate: silent ? undefined : vibrate,
      renotify: Boolean(tag && content.renotify),
    };
    for (const old of await onScreen((one) => Boolean(tag) && one.tag === tag)) expectClose(old);
    const { registration } = worker;
    // Browsers also throw at members of a wrong type.
    await registration.showNotification(title, options).catch(() => registration.showNotification(title, plain));
  }

  /** @returns {Content} */
  function fallback() {
    const { hostname } = worker.location;
    return { title: hostname, body: "There is something new.", tag: "tidings", ...worker.tidings.fallback };
  }

  /** Neither broken JSON nor binary data. @param {unknown} text @returns {Content | undefined} */
  function sentence(text) {
    if (typeof text !== "string" || !/^[^{[<\p{Cc}\uFFFD][^\p{Cc}\uFFFD]*$/u.test(text)) return undefined;
    return { title: fallback().title, body: text };
  }

  /** @param {Notification} notification @returns {Content} */
  function copy(notification) {
    const content = /** @type {Content} */ ({ title: "" });
    // Its members are its prototype's accessors, among methods.
    for (const name in notification) {
      const value = Reflect.get(notification, name);
      if (value && typeof value !== "function") content[name] = value;
    }
    return content;
  }

  /** Focuses a window at this address, or opens one. @param {string} url */
  async function open(url) {
    const same = (await windows()).find((client) => client.url === url);
    await (same ? same.focus() : worker.clients.openWindow(url));
  }

  function windows() {
    return worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  }

  /** Messages whose notifications we close or replace: Firefox reports that like a person's doing. */
  const closing = new Set();

  /** @param {Notification} notification */
  function expectClose(notification) {
    const message = oursIn(notification)?.message;
    closing.add(message);
    setTimeout(() => closing.delete(message), LOCAL_MS);
  }

  /** @param {Notification} notification */
  function closeQuietly(notification) {
    expectClose(notification);
    notification.close();
  }

  /** @param {Notification} notification @returns {Ours | undefined} nothing for the site's own notifications */
  function oursIn({ data }) {
    return data?.tidings;
  }

  /** @param {Ours} ours @returns {(notification: Notification) => boolean} */
  function isOf({ message }) {
    return (one) => Boolean(message) && oursIn(one)?.message === message;
  }

  /** @param {(notification: Notification) => boolean} wanted */
  async function onScreen(wanted) {
    return ((await within(worker.registration.getNotifications(), LOCAL_MS)) ?? []).filter(wanted);
  }

  /** @param {Ours} ours */
  async function wasShown({ message }) {
    return message && within(inStore("shown", "readonly", (store) => store.count(message)), LOCAL_MS);
  }

  /** @param {Ours} ours */
  async function remember({ message }) {
    if (message) await keep("shown", SHOWN_KEPT, Date.now(), message);
  }

  /**
   * Tells open pages, visible or not, and the server. What the server does not take now goes with the next event.
   * @param {"shown" | "clicked" | "dismissed"} event @param {Ours} ours @param {string} [action] @param {object} [shown]
   */
  async function report(event, { message, subscription, proof, receipts: url }, action, shown) {
    if (!message) return;
    const told = { message, subscription, event, action: action || undefined, at: new Date().toISOString() };
    const tell = (/** @type {WindowClient} */ client) => client.postMessage({ tidings: { ...told, ...shown } });
    // What a hook made of it may be nothing that can be told.
    await within(windows().then((all) => all.forEach(tell)), LOCAL_MS);
    if (!url) return;
    const receipt = { ...told, proof };
    const kept = await keep("receipts", RECEIPTS_KEPT, { url, receipt }, `${message} ${event}`);
    await (kept ? send() : post(url, [receipt]));
  }

  let sending = Promise.resolve();
  /** @type {Promise<void> | undefined} */
  let waiting;

  /** One at a time, and one more for all that is asked meanwhile. */
  function send() {
    return (waiting ??= sending =
      sending.then(async () => {
        waiting = undefined;
        /** @type {{ url: string, receipt: { message: string, event: string, at: string } }[]} */
        const all = (await within(inStore("receipts", "readonly", (store) => store.getAll()), LOCAL_MS)) ?? [];
        for (const url of new Set(all.map((one) => one.url))) {
          const receipts = all.filter((one) => one.url === url).map((one) => one.receipt);
          const recent = receipts.filter(({ at }) => Date.now() - Date.parse(at) < RECEIPTS_AGE_MS);
          if (recent.length && !(await post(url, recent))) continue;
          const forget = (/** @type {IDBObjectStore} */ store) =>
            receipts.map(({ message, event }) => store.delete(`${message} ${event}`))[0];
          await within(inStore("receipts", "readwrite", forget), LOCAL_MS);
        }
      }));
  }

  /** @param {string} url @param {object[]} receipts @returns {Promise<boolean>} whether they need not be sent again */
  async function post(url, receipts) {
    try {
      const { ok, status } = await fetch(url, {
        method: "POST",
        body: JSON.stringify(receipts),
        // Spares other origins the preflight.
        headers: { "Content-Type": "text/plain" },
        credentials: "omit",
        keepalive: true,
        signal: AbortSignal.timeout(RECEIPTS_MS),
      });
      // What the server refuses today, it refuses tomorrow.
      return ok || (status >= 400 && status < 500 && status !== 408 && status !== 429);
    } catch {
      return false;
    }
  }

  /** @param {string} name @param {number} limit @param {unknown} value @param {string} key */
  function keep(name, limit, value, key) {
    const keeping = inStore(name, "readwrite", (store) => {
      const putting = store.put(value, key);
      const keys = store.getAllKeys();
      // Keys begin with a message id, that with a time: the first are the oldest.
      keys.onsuccess = () => keys.result.slice(0, -limit).forEach((old) => store.delete(old));
      return putting;
    });
    return within(keeping, LOCAL_MS);
  }

  /**
   * One transaction on the database that the page shares. Either of the two creates all stores.
   * @param {string} name @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest | undefined} act @returns {Promise<any>}
   */
  function inStore(name, mode, act) {
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
        const transaction = database.transaction(name, mode);
        const request = act(transaction.objectStore(name));
        transaction.oncomplete = () => resolve(request?.result);
        transaction.onabort = () => reject(transaction.error);
        database.close();
      };
    });
  }

  let turn = Promise.resolve();

  /** @template T @param {() => Promise<T>} act @returns {Promise<T | undefined>} */
  function inTurn(act) {
    const done = turn.then(() => within(act(), HOOK_MS + 4 * LOCAL_MS));
    turn = done.then(() => {});
    return done;
  }

  /** Nothing that the browser promises may hold up the rest. @template T @param {Promise<T> | undefined} promise
   * @param {number} ms @returns {Promise<T | undefined>} */
  function within(promise, ms) {
    return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, ms))]).catch(() => undefined);
  }

  /** @param {unknown} value @returns {string | undefined} */
  function httpUrl(value) {
    if (typeof value !== "string" || !value) return undefined;
    try {
      const { protocol, href } = new URL(value, worker.location.href);
      return /^https?:$/.test(protocol) ? href : undefined;
    } catch {
      return undefined;
    }
  }
}
