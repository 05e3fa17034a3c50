#!/usr/bin/env python3
"""Runs a server for a long time at about half its speed, and says whether it stays as it was.

`tidings sandbox` plays the push services, `tidings serve` sends to it: one broadcast after the other,
each followed by a rest as long as it took; all the while direct messages are sent, and people
subscribe and unsubscribe. At the end: memory, file descriptors and database, flat or not, and whether
the sandbox got exactly what the server says. The exit status is 1 if anything is not as it should be.

The database keeps every message, so it grows with their number; what is told is by how much for each.
Ended by Ctrl-C, it tells what it knows until then."""

import argparse
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benches" / "peers"))

from child import Child  # noqa: E402

SERVICES = ("fcm", "mozilla", "apple", "wns")
START_LIMIT_S = 60
REQUEST_LIMIT_S = 120
# The server closes a connection that was idle for 15 s, and any after an hour.
KEPT_S = 10
OLD_S = 50 * 60
BROADCAST_LIMIT_S = 1800
MIB = 1024 * 1024

# Growth below this is noise of the allocator, not a leak that a month would show.
MEMORY_SLACK = 0.05
MEMORY_SLACK_MIB = 8
# The writer keeps pages of the database, up to so many (WRITER_CACHE_KIB of tidings-store-sqlite): until
# then, memory follows a database that grows.
PAGES_KEPT_MIB = 32
DESCRIPTORS_SLACK = 8
# What a message may leave in the database. A row and its sealed content are less than 1 KiB; of a
# broadcast what remains of its batches comes on top, by subscriber.
KEPT_OCTETS_PER_MESSAGE = 2048
KEPT_OCTETS_PER_SUBSCRIBER = 1


def main():
    options = arguments()
    # Else the two processes would be left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="tidings-soak-", dir=options.folder))
    print(f"Data and logs are in {folder}", flush=True)
    try:
        with Soak(options, folder) as soak:
            problems = soak.run()
    except KeyboardInterrupt:
        sys.exit("Ended before it had begun.")
    if not problems and not options.keep:
        shutil.rmtree(folder)
    for problem in problems:
        print(f"NOT AS IT SHOULD BE: {problem}")
    print("Everything stayed as it was." if not problems else f"Logs and data are in {folder}")
    return 1 if problems else 0


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=positive(float), default=60, help="how long (default 60)")
    add("--every", type=positive(float), default=60, metavar="SECONDS",
        help="a line so often (default 60)")
    add("--subscribers", type=positive(int), default=20_000, metavar="N",
        help="who gets each broadcast (default 20 000)")
    add("--direct", type=positive(float), default=5, metavar="PER_SECOND",
        help="direct messages (default 5 a second)")
    add("--churn", type=positive(float), default=2, metavar="PER_SECOND",
        help="subscriptions that end, and as many that begin (default 2 a second)")
    add("--tidings", type=Path, default=ROOT / "target" / "release" / "tidings", metavar="PATH",
        help="the binary (default target/release/tidings)")
    add("--folder", type=Path, metavar="PATH", help="where the data goes (default: the system's)")
    add("--keep", action="store_true", help="keep data and logs even if all is well")
    options = parser.parse_args()
    if not options.tidings.is_file():
        parser.error(f"{options.tidings} is missing: `cargo build --release -p tidings` makes it")
    options.tidings = options.tidings.resolve()
    return options


def positive(kind):
    """The type of an argument that is a number above zero."""
    def parse(text):
        value = kind(text)
        if not 0 < value < 1e7:
            raise ValueError
        return value
    parse.__name__ = "number above zero"
    return parse


class Api:
    """JSON over one kept connection; for one thread."""

    def __init__(self, origin, token=None):
        self._address = origin.removeprefix("http://").rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection = None
        self._opened_s = self._used_s = 0.0

    def ask(self, method, path, body=None, content_type="application/json"):
        """The answer's JSON; anything but success is an error."""
        text = self.text(method, path, body, content_type)
        return json.loads(text) if text else None

    def text(self, method, path, body=None, content_type="application/json"):
        """The answer's octets; anything but success is an error."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": content_type} if body is not None else {})
        try:
            connection = self._kept() or self._new()
            self._connection = None
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeError(f"{method} {path}: {error!r}") from error
        self._connection, self._used_s = connection, time.monotonic()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {text[:300]!r}")
        return text

    def _kept(self):
        """The connection of the last request, unless the server may have closed it meanwhile."""
        now = time.monotonic()
        is_open = now - self._used_s < KEPT_S and now - self._opened_s < OLD_S
        return self._connection if is_open else None

    def _new(self):
        self._opened_s = time.monotonic()
        return http.client.HTTPConnection(self._address, timeout=REQUEST_LIMIT_S)


@dataclass
class Sample:
    """What the server used at one instant."""

    at_s: float
    resident_mib: float
    descriptors: int
    database_mib: float
    log_mib: float
    broadcasts: int
    direct: int
    accepted: int
    errors: int
    slowest_ms: float

    HEAD = ("  min   RSS MiB  files    DB MiB   WAL MiB  broadcasts   direct   accepted"
            "  errors  slowest 202")

    def line(self):
        """A line of the table."""
        return (f"{self.at_s / 60:5.1f} {self.resident_mib:9.1f} {self.descriptors:6d}"
                f" {self.database_mib:9.2f} {self.log_mib:9.2f} {self.broadcasts:11d}"
                f" {self.direct:8d} {self.accepted:10d} {self.errors:7d}"
                f" {self.slowest_ms:9.1f} ms")


class Soak:
    """Sandbox, server, and those who use it."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.messages = []
        self.broadcasts = 0
        self.direct = 0
        self.churned = 0
        self.errors = []
        self.slowest_s = 0.0
        self.sandbox = self.server = None

    def __enter__(self):
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("TIDINGS_")}
        services = [part for name in SERVICES for part in ("--service", f"{name}=127.0.0.1:0")]
        ca_file = self.folder / "ca.pem"
        command = [self.options.tidings, "sandbox", "--listen", "127.0.0.1:0", *services,
                   "--ca-file", ca_file, "--keep-messages", 0, "--decrypt-one-in", 100]
        self.sandbox = Child("sandbox", command, cores, environment, self.folder)
        try:
            self.control = Api(origin_of(self.sandbox))
            environment |= self.control.ask("GET", "/sandbox/services")["settings"] | {
                "TIDINGS_PUSH_EXTRA_CA": str(ca_file),
                "TIDINGS_LISTEN": "127.0.0.1:0",
                "TIDINGS_DATA_DIR": str(self.folder / "data"),
                "TIDINGS_PUBLIC_URL": "http://tidings.test/",
                "TIDINGS_CONTACT": "mailto:ops@example.org",
            }
            command = [self.options.tidings, "serve"]
            self.server = Child("server", command, cores, environment, self.folder)
            self.origin = origin_of(self.server)
        except BaseException:
            self.__exit__()
            raise
        self.token = (self.folder / "data" / "admin-token").read_text(encoding="ascii").strip()
        self.api = Api(self.origin, self.token)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for child in (self.server, self.sandbox):
            if child is not None:
                child.terminate()
                child.__exit__()

    def run(self):
        """The whole of it; returns what is not as it should be."""
        key = next(key["public_key"] for key in self.api.ask("GET", "/v1/vapid-keys")["items"]
                   if key["state"] == "active")
        self.import_subscribers(key)
        coming_and_going = self.subscriptions(key, max(10, int(self.options.churn * 60)))
        self.control.ask("PUT", "/sandbox/behaviour",
                         {"delay_ms": {"p50_ms": 30, "p99_ms": 300}})
        began = time.monotonic()
        users = [
            threading.Thread(target=self.broadcast, daemon=True),
            threading.Thread(target=self.at_rate, daemon=True,
                             args=(self.options.direct, self.send_direct, None)),
            threading.Thread(target=self.at_rate, daemon=True,
                             args=(self.options.churn, self.come_or_go,
                                   itertools.cycle(coming_and_going))),
        ]
        for user in users:
            user.start()
        samples = self.watch(began, began + self.options.minutes * 60)
        self.stop.set()
        print("Waiting for what is under way …", flush=True)
        for user in users:
            user.join(BROADCAST_LIMIT_S)
        return self.drift(samples) + self.account()

    def import_subscribers(self, key):
        """Makes subscriptions, each of a user of its own, and imports them."""
        file = self.folder / "subscriptions.ndjson"
        with open(file, "w", encoding="utf-8") as lines:
            for number, line in enumerate(self.subscriptions(key, self.options.subscribers)):
                lines.write(json.dumps(line | {"user": f"user-{number}"}) + "\n")
        began = time.monotonic()
        with open(file, "rb") as lines:
            answer = self.api.ask("POST", "/v1/subscriptions/import", lines.read(),
                                  "application/x-ndjson")
        file.unlink()
        if answer["created"] != self.options.subscribers:
            raise RuntimeError(f"the import did not take all: {answer}")
        print(f"{answer['created']} subscribers in {time.monotonic() - began:.1f} s", flush=True)

    def subscriptions(self, key, count):
        """New subscriptions of the sandbox."""
        path = f"/sandbox/subscriptions?count={count}&service=all&applicationServerKey={key}"
        text = self.control.text("POST", path, b"")
        return [json.loads(line) for line in text.splitlines()]

    def broadcast(self):
        """One broadcast after the other, each followed by a rest as long as it took."""
        api = Api(self.origin, self.token)
        while not self.stop.is_set():
            began = time.monotonic()
            message = self.send(api, {"all": True}, f"Number {self.broadcasts}")
            if message is None:
                self.stop.wait(1)
                continue
            self.broadcasts += 1
            self.until_done(api, message)
            self.stop.wait(time.monotonic() - began)

    def until_done(self, api, message):
        """Waits until every outcome of a message is known; its counts, or `None` if they are not."""
        deadline = time.monotonic() + BROADCAST_LIMIT_S
        while time.monotonic() < deadline:
            try:
                answer = api.ask("GET", f"/v1/messages/{message}")
                if answer["state"] == "done":
                    return answer["counts"]
            except RuntimeError as error:
                self.note(error)
            time.sleep(0.1)
        self.note(f"message {message} was not done after {BROADCAST_LIMIT_S} s")
        return None

    def at_rate(self, per_second, act, subject):
        """Does the same so often, whatever it takes."""
        api = Api(self.origin, self.token)
        due = time.monotonic()
        while not self.stop.wait(max(0, due - time.monotonic())):
            due = max(due + 1 / per_second, time.monotonic() - 1)
            act(api, subject)

    def send_direct(self, api, _):
        """One message to one person."""
        user = f"user-{self.direct * 7919 % self.options.subscribers}"
        if self.send(api, {"users": [user]}, "For you") is not None:
            self.direct += 1

    def come_or_go(self, api, subscriptions):
        """Somebody subscribes who is not there, or unsubscribes who is."""
        subscription = next(subscriptions)
        try:
            known = subscription.pop("id", None)
            if known is None:
                answer = api.ask("POST", "/v1/subscriptions", subscription)
                subscription["id"] = answer["id"]
            else:
                api.ask("DELETE", f"/v1/subscriptions/{known}")
            self.churned += 1
        except RuntimeError as error:
            self.note(error)

    def send(self, api, audience, title):
        """Sends a message; its id, or `None` where it was not accepted."""
        notification = {"title": title, "body": "…" * 40}
        began = time.monotonic()
        try:
            answer = api.ask("POST", "/v1/messages",
                             {"audience": audience, "notification": notification})
        except RuntimeError as error:
            self.note(error)
            return None
        with self.lock:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.messages.append(answer["id"])
        return answer["id"]

    def note(self, error):
        """Something went wrong; the run goes on."""
        with self.lock:
            self.errors.append(str(error))
        print(f"  ! {error}", flush=True)

    def watch(self, began, end):
        """Prints a line so often until the end, or until Ctrl-C; returns the samples."""
        print(Sample.HEAD, flush=True)
        samples = []
        try:
            while time.monotonic() < end:
                due = began + (len(samples) + 1) * self.options.every
                time.sleep(max(0, min(due, end) - time.monotonic()))
                samples.append(self.sample(time.monotonic() - began))
                print(samples[-1].line(), flush=True)
        except KeyboardInterrupt:
            print("Ended early.", flush=True)
        return samples

    def sample(self, at_s):
        """What the server uses now."""
        process = Path("/proc") / str(self.server.pid)
        status = (process / "status").read_text(encoding="ascii")
        resident = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
        base, log = (sum(file.stat().st_size for file in (self.folder / "data").glob(pattern))
                     for pattern in ("*.sqlite3", "*.sqlite3-wal"))
        with self.lock:
            slowest, self.slowest_s = self.slowest_s, 0.0
        return Sample(
            at_s, resident / 1024, len(os.listdir(process / "fd")), base / MIB, log / MIB,
            self.broadcasts, self.direct, self.control.ask("GET", "/sandbox/stats")["accepted"],
            len(self.errors), slowest * 1000,
        )

    def drift(self, samples):
        """Compares the last third with the first one, of what comes after the warm-up."""
        warm = samples[len(samples) // 6:]
        third = len(warm) // 3
        if third == 0:
            return ["too short to say what stays flat: at least 4 lines are needed"]
        problems = []
        first, last = warm[:third], warm[-third:]
        kept = [min(PAGES_KEPT_MIB, statistics.median(sample.database_mib for sample in part))
                for part in (first, last)]
        pages = kept[1] - kept[0]
        for name, member, allowed in (
            ("memory (MiB)", "resident_mib",
             lambda before: before * MEMORY_SLACK + MEMORY_SLACK_MIB + pages),
            ("file descriptors", "descriptors", lambda _: DESCRIPTORS_SLACK),
            ("WAL (MiB)", "log_mib", lambda before: before * MEMORY_SLACK + MEMORY_SLACK_MIB),
        ):
            before, after = (statistics.median(getattr(sample, member) for sample in part)
                             for part in (first, last))
            flat = after - before <= allowed(before)
            print(f"{name}: {before:.1f} → {after:.1f}, {'flat' if flat else 'GROWING'}")
            if member == "resident_mib":
                print(f"    {pages:.1f} of it may be pages of the database, which grew")
            if not flat:
                problems.append(f"{name} grew from {before:.1f} to {after:.1f}")
        return problems + self.growth(warm[0], warm[-1])

    def growth(self, first, last):
        """By how much the database grew, for what it was told to keep."""
        octets = (last.database_mib - first.database_mib) * MIB
        broadcasts = last.broadcasts - first.broadcasts
        messages = broadcasts + last.direct - first.direct
        kept = messages * KEPT_OCTETS_PER_MESSAGE
        kept += broadcasts * self.options.subscribers * KEPT_OCTETS_PER_SUBSCRIBER
        print(f"database: {first.database_mib:.2f} → {last.database_mib:.2f} MiB while it was given"
              f" {messages} messages to keep, {broadcasts} of them broadcasts:"
              f" {octets / max(1, messages):.0f} octets each (allowed: {kept / max(1, messages):.0f})")
        return [f"the database grew by {octets:.0f} octets, not {kept}"] if octets > kept else []

    def account(self):
        """Compares what the server says with what the sandbox counted."""
        accepted, problems = 0, []
        # The server has long closed the connection of the beginning.
        api = Api(self.origin, self.token)
        for message in self.messages:
            # An application may ask a thousand times a second.
            time.sleep(0.002)
            counts = self.until_done(api, message)
            if counts is None:
                continue
            accepted += counts["accepted"]
            lost = counts["targeted"] - counts["accepted"] - counts["ended"]
            if lost:
                problems.append(f"message {message} did not reach {lost}: {counts}")
        stats = self.control.ask("GET", "/sandbox/stats")
        print(f"messages: {len(self.messages)}; accepted: {accepted} by the server's count,"
              f" {stats['accepted']} by the sandbox's; twice, of those decrypted:"
              f" {stats['duplicates']};"
              f" not decrypted though tried: {stats['decrypt_failures']};"
              f" subscribed and unsubscribed: {self.churned}")
        if stats["accepted"] != accepted:
            problems.append(f"the sandbox took {stats['accepted']}, the server says {accepted}")
        for name in ("duplicates", "decrypt_failures"):
            if stats[name]:
                problems.append(f"{stats[name]} {name}")
        if self.errors:
            problems.append(f"{len(self.errors)} errors, the first: {self.errors[0]}")
        log = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
        complaints = [line for line in log.splitlines() if " WARN " in line or " ERROR " in line]
        print(f"warnings and errors in the server's log: {len(complaints)}")
        for line in complaints[:5]:
            print(f"  {line}")
        return problems


def origin_of(child):
    """Where a process says that it listens."""
    return child.log_has(r"listening on (http://[^\s/]+)", START_LIMIT_S).group(1)


if __name__ == "__main__":
    sys.exit(main())
