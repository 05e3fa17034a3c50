/**
 * The soft prompt: asks in the page's own words before the browser asks, whose question can be answered only once.
 *
 * ```js
 * import { softPrompt } from "https://tidings.example/sdk/tidings-prompt.js";
 *
 * await softPrompt(tidings, { texts: { body: "We tell you when your parcel moves. Nothing else." } });
 * ```
 *
 * Call it when the person has done something that makes notifications useful, rather than on load. Its look follows the page's
 * `color-scheme`, direction and font size, and these, set on `tidings-prompt`: the custom properties `--tidings-prompt-surface`,
 * `-text`, `-soft`, `-line`, `-accent`, `-on-accent`, `-radius` and `-font`; the parts `dialog`, `icon`, `title`, `body`,
 * `error`, `steps`, `step`, `buttons`, `accept` and `later`.
 */
import type { SubscribeOptions, Tidings } from "./tidings.d.ts";

/**
 * Shows the dialog where that makes sense, and settles once it is closed. It is shown only in the state `prompt` (and, with
 * `install`, in `needs-install`), once on a page, and not for some time after the person said “not now”.
 */
export function softPrompt(tidings: Tidings, options?: PromptOptions): Promise<PromptResult>;

export interface PromptOptions {
  /** In the page's language; what is left out is English. Say what will be sent, and how often. */
  texts?: Partial<PromptTexts>;
  /** On iPhone and iPad outside of the home screen: shows how to install the site; with texts of its own. Default: false. */
  install?: boolean | Partial<InstallTexts>;
  /** For `tidings.subscribe()`, which the dialog's button calls. */
  subscribe?: SubscribeOptions;
  /** How long “not now” holds, on the whole site. Default: 30. */
  laterForDays?: number;
  /** Asks although it was asked before, since the person has just clicked on a button that says so. Default: false. */
  force?: boolean;
}

export interface PromptTexts {
  title: string;
  body: string;
  accept: string;
  later: string;
  /** Shown where subscribing failed; the dialog stays open. */
  failed: string;
}

export interface InstallTexts {
  title: string;
  body: string;
  steps: string[];
  close: string;
}

/**
 * - `subscribed`: the person said yes, here and to the browser
 * - `later`: “not now”, Escape, or a click beside the dialog
 * - `failed`: yes here, but then `error`: `denied` or `dismissed`, or another one and the dialog was closed
 * - `explained`: how to install the site was shown
 * - `not-asked`: nothing was shown; `reason` says why
 */
export interface PromptResult {
  outcome: "subscribed" | "later" | "failed" | "explained" | "not-asked";
  /** As a sentence. */
  reason?: string;
  error?: unknown;
}

/** The element `<tidings-prompt>` while it is shown: for styling. {@link softPrompt} makes and removes it. */
export interface TidingsPromptElement extends HTMLElement {
  ask(texts: PromptTexts, subscribe: () => Promise<unknown>): Promise<PromptResult>;
  explain(texts: InstallTexts): Promise<PromptResult>;
}

declare global {
  interface HTMLElementTagNameMap {
    "tidings-prompt": TidingsPromptElement;
  }
}
