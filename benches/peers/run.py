#!/usr/bin/env python3
"""Sends one message to the same virtual subscribers with several senders, and compares them.

The push service is `tidings sandbox` on a core of its own; each sender is a process on another.
See README.md for what is compared, how, and how to add a sender."""

import argparse
import functools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import figures
import install
import machine
import report
import senders
from child import Child, ChildError
from sandbox import Sandbox

_READY_LIMIT_S = 120
CONTACT = "mailto:operator@example.com"
TTL_S = 3600


def main():
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("Two cores are needed: one for the sandbox, one for the sender.")
    result = measure(options, install.install(options.tidings), cores)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(report.table(result))
    return 1 if any(row["problems"] for row in result["senders"]) else 0


def measure(options, places, cores):
    """All senders, in all rounds."""
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="tidings-peers-") as folder:
        bench = Bench(options, places, cores[:2], Path(folder))
        runs = bench.all_rounds()
    return report.result(options, bench.contenders, runs, install.versions(places), load)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = add_terms(parser)
    add("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def add_terms(parser):
    """Adds what says who sends what to how many; returns how to add more."""
    add = parser.add_argument
    add("--subscriptions", type=between(100, 1_000_000), default=20_000, metavar="N",
        help="how many get the message (100 to 1 000 000; default 20 000); senders that would take "
        "too long are given fewer")
    add("--rounds", type=between(1, 25), default=5, metavar="N",
        help="how often each sender has its turn (1 to 25; default 5)")
    add("--payload", type=between(32, 3000), default=200, metavar="OCTETS",
        help="length of the plaintext (32 to 3000; default 200)")
    add("--latency", type=between(0, 10_000), default=50, metavar="MS",
        help="by how much the sandbox delays each answer (default 50)")
    add("--decrypt-one-in", type=between(1, 1_000_000), default=100, metavar="N",
        help="of the subscribers one in N decrypts what it gets (default 100)")
    add("--limit", type=between(1, 3600), default=300, metavar="SECONDS",
        help="the longest that one turn may take (default 300)")
    add("--only", type=_names, metavar="NAME,…",
        help="only these senders, of: " + ", ".join(senders.NAMES))
    add("--also", action="append", default=[], type=_named_command, metavar="NAME=COMMAND",
        help="a command that measures itself and prints its figures as JSON (README.md); may be "
        "given several times")
    add("--tidings", type=Path, metavar="PATH",
        help="the binary whose sandbox is used, instead of building it")
    return add


def between(least, most):
    """Reads a number between these two, as argparse wants it."""

    def number(text):
        if not (text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"give a number from {least} to {most}")
        return int(text)

    return number


def _names(text):
    names = text.split(",")
    unknown = [name for name in names if name not in senders.NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no sender {unknown[0]!r}; there are {', '.join(senders.NAMES)}"
        )
    return names


def _named_command(text):
    name, equals, command = text.partition("=")
    if not (name and equals and command):
        raise argparse.ArgumentTypeError("write NAME=COMMAND")
    return name, command


def make_key(tidings, folder):
    """A VAPID key pair in all forms that senders take."""
    command = [tidings, "vapid", "generate", "--json"]
    key = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    (folder / "key.pem").write_text(key["pem"])
    return key


@dataclass(frozen=True)
class Times:
    """What clocks show, or what went by on them, in seconds."""

    seconds: float
    sender: float
    sandbox: float
    sender_core: float
    sandbox_core: float

    def __sub__(self, other):
        mine, theirs = astuple(self), astuple(other)
        return Times(*(later - earlier for later, earlier in zip(mine, theirs)))

    def others_share(self):
        """The larger share that other processes had of the two cores."""
        others = max(self.sender_core - self.sender, self.sandbox_core - self.sandbox)
        return max(0, others / self.seconds)


def ask_for_json(command, environment, limit_s):
    """What a command prints that measures itself. With status 1, it must say which problems."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            told, _ = process.communicate(timeout=limit_s)
        except BaseException:
            # So that it ends what it started.
            process.terminate()
            raise
    if process.returncode not in (0, 1) or (process.returncode == 1 and not told.strip()):
        raise subprocess.CalledProcessError(process.returncode, command)
    figures_of_it = json.loads(told)
    if process.returncode == 1 and not figures_of_it.get("problems"):
        raise ValueError("it failed, and does not say why")
    return figures_of_it


class Bench:
    """All rounds of all senders at one sandbox."""

    def __init__(self, options, places, cores, folder):
        self.options = options
        self.places = places
        self.sandbox_core, self.sender_core = cores
        self.folder = folder
        self.senders = [
            sender
            for sender in senders.all_of(places, folder / "ca.pem")
            if options.only is None or sender.name in options.only
        ]
        # Of each: name, title and way, in the order of the report.
        self.contenders = [(s.name, s.title, s.way) for s in self.senders]
        self.commands = [(name, command) for name, command in options.also]
        if options.only is None or senders.TIDINGS[0] in options.only:
            name, title, command = senders.TIDINGS
            self.contenders.append((name, title, senders.TIDINGS_WAY))
            self.commands.insert(0, (name, command))
        self.contenders += [(name, name, f"`{command}`") for name, command in options.also]
        # Settings of the one who runs this have no part in it.
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith("TIDINGS_")
        }

    def all_rounds(self):
        """The runs of each contender by its name, one for each round."""
        key = make_key(self.places.tidings, self.folder)
        count = self.options.subscriptions
        runs = {name: [] for name, _, _ in self.contenders}
        sandbox = Sandbox(self.places.tidings, self.sandbox_core, self.options.decrypt_one_in,
                          self.environment, self.folder)
        with sandbox:
            subscriptions = self.folder / "subscriptions.ndjson"
            sandbox.make_subscriptions(count, key["public_key"], subscriptions)
            sandbox.delay_answers(self.options.latency)
            for number in range(self.options.rounds):
                for name, turn in self._turns(sandbox, key, subscriptions, number):
                    _say(f"round {number + 1} of {self.options.rounds}: {name}")
                    run = turn()
                    _say(f"    {run.per_second:8.0f} messages/s, {run.cpu_us:7.1f} µs of CPU each",
                         *(f"    {problem}" for problem in run.problems))
                    runs[name].append(run)
        return runs

    def _turns(self, sandbox, key, subscriptions, number):
        """Whose turn is when: each round begins with another, so that noise meets all alike."""
        send = functools.partial(self._send, sandbox, key, subscriptions, number)
        turns = [(sender.name, functools.partial(send, sender)) for sender in self.senders]
        turns += [(name, functools.partial(self._ask, line)) for name, line in self.commands]
        first = number % len(turns)
        return turns[first:] + turns[:first]

    def _send(self, sandbox, key, subscriptions, number, sender):
        """One turn of one sender."""
        count = min(self.options.subscriptions, sender.most)
        job = self.folder / "job.json"
        job.write_text(json.dumps({
            "subscriptions": str(subscriptions),
            "count": count,
            "ca": str(sandbox.ca),
            "audience": sandbox.origin,
            # Another one each time: the sandbox knows what it has seen before.
            "payload": f"{number}, {sender.name} ".ljust(self.options.payload, "x"),
            "ttl": TTL_S,
            "contact": CONTACT,
            "public_key": key["public_key"],
            "private_key": key["private_key"],
            "private_key_file": str(self.folder / "key.pem"),
            "in_flight": 500,
            "connections": 16,
            "streams": 100,
        }))
        sandbox.reset_stats()
        command = [str(job) if part == "{job}" else part for part in sender.command]
        environment = self.environment | sender.environment
        with Child(sender.name, command, self.sender_core, environment, self.folder) as child:
            if child.line(_READY_LIMIT_S) != "ready":
                raise ChildError(f"{sender.name} did not say that it is ready")
            loaded = child.peak_bytes()
            before = self._times(sandbox, child)
            child.say("go")
            outcome = json.loads(child.line(self.options.limit, "see --limit"))
            spent = self._times(sandbox, child) - before
            peak = child.peak_bytes()
        share = spent.sandbox / spent.seconds
        decrypts = -(-count // self.options.decrypt_one_in)
        stats = sandbox.stats()
        return figures.Run(
            messages=count,
            seconds=spent.seconds,
            cpu_seconds=spent.sender,
            peak_bytes=peak,
            loaded_bytes=loaded,
            sandbox_share=share,
            others_share=spent.others_share(),
            connections=figures.connections(stats),
            problems=figures.problems(count, outcome, stats, share, decrypts),
        )

    def _times(self, sandbox, child):
        return Times(
            seconds=time.monotonic(),
            sender=child.cpu_seconds(),
            sandbox=sandbox.cpu_seconds(),
            sender_core=machine.busy_seconds(self.sender_core),
            sandbox_core=machine.busy_seconds(self.sandbox_core),
        )

    def _ask(self, command):
        """One turn of a command that measures itself."""
        terms = {
            "tidings": shlex.quote(str(self.places.tidings)),
            "decrypt_one_in": self.options.decrypt_one_in,
            "count": self.options.subscriptions,
            "payload": self.options.payload,
            "latency_ms": self.options.latency,
            "sandbox_core": self.sandbox_core,
            "sender_core": self.sender_core,
        }
        for name, value in terms.items():
            command = command.replace(f"{{{name}}}", str(value))
        try:
            return figures.foreign(
                ask_for_json(shlex.split(command), self.environment, self.options.limit),
                self.options.subscriptions,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise ChildError(f"{command}: {error}") from None


def _say(*lines):
    print(*lines, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    # So that the processes started here end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except (ChildError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"peers: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
