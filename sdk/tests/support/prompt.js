/** The soft prompt on a page, for tests. */
import { eventually } from "./browser.js";

export function promptIn({ page, tidings }) {
  const start = (options) =>
    page.evaluate(
      async (server, options) => {
        const { softPrompt } = await import(`${server}/sdk/tidings-prompt.js`);
        window.result = softPrompt(window.tidings, options);
      },
      tidings.origin,
      options,
    );
  const result = () =>
    page.evaluate(async () => {
      const late = new Promise((_, reject) => setTimeout(() => reject(new Error("The soft prompt did not settle.")), 20_000));
      const { outcome, reason, error } = await Promise.race([window.result, late]);
      return { outcome, reason, code: error?.code };
    });
  const isThere = () => page.evaluate(() => Boolean(document.querySelector("tidings-prompt")?.shadowRoot.querySelector("dialog[open]")));
  return {
    isThere,
    /** Starts it, waits until it is there, and answers with a function that waits for its result. */
    async ask(options = {}) {
      await start(options);
      await eventually("the soft prompt", isThere);
      return result;
    },
    /** Starts it where it is not shown. */
    async refuse(options = {}) {
      const there = await isThere();
      await start(options);
      if (!there && (await isThere())) throw new Error("It is shown.");
      return result();
    },
    click: (selector) => page.locator(`>>> tidings-prompt >>> ${selector}`).click(),
    focused: () => page.evaluate(() => document.querySelector("tidings-prompt").shadowRoot.activeElement?.getAttribute("part")),
    text: (selector = "dialog") =>
      page.evaluate((selector) => document.querySelector("tidings-prompt").shadowRoot.querySelector(selector).innerText, selector),
    style: (selector, property) =>
      page.evaluate(
        (selector, property) => {
          const { shadowRoot } = document.querySelector("tidings-prompt");
          return getComputedStyle(shadowRoot.querySelector(selector))[property];
        },
        selector,
        property,
      ),
    boxes: (...selectors) =>
      page.evaluate((selectors) => {
        const { shadowRoot } = document.querySelector("tidings-prompt");
        return selectors.map((selector) => {
          const element = shadowRoot.querySelector(selector);
          for (const animation of element.getAnimations()) animation.finish();
          const { left, right, top, bottom, height } = element.getBoundingClientRect();
          return { left, right, top, bottom, height, overflow: element.scrollWidth - element.clientWidth };
        });
      }, selectors),
  };
}
