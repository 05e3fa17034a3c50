"""What sending is to cost at most, beside what was measured."""

import statistics
from dataclasses import dataclass

MB = 1_000_000

# How another push service may fail (`tidings bench --other-service`).
FAILS = {"down": "is down", "429": "answers 429"}

# Not peers: the floor, and ours.
_NO_PEERS = ("bare", "tidings")
# The ways of its README; who knows it takes the faster one.
_NPM_README = ("npm-one-by-one", "npm-all-at-once")


@dataclass(frozen=True)
class Target:
    """One line: `value` is what was measured, and None where there is no figure."""

    what: str
    wanted: str
    measured: str
    is_met: bool | None

    @property
    def verdict(self):
        return {None: "no figure", True: "met", False: "**missed**"}[self.is_met]


def targets(peers, small, large, beside, sandbox=None):
    """All of them. `peers` is the result of run.py; `small`, `large` and those of `beside` (by how
    the other service fails) are reports of `tidings bench`; `sandbox` is how many requests a second
    the sandbox takes."""
    rows = {row["name"]: row for row in peers["senders"]}
    ours = _good(rows.get("tidings"))
    return [
        *_against_peers(ours, {name: _good(row) for name, row in rows.items()}),
        *_of_a_large_run(_good(small), _good(large)),
        *(_isolation(how, _good(report)) for how, report in beside.items()),
        _figure("what the sandbox itself takes on one core (`h2load`)", sandbox, "requests/s",
                least=40_000),
    ]


def _against_peers(ours, rows):
    bare_is_good = ours is not None and rows.get("bare") is not None
    yield _ratio(
        "processor time of the server for a message, to that of the bare client",
        ours["cpu_to_bare"] if bare_is_good else None, most=1.25,
    )
    yield _ratio(
        "throughput, to that of the bare client",
        ours["throughput_to_bare"] if bare_is_good else None, least=0.85,
    )
    peers = [row for name, row in rows.items() if name not in _NO_PEERS and row]
    readme = [rows[name] for name in _NPM_README if rows.get(name)]
    for what, others, least in (
        ("throughput, to that of the fastest peer", peers, 3),
        ("throughput, to that of npm `web-push` as its README shows", readme, 8),
    ):
        yield _ratio(what, _to_the_fastest(ours, others), least=least)


def _to_the_fastest(ours, others):
    """As all ratios, the median of those within the rounds."""
    fastest = max(others, key=lambda row: row["messages_per_second"], default=None)
    if not ours or not fastest:
        return None
    pairs = zip(ours["rounds"], fastest["rounds"])
    return statistics.median(
        mine["messages_per_second"] / theirs["messages_per_second"] for mine, theirs in pairs
    )


def _of_a_large_run(small, large):
    count = f"{large['messages']:,}".replace(",", " ") if large else "1 000 000"
    peak = large["peak_bytes"] / MB if large else None
    yield _figure(f"peak memory with {count} subscribers", peak, "MB", most=150)
    growth = large["peak_bytes"] / small["peak_bytes"] if large and small else None
    fewer = f"{small['messages']:,}".replace(",", " ") if small else "100 000"
    yield _ratio(f"the same, to that with {fewer}", growth, most=1.1)
    yield _figure("import", _in(large, "import", "per_second"), "subscriptions/s", least=20_000)
    first = _in(large, "broadcast", "first_post_ms")
    yield _figure("first POST after the 202", first, "ms", most=1000)
    size = _in(large, "database", "bytes_per_subscription")
    yield _figure("database", size, "octets a subscription", most=600)
    during = _in(large, "direct", "during_broadcast")
    yield _figure("direct messages during a broadcast", during, "", least=500)
    p99 = _in(large, "direct", "p99_ms")
    yield _figure("direct messages, from request to POST, p99", p99, "ms", most=100)


def _isolation(how, report):
    what = f"throughput to a healthy push service while another {FAILS[how]}, to that alone"
    return _ratio(what, _in(report, "other_service", "ratio"), least=0.9)


def table(found):
    """Markdown."""
    lines = ["| | wanted | measured | |", "|---|---:|---:|---|"]
    lines += [f"| {row.what} | {row.wanted} | {row.measured} | {row.verdict} |" for row in found]
    return "\n".join(lines)


def _good(report):
    """A report whose figures count."""
    return report if report and not report["problems"] else None


def _in(report, *members):
    for member in members:
        report = report and report.get(member)
    return report


def _ratio(what, value, **limits):
    return _target(what, value, "×", 2, limits)


def _figure(what, value, unit, **limits):
    return _target(what, value, unit, 0, limits)


def _target(what, value, unit, digits, limits):
    (kind, limit), = limits.items()
    name = {"most": "at most", "least": "at least"}[kind]
    wanted = f"{name} {_number(limit, 2 if limit % 1 else 0)} {unit}".strip()
    if value is None:
        return Target(what, wanted, "–", None)
    is_met = value <= limit if kind == "most" else value >= limit
    return Target(what, wanted, f"{_number(value, digits)} {unit}".strip(), is_met)


def _number(value, digits):
    return f"{value:,.{digits}f}".replace(",", " ")
