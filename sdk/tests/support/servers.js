/** Two HTTP servers on loopback: a stand-in for Tidings that records what it is asked, and a site of another origin. */
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { EventEmitter, on } from "node:events";

const SDK = new URL("../../", import.meta.url);
const CONTENT_TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};
const DEADLINE_MS = 30_000;

/** The point of RFC 8291's example, as a server would hand it out. */
export const KEY = {
  id: "key_1",
  key: "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
};
/** A second one: the base point of the curve. */
export const OTHER_KEY = {
  id: "key_2",
  key: "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
};

class Server {
  #http = createServer((request, response) => this.#answer(request, response));
  #arrivals = new EventEmitter();
  #handler;
  /** Every request so far: `{ method, path, headers, body }`. */
  requests = [];

  constructor(handler) {
    this.#handler = handler;
  }

  async listen() {
    await new Promise((resolve) => this.#http.listen(0, "127.0.0.1", resolve));
    this.origin = `http://localhost:${this.#http.address().port}`;
    return this;
  }

  async close() {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  /** The requests with this method and path, waiting until there are `count`. */
  async received(method, path, count = 1) {
    const matching = () => this.requests.filter((request) => request.method === method && request.path === path);
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const arrivals = on(this.#arrivals, "request", { signal });
    try {
      while (matching().length < count) await arrivals.next();
    } catch (cause) {
      throw new Error(`${count} × ${method} ${path} did not come, but ${this.#summary()}`, { cause });
    } finally {
      await arrivals.return();
    }
    return matching();
  }

  #summary() {
    return JSON.stringify(this.requests.map(({ method, path }) => `${method} ${path}`));
  }

  async #answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, headers } = request;
    const path = new URL(request.url, "http://localhost").pathname;
    const received = { method, path, headers, body: Buffer.concat(chunks).toString() };
    const answer = await this.#handler(received);
    this.requests.push(received);
    if (answer === "drop") request.socket.destroy();
    else if (answer !== "hang") response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
    this.#arrivals.emit("request");
  }
}

async function file(url, headers = {}) {
  const type = CONTENT_TYPES[extname(url.pathname)] ?? "text/plain";
  try {
    return { headers: { "Content-Type": type, ...headers }, body: await readFile(url) };
  } catch {
    return { status: 404, body: "" };
  }
}

/** Pages, and the one-line worker that a site on another origin needs. */
export function startSite(tidings, worker = "", headers = {}) {
  const pages = {
    "/": ["text/html", "<!doctype html><title>Site</title><h1>Site</h1>"],
    "/parcel/17": ["text/html", "<!doctype html><title>Parcel</title>"],
    "/broken-sw.js": ["text/javascript", "throw new Error('broken');"],
    "/tidings-sw.js": ["text/javascript", `${imports(tidings)}\n${worker}`],
  };
  const site = new Server(({ path }) => {
    const page = pages[path];
    return page ? { headers: { "Content-Type": page[0], ...headers }, body: page[1] } : { status: 404, body: "" };
  });
  return site.listen();
}

function imports({ origin }) {
  return `importScripts("${origin}/sdk/tidings-sw.js", "${origin}/sdk/tidings-sw-renew.js");`;
}

export function problem(status, title, detail, type = "about:blank") {
  const body = JSON.stringify({ type, title, status, detail });
  return { status, headers: { "Content-Type": "application/problem+json" }, body };
}

function json(body, status = 200) {
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/**
 * The endpoints that pages use. `server.key` is the active key; `server.answers[“METHOD path-suffix”]` replaces an answer,
 * by a function, by "drop" (the connection breaks) or by "hang" (nothing comes).
 */
export async function startTidings() {
  const subscriptions = new Map();
  const server = new Server(async (request) => {
    const answer = await route(request);
    if (typeof answer === "string") return answer;
    const cors = {
      "Access-Control-Allow-Origin": request.headers.origin ?? "*",
      "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
      "Access-Control-Allow-Headers": "authorization, content-type",
    };
    return { ...answer, headers: { ...answer.headers, ...cors } };
  });
  server.key = KEY;
  server.answers = {};

  async function route({ method, path, body }) {
    const planned = Object.entries(server.answers).find(([name]) => {
      const [wantedMethod, suffix] = name.split(" ");
      return wantedMethod === method && path.endsWith(suffix);
    });
    if (planned) return typeof planned[1] === "function" ? planned[1]() : planned[1];
    if (method === "OPTIONS") return { status: 204 };
    if (path === "/demo") {
      return file(new URL("demo/index.html", SDK), { "Content-Security-Policy": "default-src 'self'" });
    }
    if (/^\/(sdk\/|demo\/)/.test(path)) return file(new URL(path.replace(/^\/(sdk\/)?/, ""), SDK));
    if (path.endsWith("/vapid-public-key")) return json(server.key);
    if (path.endsWith("/receipts")) return { status: 202 };
    if (path.endsWith("/test")) return { status: 202 };
    if (method === "DELETE" || method === "PATCH") return { status: 204 };
    if (path.endsWith("/subscriptions")) {
      const { endpoint } = JSON.parse(body);
      const known = subscriptions.get(endpoint);
      const id = known ?? `sub_${subscriptions.size + 1}`;
      subscriptions.set(endpoint, id);
      return json({ id, token: `token of ${id}` }, known ? 200 : 201);
    }
    return problem(404, "Not found", path);
  }

  return server.listen();
}
