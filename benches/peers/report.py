"""The result of all rounds, as a JSON document and as Markdown."""

import os
import time

import figures
import machine

_METHOD = """\
Each sender is a process of its own, pinned to one core, the sandbox to another; both speak TLS \
over loopback. The same {subscriptions} virtual subscriptions get a payload of {payload} \
octets, and every answer is delayed by {latency} ms. A sender loads its subscriptions and says \
that it is ready; time runs from then to its last answer, opening of connections included. CPU \
is the processor time of the sender's process in that time, peak memory is its high-water mark, \
of which program and subscriptions were loaded before. Rounds: {rounds}, each begun by another \
sender. The figures are medians, ratios are made within the rounds. After each turn the sandbox \
must have accepted exactly one message for each subscription, and one subscription in \
{decrypt_one_in} must have decrypted it; a sandbox that was busy for more than {limit:.0%} of \
the time spoils the figures. A sender that waits for each answer, or opens a connection for \
each message, gets fewer messages."""

_COLUMNS = (
    "",
    "messages/s",
    "× bare",
    "µs CPU a message",
    "× bare",
    "peak MB",
    "of it loaded",
    "messages a round",
    "connections",
    "sandbox busy",
)

# Less than this of a core, taken by others, is no disturbance.
_QUIET = 0.05


def result(options, contenders, runs, versions, load):
    """Everything that was found out."""
    floor = runs.get("bare")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "terms": {
            "subscriptions": options.subscriptions,
            "rounds": options.rounds,
            "payload": options.payload,
            "latency": options.latency,
            "decrypt_one_in": options.decrypt_one_in,
        },
        "machine": {**machine.described(), "load_before": load, "load_after": os.getloadavg()},
        "versions": versions,
        "senders": [
            {"name": name, "title": title, "way": way, **figures.summary(runs[name], floor)}
            for name, title, way in contenders
        ],
    }


def table(result):
    """The same for people."""
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        "|---" + "|---:" * (len(_COLUMNS) - 1) + "|",
        *(_row(row) for row in result["senders"]),
        "",
        *(f"- **{row['title']}**: {row['way']}." for row in result["senders"]),
        "",
        "**Method.** " + _METHOD.format(**result["terms"], limit=figures.SANDBOX_LIMIT),
        "",
        f"**Machine.** {machine.in_words(result['machine'])}, {result['date']}. {_others(result)}",
        "",
        "**Versions.** " + ", ".join(f"{k} {v}" for k, v in result["versions"].items()) + ".",
    ]
    spoilt = [row for row in result["senders"] if row["problems"]]
    if spoilt:
        lines += ["", "**These figures are worth nothing:**", ""]
        lines += [f"- {row['title']}: {problem}" for row in spoilt for problem in row["problems"]]
    return "\n".join(lines)


def _row(row):
    least, most = row["messages_per_second_least"], row["messages_per_second_most"]
    cells = [
        row["title"] + (" (see below)" if row["problems"] else ""),
        f"{_whole(row['messages_per_second'])} ({_whole(least)} to {_whole(most)})",
        _ratio(row["throughput_to_bare"]),
        _whole(row["cpu_us_per_message"]),
        _ratio(row["cpu_to_bare"]),
        _whole(row["peak_bytes"] / 1e6),
        "" if row["loaded_bytes"] is None else _whole(row["loaded_bytes"] / 1e6),
        _whole(row["messages"]),
        ", ".join(f"{count} {protocol}" for protocol, count in row["connections"].items()),
        "" if row["sandbox_share"] is None else f"{row['sandbox_share']:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def _whole(number):
    return f"{number:,.0f}".replace(",", " ")


def _ratio(value):
    return "" if value is None else f"{value:.2f}"


def _others(result):
    """How much the figures of throughput are worth."""
    shares = [row["others_share"] for row in result["senders"] if row["others_share"] is not None]
    if not shares:
        return ""
    if max(shares) < _QUIET:
        return "Nothing else ran on the two cores."
    return (
        f"**The machine was not quiet:** other work took up to {max(shares):.0%} of a core. "
        "Processor times and ratios may be read, messages a second may not."
    )
