#!/usr/bin/env python3
"""How many push messages a second the sandbox takes on one core, by h2load on another.

Over TLS, as `tidings bench` does.
One subscription in 100 decrypts: h2load sends everybody the same body, which was encrypted for that
one, over and over. See README.md."""

import argparse
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import install
from child import Child, ChildError
from run import CONTACT, between, make_key
from sandbox import Sandbox

_DECRYPT_ONE_IN = 100
_SUBSCRIPTIONS = 10_000
_LIMIT_S = 120
_MESSAGE_PROGRAM = Path(__file__).resolve().parent / "python" / "one_message.py"


@dataclass(frozen=True)
class Round:
    """What the sandbox took."""

    per_second: float
    # Processor time of the sandbox for a request, in seconds.
    busy: float

    def in_words(self):
        return (f"{self.per_second:8.0f} requests/s, {self.busy * 1e6:5.1f} µs of CPU each, "
                f"busy {self.busy * self.per_second:4.0%}: "
                f"{1 / self.busy:.0f} requests/s if its core were always busy")


@dataclass(frozen=True)
class Terms:
    """What is sent, and how. `main` says what each means."""

    requests: int = 200_000
    rounds: int = 5
    connections: int = 16
    latency: int = 0
    payload: int = 200


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Terms()
    add = parser.add_argument
    add("--requests", type=between(1_000, 2_000_000), default=usual.requests, metavar="N",
        help="how many in each round (1 000 to 2 000 000; default 200 000)")
    add("--rounds", type=between(1, 25), default=usual.rounds, metavar="N",
        help="1 to 25; default 5")
    add("--connections", type=between(1, 100), default=usual.connections, metavar="N",
        help="of 100 streams each (1 to 100; default 16)")
    add("--latency", type=between(0, 10_000), default=usual.latency, metavar="MS",
        help="by how much each answer is delayed (default 0)")
    add("--payload", type=between(32, 3000), default=usual.payload, metavar="OCTETS",
        help="length of the plaintext (32 to 3000; default 200)")
    add("--tidings", type=Path, metavar="PATH",
        help="the binary whose sandbox is used, instead of building it")
    options = vars(parser.parse_args())
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("Two cores are needed: one for the sandbox, one for h2load.")
    if not has_h2load():
        sys.exit(MISSING)
    tidings = install.tidings_binary(options.pop("tidings"))
    for found in rounds(Terms(**options), tidings, install.python(), cores):
        print(found.in_words(), flush=True)


MISSING = "h2load is missing (in Debian: nghttp2-client; ./scripts/install-bench-tools)"


def has_h2load():
    return shutil.which("h2load") is not None


def rounds(terms, tidings, python, cores):
    """One round after the other."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("TIDINGS_")}
    with tempfile.TemporaryDirectory(prefix="tidings-capacity-") as folder:
        folder = Path(folder)
        with Sandbox(tidings, cores[0], _DECRYPT_ONE_IN, environment, folder) as sandbox:
            load = prepare(sandbox, tidings, python, terms, folder)
            # Each connection goes through all endpoints from the first on, in hundreds.
            hundreds = max(1, terms.requests // (terms.connections * _DECRYPT_ONE_IN))
            requests = hundreds * terms.connections * _DECRYPT_ONE_IN
            for _ in range(terms.rounds):
                yield measure(sandbox, load, requests, cores[1], environment, folder)


def prepare(sandbox, tidings, python, terms, folder):
    """Makes subscriptions and a message; returns the command for h2load."""
    key = make_key(tidings, folder)
    path = folder / "subscriptions.ndjson"
    sandbox.make_subscriptions(_SUBSCRIPTIONS, key["public_key"], path)
    sandbox.delay_answers(terms.latency)
    subscriptions = [json.loads(line) for line in path.read_text().splitlines()]
    # The first one decrypts. Of each hundred the first is replaced by it, so one in a hundred does.
    endpoints = [subscription["endpoint"] for subscription in subscriptions]
    endpoints[::_DECRYPT_ONE_IN] = [endpoints[0]] * len(endpoints[::_DECRYPT_ONE_IN])
    (folder / "endpoints").write_text("\n".join(endpoints) + "\n")
    asked = {
        "subscription": subscriptions[0],
        "payload": "x" * terms.payload,
        "audience": sandbox.origin,
        "contact": CONTACT,
        "private_key_file": str(folder / "key.pem"),
    }
    told = subprocess.run([python, _MESSAGE_PROGRAM], check=True,
                          input=json.dumps(asked).encode(), stdout=subprocess.PIPE).stdout
    message = json.loads(told)
    (folder / "body").write_bytes(base64.b64decode(message["body"]))
    return [
        "h2load", "--threads=1", f"--clients={terms.connections}", "--max-concurrent-streams=100",
        "--input-file=endpoints", "--data=body", "--header=TTL: 3600",
        "--header=Content-Encoding: aes128gcm",
        f"--header=Authorization: {message['authorization']}",
    ]


def measure(sandbox, load, requests, core, environment, folder):
    """One round."""
    sandbox.reset_stats()
    busy = sandbox.cpu_seconds()
    with Child("h2load", [*load, f"--requests={requests}"], core, environment, folder) as child:
        finished = told = ""
        while not finished:
            told = child.line(_LIMIT_S)
            finished = re.match(r"finished in .*, ([\d.]+) req/s", told)
        busy = (sandbox.cpu_seconds() - busy) / requests
    stats = sandbox.stats()
    counts = {name: stats[name] for name in ("accepted", "decrypted", "decrypt_failures")}
    decrypted = requests // _DECRYPT_ONE_IN
    expected = {"accepted": requests, "decrypted": decrypted, "decrypt_failures": 0}
    if counts != expected:
        raise ChildError(f"the sandbox counted {counts}, not {expected}")
    return Round(float(finished.group(1)), busy)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except (ChildError, subprocess.SubprocessError) as error:
        sys.exit(f"capacity: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
