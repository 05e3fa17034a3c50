// The npm package `web-push` as a sender (../README.md), by the ways that its README shows.
"use strict";

const fs = require("node:fs");
const https = require("node:https");
const readline = require("node:readline/promises");
const webpush = require("web-push");

/** One call after the other, nothing but what the README's first example has. */
async function oneByOne({ subscriptions, payload }, count) {
  for (const subscription of subscriptions) {
    await count(webpush.sendNotification(subscription, payload));
  }
}

/** The same for everybody at once. */
async function allAtOnce({ subscriptions, payload }, count) {
  await Promise.all(
    subscriptions.map((subscription) => count(webpush.sendNotification(subscription, payload))),
  );
}

/** All that the README offers: kept connections, and the headers of VAPID made once. */
async function best({ subscriptions, payload, job }, count) {
  const agent = new https.Agent({ keepAlive: true, maxSockets: job.in_flight });
  const { Authorization } = webpush.getVapidHeaders(
    job.audience,
    job.contact,
    job.public_key,
    job.private_key,
    "aes128gcm",
  );
  const options = { agent, vapidDetails: null, headers: { Authorization }, TTL: job.ttl };
  const rest = subscriptions.values();
  const lanes = Array.from({ length: job.in_flight }, async () => {
    for (const subscription of rest) {
      await count(webpush.sendNotification(subscription, payload, options));
    }
  });
  await Promise.all(lanes);
  agent.destroy();
}

const WAYS = { "one-by-one": oneByOne, "all-at-once": allAtOnce, best };

async function main([jobFile, wayName]) {
  const way = WAYS[wayName];
  if (way === undefined) {
    throw new Error(`say how to send: ${Object.keys(WAYS).join(", ")}`);
  }
  const job = JSON.parse(fs.readFileSync(jobFile, "utf8"));
  const lines = fs.readFileSync(job.subscriptions, "utf8").split("\n", job.count);
  const subscriptions = lines.map((line) => JSON.parse(line));
  webpush.setVapidDetails(job.contact, job.public_key, job.private_key);

  const outcome = { accepted: 0, failed: 0, first_failure: null };
  const count = async (sending) => {
    try {
      const { statusCode } = await sending;
      if (statusCode !== 201) {
        throw new Error(`answered with ${statusCode}`);
      }
      outcome.accepted += 1;
    } catch (error) {
      outcome.failed += 1;
      outcome.first_failure ??= `${error.message} ${error.body ?? ""}`;
    }
  };

  const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log("ready");
  await input.next();
  await way({ subscriptions, payload: job.payload, job }, count);
  console.log(JSON.stringify(outcome));
  // Stays until somebody has looked.
  await input.next();
}

main(process.argv.slice(2)).then(
  // The agent that Node.js has for everybody keeps its connections.
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
