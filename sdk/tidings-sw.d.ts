/**
 * What a site's own service worker may tell `tidings-sw.js`, which is a classic script without exports. All of it is optional:
 *
 * ```js
 * importScripts("https://tidings.example/sdk/tidings-sw.js");
 * self.tidings.onData = async (data) => ({ title: `Price ${data.price}`, navigate: "/prices" });
 * ```
 *
 * In TypeScript: `declare const self: ServiceWorkerGlobalScope & { tidings: Hooks };`
 */
export interface Hooks {
  /**
   * Gets what is no notification: a message's `data`, or exact bytes as JSON or text. It returns (a promise of) what to show,
   * or shows something itself, within 10 s. Where it does neither, the fallback is shown.
   */
  onData?(data: any, event: Push): Content | void | Promise<Content | void>;
  /** Stands in where a push says nothing that could be shown. */
  fallback?: Partial<Content>;
  /**
   * Fetches a token that proves the person, as the page's `userToken`. It is called where the browser replaced a subscription
   * that was somebody's, within 10 s. Without it, the new one is nobody's until the next page's `sync()`.
   */
  userToken?: () => string | null | undefined | Promise<string | null | undefined>;
}

/** The browser's `PushEvent`, spelt out so that these types do without the workers' library. */
export interface Push extends Event {
  readonly data: { arrayBuffer(): ArrayBuffer; json(): any; text(): string } | null;
  waitUntil(work: Promise<unknown>): void;
}

/** A notification's title and options, as the web names them. */
export interface Content {
  title: string;
  body?: string;
  /** What a click opens. */
  navigate?: string;
  tag?: string;
  actions?: { action: string; title: string; navigate?: string; icon?: string }[];
  [option: string]: any;
}

/** What a notification's `data.tidings` holds. */
export interface Envelope {
  message?: string;
  subscription?: string;
  proof?: string;
  /** Where receipts go. */
  receipts?: string;
  navigate?: string;
  actions?: Record<string, string | undefined>;
}
