import type { SubscribeOptions } from "./tidings.d.ts";

/** What pages and workers remember of a subscription, in IndexedDB. For the files here only. */
export interface Kept {
  id: string;
  token: string;
  endpoint: string;
  vapidKey: { id: string; key: string };
  /** The application's URL on the server. */
  api: string;
  /** The worker's. */
  scope: string;
  /** When the server was told last, in ms. */
  saved: number;
  /** What may be told again: no user that had to be proved. */
  told: Pick<SubscribeOptions, "attributes" | "locale" | "timezone"> & { user?: string };
  /** Whose it is on the server. */
  user?: string;
  /** A logout that was begun. */
  leaving?: boolean;
}
