/**
 * Tidings in a page: permission, the subscription, and what the service worker reports.
 *
 * ```js
 * import { Tidings } from "https://tidings.example/sdk/tidings.js";
 *
 * const tidings = new Tidings();
 * await tidings.sync();
 * button.onclick = () => tidings.subscribe({ attributes: { plan: "pro" } });
 * ```
 *
 * The service worker must be a script on the page's own origin. One line is enough:
 * `importScripts("https://tidings.example/sdk/tidings-sw.js");`
 */

/** Where this browser stands; `state()`, `sync()` and every change say it. */
export interface State {
  state: StateName;
  /** Why, as a sentence for people. */
  reason: string;
  /** Only in the state `subscribed`. */
  subscription?: Subscription;
}

/**
 * - `unsupported`: no Web Push in this browser, in this private window, or on this insecure page
 * - `needs-install`: iPhone or iPad, where only sites on the home screen get push
 * - `denied`: the person, or a policy, blocked notifications; a page cannot ask again
 * - `prompt`: nobody asked yet, or allowed but not subscribed: offer a button that calls `subscribe()`
 * - `subscribed`: this browser is subscribed and the server knows it
 */
export type StateName = "unsupported" | "needs-install" | "denied" | "prompt" | "subscribed";

export interface Subscription {
  /** The server's id, `sub_…`. */
  id: string;
  /** The push resource at the push service. It is a secret: show its origin only. */
  endpoint: string;
  /** The key that it was made with: its id on the server and its 65 octets in base64url. */
  vapidKey: { id: string; key: string };
}

export interface TidingsOptions {
  /** The server's URL. Default: where `tidings.js` was loaded from; give it if you bundle that file. */
  server?: string | URL;
  /** The application's id. Default: `default`. */
  app?: string;
  /**
   * The worker's script on the page's own origin (default `/tidings-sw.js`), which is registered when it is needed. A site
   * that has a service worker imports `tidings-sw.js` into that, and gives its registration here, for example
   * `navigator.serviceWorker.ready`.
   */
  serviceWorker?: string | URL | ServiceWorkerRegistration | Promise<ServiceWorkerRegistration>;
  /** Limit for each call of the browser, some of which never come back, and each request. Default: 10 000 ms. */
  timeoutMs?: number;
  /** How long the permission prompt may stay open. Default: 120 000 ms. */
  permissionTimeoutMs?: number;
}

/** What the server is told with the subscription. What is left out stays as it was. */
export interface SubscribeOptions {
  attributes?: Record<string, string | number | boolean | string[]>;
  /** The site's own id of the person; the server wants `userToken` with it, unless it trusts pages. */
  user?: string;
  /** A short-lived JWT by the site's back end that proves `user`. */
  userToken?: string;
  /** BCP 47. Default: the browser's. */
  locale?: string;
  /** IANA name. Default: the browser's. */
  timezone?: string;
}

/** What happened to a notification on this device, as the service worker tells it. */
export interface Receipt {
  /** `msg_…` */
  message: string;
  /** `sub_…` */
  subscription: string;
  event: "shown" | "clicked" | "dismissed";
  /** The button that was clicked, if it was one. */
  action?: string;
  /** RFC 3339. */
  at: string;
}

export interface TidingsEventMap {
  /** The state may be another than before, through this object or through the person. */
  change: CustomEvent<State>;
  receipt: CustomEvent<Receipt>;
}

/** One application of a Tidings server, seen from one browser. Methods throw nothing but {@link TidingsError}. */
export class Tidings extends EventTarget {
  constructor(options?: TidingsOptions);

  /** Says where this browser stands. Asks neither the person nor the server, and changes nothing. */
  state(): Promise<State>;

  /**
   * Asks for permission where that is open, and subscribes. Call it in the handler of a click, before any `await`: browsers
   * take the question only inside a gesture. A subscription with another key is replaced.
   */
  subscribe(options?: SubscribeOptions): Promise<State>;

  /** Ends the subscription in the browser and on the server. The permission stays. */
  unsubscribe(): Promise<State>;

  /** Has the server send its test notification to this browser; at most once in 10 s. */
  test(): Promise<void>;

  /**
   * Repairs a subscription that the browser lost or changed, or whose key is no longer the server's. Call it on every page
   * load. It asks nothing and subscribes nobody who was not subscribed. A repaired subscription can be a new one to the
   * server: give `user` and `userToken` where the person is signed in.
   */
  sync(options?: SubscribeOptions): Promise<State>;

  addEventListener<K extends keyof TidingsEventMap>(
    type: K,
    listener: (this: Tidings, event: TidingsEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/**
 * - `unsupported`, `needs-install`, `denied`: as the states of the same name
 * - `dismissed`: the person closed the question undecided; offer it again another day
 * - `worker`: the service worker could not be installed
 * - `push-service`: the browser could not subscribe at its push service: no network, a firewall, or, in Brave, the setting
 *   "Use Google services for push messaging" is off
 * - `timeout`: the browser or the server did not answer in time
 * - `unreachable`: no usable answer from the server: not running, wrong URL, or this origin is not allowed
 * - `refused`: the server said no; `problem` says why
 * - `not-subscribed`: `subscribe()` has to come first
 */
export type TidingsErrorCode =
  | "unsupported"
  | "needs-install"
  | "denied"
  | "dismissed"
  | "worker"
  | "push-service"
  | "timeout"
  | "unreachable"
  | "refused"
  | "not-subscribed";

/** The server's answer to a request that it refused (RFC 9457). */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail?: string;
}

/** The message says what to do. */
export class TidingsError extends Error {
  constructor(code: TidingsErrorCode, message: string, details?: { cause?: unknown; problem?: Problem });
  readonly code: TidingsErrorCode;
  /** Only with the code `refused`. */
  readonly problem?: Problem;
}
