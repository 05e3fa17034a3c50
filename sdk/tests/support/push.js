/**
 * Runs in the page, before its scripts: a push service inside the browser. Chromium's own needs the internet (`subscribe()`
 * waits for ever without); all else in the page is real. Subscriptions outlive a reload, as in a browser.
 * `plans` says what the next calls of `subscribe()` do: "hang", or the name of the DOMException they reject with.
 */
export function installPushService(plans) {
  const KEPT = "test push service";
  const octets = (source) => new Uint8Array(source instanceof ArrayBuffer ? source : source.buffer);
  window.push = { calls: [], plans };

  const load = () => JSON.parse(localStorage.getItem(KEPT) ?? '{ "made": 0 }');
  const store = (state) => localStorage.setItem(KEPT, JSON.stringify(state));

  const revive = ({ current, made }) => {
    const endpoint = `https://push.example/${made}`;
    return {
      endpoint,
      options: { userVisibleOnly: true, applicationServerKey: Uint8Array.from(current).buffer },
      toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh: `p256dh ${made}`, auth: `auth ${made}` } }),
      unsubscribe: async () => {
        window.push.calls.push("unsubscribe");
        store({ made });
        return true;
      },
    };
  };

  PushManager.prototype.getSubscription = async function () {
    const state = load();
    return state.current ? revive(state) : null;
  };

  PushManager.prototype.subscribe = async function ({ userVisibleOnly, applicationServerKey }) {
    window.push.calls.push("subscribe");
    const registrations = await navigator.serviceWorker.getRegistrations();
    if (!registrations.some(({ active }) => active)) throw new DOMException("no active Service Worker", "AbortError");
    const plan = window.push.plans.shift();
    if (plan === "hang") return new Promise(() => {});
    if (plan) throw new DOMException("as planned", plan);
    const key = octets(applicationServerKey);
    if (!userVisibleOnly || key.length !== 65) throw new DOMException("bad options", "InvalidAccessError");
    const state = load();
    if (state.current && String(state.current) !== String(key)) throw new DOMException("other key", "InvalidStateError");
    if (!state.current) store({ made: state.made + 1, current: [...key] });
    return revive(load());
  };
}

/** The same for a worker, which has no storage of the page's: `push.current` is `{ number, key }` or null. */
export function installWorkerPushService() {
  self.push = { calls: [], plans: [], made: 40, current: null };
  const octetsOf = (key) => Uint8Array.from(atob(key.replace(/-/g, "+").replace(/_/g, "/")), (octet) => octet.charCodeAt(0));
  const textOf = (octets) => btoa(String.fromCharCode(...octets)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  const revive = ({ number, key }) => {
    const endpoint = `https://push.example/${number}`;
    return {
      endpoint,
      options: { userVisibleOnly: true, applicationServerKey: octetsOf(key).buffer },
      toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh: `p256dh ${number}`, auth: `auth ${number}` } }),
      unsubscribe: async () => {
        self.push.calls.push("unsubscribe");
        self.push.current = null;
        return true;
      },
    };
  };
  PushManager.prototype.getSubscription = async () => self.push.current && revive(self.push.current);
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    self.push.calls.push("subscribe");
    const plan = self.push.plans.shift();
    if (plan === "hang") return new Promise(() => {});
    if (plan) throw new DOMException("as planned", plan);
    if (!userVisibleOnly || applicationServerKey.length !== 65) throw new DOMException("bad options", "InvalidAccessError");
    self.push.made += 1;
    self.push.current = { number: self.push.made, key: textOf(applicationServerKey) };
    return revive(self.push.current);
  };
}
