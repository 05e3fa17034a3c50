/** The SDK in a page, for tests. */
import { setNotifications } from "./browser.js";
import { installPushService } from "./push.js";
import { startSite, startTidings } from "./servers.js";

export const SUBSCRIPTIONS = "/v1/apps/default/subscriptions";

/**
 * A page of a site of another origin than the server's, with `window.tidings`.
 * @param {object} settings `plans` for the push service; `permission` of the origin, in Chromium (in Firefox it is granted);
 *   `script` that runs before the page's; `options` of the constructor; `worker`, what the site's worker says besides the
 *   import; `headers`, a function of the stand-in server that says the page's
 */
export async function openPage(t, browser, settings = {}) {
  const { permission = "granted", worker = "", headers = () => ({}) } = settings;
  const tidings = await startTidings();
  const site = await startSite(tidings, worker, headers(tidings));
  if (permission) await setNotifications(browser, site.origin, permission);
  const first = await openTab(t, browser, site, tidings, settings);
  t.after(() => Promise.all([site.close(), tidings.close()]));
  return {
    tidings,
    site,
    ...first,
    /** A second page of the site. */
    another: () => openTab(t, browser, site, tidings, settings),
    posted: () =>
      tidings.requests
        .filter(({ method, path }) => method === "POST" && path === SUBSCRIPTIONS)
        .map(({ body }) => JSON.parse(body)),
    patched: () => tidings.requests.filter(({ method }) => method === "PATCH"),
    deleted: () => tidings.requests.filter(({ method }) => method === "DELETE").map(({ path }) => path),
  };
}

async function openTab(t, browser, site, tidings, { plans = [], script = () => {}, options = {} }) {
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.evaluateOnNewDocument(installPushService, plans);
  await page.evaluateOnNewDocument(script);
  const load = async () => {
    await page.goto(site.origin);
    await page.evaluate(
      async (server, options) => {
        const { Tidings } = await import(`${server}/sdk/tidings.js`);
        window.tidings = new Tidings(options);
        window.changes = [];
        window.tidings.addEventListener("change", ({ detail }) => window.changes.push(detail.state));
      },
      tidings.origin,
      { timeoutMs: 10_000, ...options },
    );
  };
  await load();
  return {
    page,
    load,
    /** Calls a method; an error comes back as `{ error: { name, code, message, problem } }`. */
    call: (method, ...args) =>
      page.evaluate(
        async (method, args) => {
          try {
            return await window.tidings[method](...args);
          } catch (error) {
            const { name, code, message, problem } = error;
            return { error: { name, code, message, problem } };
          }
        },
        method,
        args,
      ),
    changes: () => page.evaluate(() => window.changes),
    pushCalls: () => page.evaluate(() => window.push.calls),
  };
}
