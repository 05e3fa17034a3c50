/** The demo page: shows the state, and acts only on clicks. */
import { softPrompt } from "/sdk/tidings-prompt.js";
import { Tidings, TidingsError } from "/sdk/tidings.js";

/** The server takes one test in this time. */
const TEST_PAUSE_MS = 10_000;
const RECEIPTS_SHOWN = 30;

/** @type {Record<import("../tidings.d.ts").StateName, string>} */
const PILLS = {
  unsupported: "Not supported",
  "needs-install": "Not installed",
  denied: "Blocked",
  prompt: "Not subscribed",
  subscribed: "Subscribed",
};

const LABELS = { shown: "Shown", clicked: "Clicked", dismissed: "Dismissed" };

const tidings = new Tidings({
  // Its scope is /sdk/, which no page is in; push needs none, and receipts reach pages outside of it.
  serviceWorker: "/sdk/tidings-sw.js",
});

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));
const button = /** @type {(id: string) => HTMLButtonElement} */ (element);

/** @type {string | undefined} */
let subscriptionId;

tidings.addEventListener("change", ({ detail }) => showState(detail));
tidings.addEventListener("receipt", ({ detail }) => {
  const what = LABELS[detail.event];
  addEntry(detail.event, detail.action ? `${what}: ${detail.action}` : what, new Date(detail.at), detail.message);
});

onClick("subscribe", () => tidings.subscribe());
onClick("soft-prompt", async () => {
  const { error } = await softPrompt(tidings, {
    texts: {
      title: "Hear from this demo?",
      body: "It sends you what you send yourself on this page, and nothing else. You can turn it off here at any time.",
    },
    force: true,
  });
  if (error) throw error;
});
onClick("unsubscribe", () => tidings.unsubscribe());
onClick("test", async () => {
  const at = new Date();
  await tidings.test();
  addEntry("asked", "Test requested", at);
  return TEST_PAUSE_MS;
});

element("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(command());
    say("Copied");
  } catch {
    getSelection()?.selectAllChildren(element("command"));
    say("Selected");
  }
});
field("navigate").value = new URL("/demo#ship", location.href).href;
element("form").addEventListener("input", showMessage);
element("form").addEventListener("submit", (event) => event.preventDefault());
showMessage();

await refresh();

async function refresh() {
  try {
    showState(await tidings.sync());
  } catch (error) {
    showProblem(error);
    await tidings.state().then(showState, () => {});
  }
}

/** @param {import("../tidings.d.ts").State} state */
function showState({ state, reason, subscription }) {
  element("state").dataset.now = state;
  element("state").setAttribute("aria-busy", "false");
  element("state-pill").textContent = PILLS[state];
  for (const part of document.querySelectorAll("[data-state]")) {
    const shown = part.getAttribute("data-state") === state;
    part.toggleAttribute("hidden", !shown);
    if (shown) element("state").setAttribute("aria-labelledby", headingOf(part));
  }
  for (const part of document.querySelectorAll("[data-permission]")) {
    const permission = "Notification" in window ? Notification.permission : "default";
    part.toggleAttribute("hidden", part.getAttribute("data-permission") !== permission);
  }
  element("unsupported-reason").textContent = reason;
  subscriptionId = subscription?.id;
  if (subscription) {
    const { id, endpoint, vapidKey } = subscription;
    element("subscription-id").textContent = id;
    // No more than that: who has the whole address can send to it.
    element("push-service").textContent = new URL(endpoint).origin;
    element("vapid-key").textContent = `${vapidKey.key.slice(0, 12)}…${vapidKey.key.slice(-6)}`;
  }
  showMessage();
}

/** @param {Element} part */
function headingOf(part) {
  const heading = /** @type {HTMLElement} */ (part.querySelector("h2"));
  heading.id ||= `heading-${part.getAttribute("data-state")}`;
  return heading.id;
}

/** What the form says, as a notification and as a command. */
function showMessage() {
  element("preview-title").textContent = field("title").value || "Untitled";
  element("preview-body").textContent = field("body").value;
  element("preview-site").textContent = location.host;
  element("command").textContent = command();
}

function command() {
  const { value: title } = field("title");
  const body = field("body").value || undefined;
  const navigate = field("navigate").value || undefined;
  const audience = JSON.stringify({ subscriptions: [subscriptionId ?? "sub_…"] });
  const indented = JSON.stringify({ title, body, navigate }, undefined, 2).replaceAll("\n", "\n  ");
  return [
    `curl ${new URL("/v1/messages", location.href)} \\`,
    `  -H "Authorization: Bearer $TIDINGS_TOKEN" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d ${shellQuoted(`{\n  "audience": ${audience},\n  "notification": ${indented}\n}`).replaceAll("\n", "\n  ")}`,
  ].join("\n");
}

/** @param {string} text */
function shellQuoted(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** @param {string} text */
function say(text) {
  element("copied").textContent = text;
  element("copy").textContent = text;
  setTimeout(() => (element("copy").textContent = "Copy"), 2_000);
}

/**
 * @param {"asked" | "shown" | "clicked" | "dismissed"} kind @param {string} what @param {Date} at @param {string} [message]
 */
function addEntry(kind, what, at, message) {
  const entry = document.createElement("li");
  entry.dataset.kind = kind;
  const time = document.createElement("time");
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString(undefined, { timeStyle: "medium" });
  const label = document.createElement("span");
  label.className = "what";
  label.textContent = what;
  entry.append(time, label);
  if (message) {
    const id = document.createElement("code");
    // All ids of a day begin alike.
    id.textContent = message.length > 14 ? `…${message.slice(-10)}` : message;
    id.title = message;
    entry.append(id);
  }
  const list = element("receipt-list");
  // The answer to a request can come later than what it caused.
  const older = Array.from(list.children).find((other) => (other.querySelector("time")?.dateTime ?? "") < time.dateTime);
  list.insertBefore(entry, older ?? null);
  while (list.children.length > RECEIPTS_SHOWN) list.lastElementChild?.remove();
  element("no-receipts").hidden = true;
}

/**
 * @param {string} id
 * @param {() => Promise<unknown>} act called at once, for the permission's sake; a number that it returns is a pause in ms
 */
function onClick(id, act) {
  const { textContent: label } = button(id);
  button(id).addEventListener("click", async () => {
    element("problem").hidden = true;
    // A disabled button would lose the focus.
    if (button(id).ariaDisabled === "true") return;
    button(id).ariaDisabled = "true";
    try {
      const pause = await act();
      if (typeof pause === "number") await countDown(button(id), pause);
    } catch (error) {
      showProblem(error);
      if (error instanceof TidingsError && error.code === "denied") await refresh();
    } finally {
      button(id).ariaDisabled = null;
      button(id).textContent = label;
    }
  });
}

/** @param {HTMLElement} target @param {number} ms */
async function countDown(target, ms) {
  for (let left = Math.ceil(ms / 1_000); left > 0; left -= 1) {
    target.textContent = `Sent, again in ${left} s`;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

/** @param {unknown} error */
function showProblem(error) {
  const { problem, message } = error instanceof TidingsError ? error : new TidingsError("refused", String(error));
  element("problem-title").textContent = problem?.title ?? "That did not work";
  element("problem-detail").textContent = problem?.title ? (problem.detail ?? "") : message;
  element("problem").hidden = false;
}
