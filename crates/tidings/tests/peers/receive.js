// A user agent of http_ece and a push service of jws, both of which the package web-push uses as well.
// The only argument says what to do:
//
//   keys  prints the keys of a new user agent: {private, p256dh, auth}
//   open  reads {private, auth, headers, body} from standard input, a push message as it arrived;
//         prints {payload, claims, key} when both its encryption and its token are good, else fails

"use strict";

const { createECDH, createPublicKey, randomBytes } = require("node:crypto");
const { readFileSync } = require("node:fs");
const ece = require("http_ece");
const jws = require("jws");

function keys() {
  const pair = createECDH("prime256v1");
  const p256dh = pair.generateKeys("base64url");
  const auth = randomBytes(16).toString("base64url");
  return { private: pair.getPrivateKey("base64url"), p256dh, auth };
}

function open({ private: scalar, auth, headers, body }) {
  const privateKey = createECDH("prime256v1");
  privateKey.setPrivateKey(scalar, "base64url");
  const version = headers["content-encoding"];
  const options = { version, privateKey, authSecret: auth };
  if (version === "aesgcm") {
    options.salt = parameter(headers.encryption, "salt");
    options.dh = parameter(headers["crypto-key"], "dh");
  }
  const payload = ece.decrypt(Buffer.from(body, "base64url"), options).toString("utf8");
  return { payload, ...verify(headers) };
}

function verify({ authorization }) {
  const [scheme, parameters] = authorization.split(/ (.*)/s);
  if (scheme.toLowerCase() !== "vapid") {
    throw new Error(`not VAPID: ${scheme}`);
  }
  const token = parameter(parameters, "t");
  const key = parameter(parameters, "k");
  const point = Buffer.from(key, "base64url");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString("base64url"));
  const jwk = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
  if (!jws.verify(token, "ES256", jwk.export({ type: "spki", format: "pem" }))) {
    throw new Error("the token's signature is wrong");
  }
  return { claims: jws.decode(token).payload, key };
}

function parameter(header, name) {
  const parameters = header.split(/[,;]/).map((text) => text.trim());
  return parameters.find((text) => text.startsWith(`${name}=`)).slice(name.length + 1);
}

const outcome = process.argv[2] === "keys" ? keys() : open(JSON.parse(readFileSync(0, "utf8")));
console.log(JSON.stringify(outcome));
