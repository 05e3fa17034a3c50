"""Encrypts one message for one subscription: what capacity.py lets h2load send over and over.

Reads a JSON document of `subscription`, `payload`, `audience`, `contact` and `private_key_file`
from standard input; writes one of `body` (base64) and `authorization`."""

import base64
import json
import sys

from py_vapid import Vapid
from pywebpush import WebPusher

asked = json.load(sys.stdin)
claims = {"aud": asked["audience"], "sub": asked["contact"]}
signed = Vapid.from_file(asked["private_key_file"]).sign(claims)
body = WebPusher(asked["subscription"]).encode(asked["payload"].encode())["body"]
told = {"body": base64.b64encode(body).decode(), "authorization": signed["Authorization"]}
json.dump(told, sys.stdout)
