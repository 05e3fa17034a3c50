/** Real browsers: Chromium over the DevTools protocol, Firefox over WebDriver BiDi. */
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const CHROMIUM = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const FIREFOX = [
  process.env.FIREFOX,
  "/usr/bin/firefox-esr",
  "/usr/bin/firefox",
  "/Applications/Firefox.app/Contents/MacOS/firefox",
];
/** All that leads out of the machine leads nowhere; notifications are Firefox's own windows. */
const FIREFOX_PREFERENCES = {
  "alerts.useSystemBackend": false,
  "permissions.default.desktop-notification": 1,
  "dom.push.connection.enabled": false,
  "network.proxy.type": 1,
  "network.proxy.http": "127.0.0.1",
  "network.proxy.http_port": 9,
  "network.proxy.ssl": "127.0.0.1",
  "network.proxy.ssl_port": 9,
  "network.proxy.no_proxies_on": "localhost, 127.0.0.1",
  "network.proxy.failover_direct": false,
  "network.dns.native-is-localhost": true,
  "network.dns.native_https_query": false,
  "network.trr.mode": 5,
  "app.normandy.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
};
const DEADLINE_MS = 30_000;

const find = (paths) => paths.find((path) => path && existsSync(path));

/** For `test(name, { skip })`: a reason if there is no such browser. `TIDINGS_REQUIRE_BROWSERS=1` makes that a failure. */
export const skipChromium = () => !find(CHROMIUM) && missing("Chromium", "chromium", "CHROMIUM");
export const skipFirefox = () => !find(FIREFOX) && missing("Firefox", "firefox-esr", "FIREFOX");

function missing(name, debianPackage, variable) {
  const advice = `No ${name} found: install it (Debian: apt install ${debianPackage}) or set ${variable} to its path.`;
  if (process.env.TIDINGS_REQUIRE_BROWSERS === "1") throw new Error(advice);
  console.error(`\n*** ${advice} ***\n*** THE SDK'S TESTS IN ${name.toUpperCase()} DO NOT RUN ***\n`);
  return advice;
}

export function launchFirefox() {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: find(FIREFOX),
    headless: true,
    extraPrefsFirefox: FIREFOX_PREFERENCES,
  });
}

export function launchChromium() {
  return puppeteer.launch({
    executablePath: find(CHROMIUM),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

const sessions = new WeakMap();

/** @param {"granted" | "denied" | "prompt"} setting */
export async function setNotifications(browser, origin, setting) {
  // The setting lives only as long as the session that made it.
  if (!sessions.has(browser)) sessions.set(browser, await browser.target().createCDPSession());
  const permission = { name: "notifications" };
  await sessions.get(browser).send("Browser.setPermission", { origin, permission, setting });
}

/** Asks again and again until the answer is truthy. */
export async function eventually(what, ask) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`Did not happen in ${DEADLINE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
