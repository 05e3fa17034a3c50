"""A user agent of http_ece and a push service of py_vapid, both of which pywebpush uses as well.

The only argument says what to do:

keys  prints the keys of a new user agent: {private, p256dh, auth}
open  reads {private, auth, headers, body} from standard input, a push message as it arrived;
      prints {payload, claims, key} when both its encryption and its token are good, else fails
"""

import base64
import json
import os
import sys

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def keys():
    pair = ec.generate_private_key(ec.SECP256R1())
    point = pair.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    scalar = pair.private_numbers().private_value.to_bytes(32, "big")
    return {"private": encode(scalar), "p256dh": encode(point), "auth": encode(os.urandom(16))}


def open_message(message):
    headers = message["headers"]
    scalar = int.from_bytes(decode(message["private"]), "big")
    version = headers["content-encoding"]
    options = {}
    if version == "aesgcm":
        options["salt"] = decode(parameter(headers["encryption"], "salt"))
        options["dh"] = decode(parameter(headers["crypto-key"], "dh"))
    payload = http_ece.decrypt(
        decode(message["body"]),
        private_key=ec.derive_private_key(scalar, ec.SECP256R1()),
        auth_secret=decode(message["auth"]),
        version=version,
        **options,
    )
    return {"payload": payload.decode(), **verify(headers)}


def verify(headers):
    scheme, parameters = headers["authorization"].split(" ", 1)
    # It reads the header by its spaces, of which RFC 9110 lets there be one after the comma.
    if not Vapid02.verify(f"{scheme} {parameters.replace(' ', '')}"):
        sys.exit("the token's signature is wrong")
    claims = decode(parameter(parameters, "t").split(".")[1])
    return {"claims": json.loads(claims), "key": parameter(parameters, "k")}


def parameter(header, name):
    parameters = header.replace(",", ";").split(";")
    values = dict(parameter.strip().split("=", 1) for parameter in parameters)
    return values[name]


outcome = keys() if sys.argv[1] == "keys" else open_message(json.load(sys.stdin))
print(json.dumps(outcome))
