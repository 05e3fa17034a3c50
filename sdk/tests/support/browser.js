/** A real Chromium, driven over the DevTools protocol. */
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const CANDIDATES = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const executablePath = CANDIDATES.find((path) => path && existsSync(path));
const DEADLINE_MS = 15_000;

/** For `test(name, { skip })`: a reason if there is no browser. `TIDINGS_REQUIRE_BROWSERS=1` makes that a failure. */
export const skip = !executablePath && missing();

function missing() {
  const advice = "No Chromium found: install it (Debian: apt install chromium) or set CHROMIUM to its path.";
  if (process.env.TIDINGS_REQUIRE_BROWSERS === "1") throw new Error(advice);
  console.error(`\n*** ${advice} ***\n*** THE BROWSER TESTS OF THE SDK DO NOT RUN ***\n`);
  return advice;
}

export function launch() {
  return puppeteer.launch({
    executablePath,
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
