/**
 * Tidings in a page: permission, the subscription, and what the service worker reports.
 *
 * ```js
 * import { Tidings } from "https://tidings.example/sdk/tidings.js";
 *
 * const tidings = new Tidings();
 * tidings.sync().catch(console.warn);
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
  /** Whose it is on the server, as far as this browser told it. */
  user?: string;
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

/** What the site knows of the person; messages can be sent by it. A flat object. */
export type Attributes = Record<string, string | number | boolean | string[]>;

/** What the server is told with the subscription. What is left out stays as it was. */
export interface SubscribeOptions {
  /** All of them: those that are not named are removed. Another `user` starts without. */
  attributes?: Attributes;
  /**
   * The site's own id of the person; the server wants `userToken` with it, unless it trusts pages. `null` says that nobody is
   * signed in, which is {@link Tidings.logout} where a page had named somebody. Another person's comes after a logout of the one before.
   */
  user?: string | null;
  /**
   * A short-lived JWT by the site's back end that proves `user`, or says it. Or a function that fetches one: with `user`
   * beside it, `sync()` calls it only when the server has to be told; alone, each time. Where it gives nothing, no user is told.
   * Prefer the function: a text from before a logout, in a tab that was left open, is still good after it.
   */
  userToken?: string | (() => string | null | undefined | Promise<string | null | undefined>);
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
  /** With `shown`: what it says, for a page that wants to tell it in its own way, too. */
  notification?: { title: string; body?: string; navigate?: string; tag?: string; [option: string]: unknown };
  /** With `shown`: what the site's back end sent as `data` instead of a notification. */
  data?: unknown;
}

export interface TidingsEventMap {
  /**
   * The state may be another than before: through this object, another page or the worker of the site, or the person, who
   * changed the permission (Safari tells of that at the next load).
   */
  change: CustomEvent<State>;
  /** In every open page of the site, whichever of them is in front. */
  receipt: CustomEvent<Receipt>;
}

/**
 * One application of a Tidings server, seen from one browser. Methods throw nothing but {@link TidingsError}. On a server that
 * renders pages it can be made, and is `unsupported`.
 */
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

  /**
   * The person has logged out: from here on this browser gets nothing that is sent to them. The subscription stays, and so do
   * messages to everybody. Its attributes are removed, but for those given here. Where the server cannot be told, the browser's
   * own subscription is ended, and the next `sync()` makes a new one that is nobody's. What a push service held already may
   * still arrive.
   */
  logout(options?: { attributes?: Attributes }): Promise<State>;

  /** Has the server send its test notification to this browser; at most once in 10 s. */
  test(): Promise<void>;

  /**
   * Repairs a subscription that the browser lost or changed, or whose key is no longer the server's. Call it on every page
   * load. It asks nothing and subscribes nobody who was not subscribed. A repaired subscription can be a new one to the
   * server: give `user` and `userToken` where the person is signed in, and `user: null` where nobody is. It throws where the
   * server cannot be reached; the next load tries again.
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
 * - `user-token`: the page's function `userToken` failed
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
  | "user-token"
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
