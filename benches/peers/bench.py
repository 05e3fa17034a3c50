#!/usr/bin/env python3
"""Measures sending as a whole, and writes what came of it into docs/benchmarks.md.

First all senders one after the other, as run.py does; then `tidings bench` with few and with many
subscribers, and while another push service fails. It takes about an hour with the defaults."""

import argparse
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import capacity
import document
import install
import machine
import report
import run
import targets
from child import ChildError

DOCUMENT = install.ROOT / "docs" / "benchmarks.md"
# A million subscribers are made in half a minute, imported in one, and sent to twice.
_LIMIT_S = 3600
# Busier than this before it begins, and throughput says nothing.
_QUIET_LOAD = 0.5


def main():
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("Two cores are needed: one for the sandbox, one for the sender.")
    if os.getloadavg()[0] > _QUIET_LOAD:
        say(f"The machine is not idle (load {os.getloadavg()[0]:.1f}): the figures will show it.")
    places = install.install(options.tidings)
    peers = run.measure(options, places, cores)
    few = bench(options, places, cores, options.few, "--direct", options.direct)
    beside = {
        how: bench(options, places, cores, options.few, "--direct", 0, "--other-service", how)
        for how in ("down", "429")
    }
    many = bench(options, places, cores, options.many, "--direct", options.direct)
    sandbox = sandbox_capacity(options, places, cores)
    found = targets.targets(peers, few, many, beside, sandbox)
    text = section(peers, few, many, beside, found)
    if options.print:
        print(text)
    else:
        document.write(DOCUMENT, text)
        say(f"written to {DOCUMENT.relative_to(install.ROOT)}")
    reports = [*peers["senders"], few, many, *beside.values()]
    return 1 if any(each["problems"] for each in reports) else 0


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = run.add_terms(parser)
    add("--few", type=run.between(100, 5_000_000), default=100_000, metavar="N",
        help="subscribers of the smaller run of `tidings bench` (default 100 000)")
    add("--many", type=run.between(100, 5_000_000), default=1_000_000, metavar="N",
        help="subscribers of the larger one (default 1 000 000)")
    add("--direct", type=run.between(1, 100_000), default=600, metavar="N",
        help="direct messages in each of the two (default 600)")
    add("--data-dir", type=Path, default=Path("/var/tmp"), metavar="FOLDER",
        help="on the disk that is measured (default /var/tmp)")
    add("--print", action="store_true",
        help="print the section instead of writing it into docs/benchmarks.md")
    return parser.parse_args()


def bench(options, places, cores, subscribers, *further):
    """One run of `tidings bench`; returns its report."""
    sandbox_core, server_core = cores[:2]
    command = [
        places.tidings, "bench", "--json", "--subscribers", subscribers,
        "--payload", options.payload, "--latency", options.latency,
        "--decrypt-one-in", options.decrypt_one_in, "--data-dir", options.data_dir,
        "--sandbox-core", sandbox_core, "--server-core", server_core, *further,
    ]
    command = list(map(str, command))
    say(shlex.join(command))
    environment = {key: text for key, text in os.environ.items() if not key.startswith("TIDINGS_")}
    try:
        told = run.ask_for_json(command, environment, _LIMIT_S)
    except (ValueError, subprocess.SubprocessError) as error:
        raise ChildError(f"{shlex.join(command)}: {error}") from None
    say(f"    {told['messages_per_second']:8.0f} messages/s, "
        f"{told['cpu_us_per_message']:7.1f} µs of CPU each",
        *(f"    {problem}" for problem in told["problems"]))
    return told


def sandbox_capacity(options, places, cores):
    """Requests a second that the sandbox takes on its core, or None where h2load is missing."""
    if not capacity.has_h2load():
        say(f"What the sandbox takes is not measured: {capacity.MISSING}.")
        return None
    terms = capacity.Terms(payload=options.payload)
    found = list(capacity.rounds(terms, places.tidings, places.python, cores))
    say(*(f"    the sandbox takes {each.in_words().strip()}" for each in found))
    return statistics.median(each.per_second for each in found)


_COLUMNS = {
    "messages/s": lambda told: f"{told['messages_per_second']:,.0f}",
    "µs CPU a message": lambda told: f"{told['cpu_us_per_message']:.1f}",
    "peak MB": lambda told: f"{told['peak_bytes'] / targets.MB:.0f}",
    "of it before the broadcast": lambda told:
        f"{told['broadcast']['peak_before_bytes'] / targets.MB:.0f}",
    "import/s": lambda told: f"{told['import']['per_second']:,.0f}",
    "planning ms": lambda told: f"{told['broadcast']['planning_ms']:,.0f}",
    "first POST ms": lambda told: f"{told['broadcast']['first_post_ms']:,.0f}",
    "octets a subscription": lambda told: f"{told['database']['bytes_per_subscription']:.0f}",
    "direct p50 / p99 / most ms": lambda told: " / ".join(
        f"{told['direct'][name]:.1f}" for name in ("p50_ms", "p99_ms", "max_ms")),
    "sandbox busy": lambda told: f"{told['sandbox_share']:.0%}",
}


def section(peers, few, many, beside, found):
    """What goes into the document."""
    told = [few, many]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {machine.in_words(peers['machine'])}.",
        "",
        "### Targets",
        "",
        targets.table(found),
        "",
        "### Tidings alone",
        "",
        f"| | {' | '.join(f'{_count(each)} subscribers' for each in told)} |",
        "|---" + "|---:" * len(told) + "|",
    ]
    for name, show in _COLUMNS.items():
        lines.append(f"| {name} | {' | '.join(show(each).replace(',', ' ') for each in told)} |")
    for how, each in beside.items():
        other = each["other_service"]
        lines += ["", f"With another push service that {targets.FAILS[how]}, to {_count(each)} "
                  f"subscribers of the healthy one: {other['beside_per_second']:.0f} messages/s "
                  f"instead of {other['alone_per_second']:.0f}."]
    spoilt = [problem for each in (few, many, *beside.values()) for problem in each["problems"]]
    spoilt += [remark for each in (few, many, *beside.values()) for remark in each["remarks"]]
    if spoilt:
        lines += ["", "**To be known:** " + "; ".join(sorted(set(spoilt))) + "."]
    lines += ["", "### Senders side by side", "", report.table(peers)]
    return "\n".join(lines)


def _count(told):
    return f"{told['messages']:,}".replace(",", " ")


def say(*lines):
    print(*lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    # So that the processes started here end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except (ChildError, OSError, ValueError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
