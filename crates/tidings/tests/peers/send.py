"""Sends by the library pywebpush, as a back end does that uses it.

Reads {subscription, data, private_key, subject, encoding} from standard input and prints the status.
"""

import json
import sys

from pywebpush import webpush

message = json.load(sys.stdin)
response = webpush(
    subscription_info=message["subscription"],
    data=message["data"],
    vapid_private_key=message["private_key"],
    vapid_claims={"sub": message["subject"]},
    content_encoding=message["encoding"],
    ttl=60,
)
print(response.status_code)
