"""What a run is worth: figures of one run, what makes it worthless, and medians over the rounds."""

import statistics
from dataclasses import dataclass, field

# A sandbox that is busier than this may be what is measured.
SANDBOX_LIMIT = 0.8


@dataclass
class Run:
    """One sender's turn in one round."""

    messages: int
    # From the start of sending to the last answer.
    seconds: float
    # Processor time of the sender in these seconds.
    cpu_seconds: float
    peak_bytes: int
    # Share of its core that the sandbox was busy in these seconds; None where it was not ours.
    sandbox_share: float | None
    # The larger share that other processes had of the sender's or the sandbox's core.
    others_share: float | None = None
    # How many connections carried messages, by protocol.
    connections: dict = field(default_factory=dict)
    # What makes the figures worthless.
    problems: list = field(default_factory=list)
    # How much of the peak was there before it began to send; None where nobody looked.
    loaded_bytes: int | None = None

    @property
    def per_second(self):
        return self.messages / self.seconds

    @property
    def cpu_us(self):
        """Processor time of a message in microseconds."""
        return self.cpu_seconds * 1e6 / self.messages

    def to_json(self):
        return {
            "messages": self.messages,
            "seconds": self.seconds,
            "messages_per_second": self.per_second,
            "cpu_us_per_message": self.cpu_us,
            "peak_bytes": self.peak_bytes,
            "loaded_bytes": self.loaded_bytes,
            "sandbox_share": self.sandbox_share,
            "others_share": self.others_share,
            "connections": self.connections,
            "problems": self.problems,
        }


def problems(count, outcome, stats, sandbox_share, decrypts):
    """What is wrong with a run, by what the sender says and by what the sandbox counted."""
    found = []

    def expect(what, actual, expected):
        if actual != expected:
            found.append(f"{what}: {actual}, not {expected}")

    expect("accepted, says the sender", outcome["accepted"], count)
    expect("failed, says the sender", outcome["failed"], 0)
    if outcome["first_failure"]:
        found.append(f"first failure: {outcome['first_failure']}")
    # Everybody was reached, and by as many messages as there are people: nobody got two.
    expect("accepted by the sandbox", stats["accepted"], count)
    expect("subscriptions reached", stats["subscriptions_reached"], count)
    expect("answered with 201", stats["answers"], {"201": count})
    expect("in flight at the end", stats["in_flight"], 0)
    expect("duplicates", stats["duplicates"], 0)
    expect("that could not be decrypted", stats["decrypt_failures"], 0)
    expect("decrypted", stats["decrypted"], decrypts)
    if sandbox_share > SANDBOX_LIMIT:
        found.append(
            f"the sandbox was busy for {sandbox_share:.0%} of the time, over {SANDBOX_LIMIT:.0%}: "
            "it may be what was measured"
        )
    return found


def connections(stats):
    """How many connections carried messages, by protocol."""
    reports = stats["connections"]["by_protocol"]
    return {each["protocol"]: each["with_posts"] for each in reports if each["with_posts"]}


def foreign(told, count):
    """The figures that a command of `--also` told of itself."""
    needed = ("messages", "seconds", "cpu_seconds", "peak_bytes")
    missing = [name for name in needed if name not in told]
    if missing:
        raise ValueError(f"its JSON lacks {', '.join(missing)} (README.md says what to print)")
    run = Run(
        messages=told["messages"],
        seconds=told["seconds"],
        cpu_seconds=told["cpu_seconds"],
        peak_bytes=told["peak_bytes"],
        loaded_bytes=told.get("loaded_bytes"),
        sandbox_share=told.get("sandbox_share"),
        problems=list(told.get("problems", [])),
    )
    if run.messages != count:
        run.problems.append(f"it sent {run.messages} messages, not {count}")
    if run.sandbox_share is not None and run.sandbox_share > SANDBOX_LIMIT:
        run.problems.append(f"its sandbox was busy for {run.sandbox_share:.0%} of the time")
    return run


def summary(runs, floor):
    """Medians over the rounds. Ratios are made within each round, where noise meets all alike."""

    def median(values):
        values = list(values)
        return statistics.median(values) if values else None

    rates = [run.per_second for run in runs]
    pairs = list(zip(runs, floor)) if floor else []
    def most(values):
        return max((value for value in values if value is not None), default=None)

    return {
        "messages": runs[0].messages,
        "messages_per_second": median(rates),
        "messages_per_second_least": min(rates),
        "messages_per_second_most": max(rates),
        "cpu_us_per_message": median(run.cpu_us for run in runs),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "loaded_bytes": most(run.loaded_bytes for run in runs),
        "throughput_to_bare": median(run.per_second / bare.per_second for run, bare in pairs),
        "cpu_to_bare": median(run.cpu_us / bare.cpu_us for run, bare in pairs),
        "sandbox_share": most(run.sandbox_share for run in runs),
        "others_share": most(run.others_share for run in runs),
        "connections": runs[-1].connections,
        "problems": sorted({problem for run in runs for problem in run.problems}),
        "rounds": [run.to_json() for run in runs],
    }
