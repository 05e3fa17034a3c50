/**
 * The soft prompt: a dialog of the page that says what will be sent and asks, before the browser's own question, which can be
 * asked only once. tidings-prompt.d.ts describes it.
 *
 * It is made of DOM calls and a constructed style sheet, so that the strictest content security policy lets it be.
 *
 * @import * as Types from "./tidings-prompt.d.ts"
 * @import { Tidings } from "./tidings.d.ts"
 */

const DAY_MS = 86_400_000;
/** Where “not now” is remembered: one answer for the whole site. */
const KEPT = "tidings-prompt";
const TAG = "tidings-prompt";

/** @type {Types.PromptTexts} */
const TEXTS = {
  title: "Turn on notifications?",
  body: "We send you a message when there is something new for you. You can turn this off at any time.",
  accept: "Turn on",
  later: "Not now",
  failed: "That did not work. Check your connection and try again.",
};
/** @type {Types.InstallTexts} */
const INSTALL = {
  title: "First, add this site to your home screen",
  body: "iPhone and iPad show notifications only for sites that live there.",
  steps: ["Tap Share, the square with the arrow.", "Choose “Add to Home Screen”.", "Open the site from there."],
  close: "Got it",
};

// Colours follow the page's `color-scheme`, so that a page that is always light gets no dark dialog. The underscores keep
// these names apart from the page's, which its rules for the parts may use.
const STYLE = `
dialog {
  --_surface: var(--tidings-prompt-surface, Canvas);
  --_text: var(--tidings-prompt-text, CanvasText);
  --_soft: var(--tidings-prompt-soft, color-mix(in srgb, CanvasText 72%, Canvas));
  --_line: var(--tidings-prompt-line, color-mix(in srgb, CanvasText 20%, Canvas));
  --_accent: var(--tidings-prompt-accent, CanvasText);
  --_on-accent: var(--tidings-prompt-on-accent, Canvas);
  --_radius: var(--tidings-prompt-radius, 1rem);
  box-sizing: border-box;
  width: min(26rem, 100vw - 2rem);
  max-height: calc(100dvh - 2rem);
  padding: 0;
  overflow: auto;
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  background: var(--_surface);
  color: var(--_text);
  font: var(--tidings-prompt-font, 1rem/1.5 system-ui, sans-serif);
  box-shadow: 0 1.5rem 4rem -1rem rgb(0 0 0 / 35%);
  overflow-wrap: anywhere;
}
dialog::backdrop { background: rgb(10 18 28 / 45%); }
.content { padding: clamp(1.25rem, 5vw, 1.75rem); }
svg { display: block; width: 1.5rem; height: 1.5rem; margin-block-end: 0.9rem; color: var(--_soft); }
h2 { margin: 0 0 0.5rem; font-size: 1.25em; line-height: 1.25; text-wrap: balance; }
h2:focus { outline: none; }
p, ol { margin: 0 0 1.25rem; color: var(--_soft); text-wrap: pretty; }
ol { padding-inline-start: 1.5rem; }
li { padding-block: 0.15rem; }
[role="alert"] { color: var(--_text); font-weight: 600; }
[role="alert"]:empty { display: none; }
.buttons { display: flex; flex-wrap: wrap; gap: 0.75rem; }
button {
  flex: 1 1 8rem;
  min-height: 2.75rem;
  padding: 0.5rem 1rem;
  border: 1px solid var(--_line);
  border-radius: calc(var(--_radius) * 0.6);
  background: none;
  color: inherit;
  font: inherit;
  font-weight: 600;
  cursor: pointer;
}
button:hover { border-color: var(--_soft); }
button:focus-visible { outline: 3px solid var(--_text); outline-offset: 2px; }
.accept { border-color: transparent; background: var(--_accent); color: var(--_on-accent); }
.accept:hover { filter: brightness(1.15); }
[aria-disabled="true"] { opacity: 0.6; cursor: progress; }
@media (max-width: 30rem) { dialog { margin-block-end: 1rem; } }
@media (prefers-reduced-motion: no-preference) {
  dialog[open] { animation: rise 180ms ease-out; }
  @keyframes rise { from { opacity: 0; transform: translateY(0.75rem); } }
}`;

let wasAsked = false;

/** @param {Tidings} tidings @param {Types.PromptOptions} [options] @returns {Promise<Types.PromptResult>} */
export async function softPrompt(tidings, options = {}) {
  const { texts, install, subscribe, laterForDays = 30, force = false } = options;
  const { state, reason } = await tidings.state();
  const installs = state === "needs-install" && install;
  if (state !== "prompt" && !installs) return { outcome: "not-asked", reason };
  if (document.querySelector(TAG)) return { outcome: "not-asked", reason: "It is being asked." };
  if (!force && wasAsked) return { outcome: "not-asked", reason: "This page has asked already." };
  if (!force && Date.now() < notBefore()) return { outcome: "not-asked", reason: "The person said “not now”." };
  wasAsked = true;
  const element = /** @type {Types.TidingsPromptElement} */ (document.createElement(TAG));
  document.body.append(element);
  try {
    const result = installs
      ? await element.explain({ ...INSTALL, ...(typeof install === "object" && install) })
      : await element.ask({ ...TEXTS, ...texts }, () => tidings.subscribe(subscribe));
    if (result.outcome !== "subscribed") waitFor(laterForDays);
    return result;
  } finally {
    element.remove();
  }
}

// Where pages are rendered on a server there are no elements.
const Element = globalThis.HTMLElement ?? class {};

class TidingsPrompt extends Element {
  /** @param {Types.PromptTexts} texts @param {() => Promise<unknown>} subscribe @returns {Promise<Types.PromptResult>} */
  ask(texts, subscribe) {
    const alert = make("p", "error", "", { role: "alert" });
    const accept = make("button", "accept", texts.accept, { type: "button", class: "accept" });
    const later = make("button", "later", texts.later, { type: "button" });
    const body = make("p", "body", texts.body, { id: "body" });
    const dialog = this.#open(texts.title, [body, alert], [accept, later]);
    return new Promise((resolve) => {
      let busy = false;
      const settle = (/** @type {Types.PromptResult} */ result) => {
        resolve(result);
        dialog.close();
      };
      accept.addEventListener("click", async () => {
        if (busy) return;
        busy = true;
        alert.textContent = "";
        // A disabled button would lose the focus.
        accept.ariaDisabled = "true";
        try {
          // In the gesture, before anything is awaited.
          await subscribe();
          settle({ outcome: "subscribed" });
        } catch (error) {
          const { code } = /** @type {{ code?: string }} */ (error);
          if (!dialog.open || code === "denied" || code === "dismissed") settle({ outcome: "failed", error });
          else alert.textContent = texts.failed;
        } finally {
          busy = false;
          accept.ariaDisabled = null;
        }
      });
      later.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => busy || resolve({ outcome: "later" }));
    });
  }

  /** @param {Types.InstallTexts} texts @returns {Promise<Types.PromptResult>} */
  explain(texts) {
    const steps = make("ol", "steps");
    steps.append(...texts.steps.map((step) => make("li", "step", step)));
    const close = make("button", "later", texts.close, { type: "button" });
    const dialog = this.#open(texts.title, [make("p", "body", texts.body, { id: "body" }), steps], [close]);
    close.addEventListener("click", () => dialog.close());
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve({ outcome: "explained" })));
  }

  /** @param {string} title @param {Element[]} content @param {Element[]} buttons */
  #open(title, content, buttons) {
    const root = this.attachShadow({ mode: "open" });
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    root.adoptedStyleSheets = [style];
    const named = { "aria-labelledby": "title", "aria-describedby": "body" };
    const dialog = /** @type {HTMLDialogElement} */ (make("dialog", "dialog", "", named));
    const heading = make("h2", "title", title, { id: "title", tabindex: "-1" });
    const inner = make("div", "content", "", { class: "content" });
    const row = make("div", "buttons", "", { class: "buttons" });
    row.append(...buttons);
    inner.append(bell(), heading, ...content, row);
    dialog.append(inner);
    root.append(dialog);
    // What surrounds the content is the backdrop.
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.showModal();
    // Not a button: a key that was meant for the page must not say yes.
    heading.focus();
    return dialog;
  }
}

if (globalThis.customElements && !customElements.get(TAG)) customElements.define(TAG, TidingsPrompt);

/** @param {string} name @param {string} part @param {string} [text] @param {Record<string, string>} [attributes] */
function make(name, part, text = "", attributes = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries({ part, ...attributes })) element.setAttribute(key, value);
  return element;
}

function bell() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const attributes = { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.75", part: "icon" };
  for (const [key, value] of Object.entries({ ...attributes, "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", "M6 16V10a6 6 0 0 1 12 0v6l2 2H4zM10 21h4");
  path.setAttribute("stroke-linejoin", "round");
  path.setAttribute("stroke-linecap", "round");
  svg.append(path);
  return svg;
}

function notBefore() {
  try {
    return Number(localStorage.getItem(KEPT)) || 0;
  } catch {
    // A browser that keeps nothing asks again on the next page.
    return 0;
  }
}

/** @param {number} days */
function waitFor(days) {
  try {
    localStorage.setItem(KEPT, String(Date.now() + days * DAY_MS));
  } catch {
    // As above.
  }
}
