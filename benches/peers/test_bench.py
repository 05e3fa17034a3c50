"""What `make bench` writes."""

import sys
import unittest
from subprocess import SubprocessError

import bench
import run
import targets


def told(messages, **changes):
    good = {
        "messages": messages,
        "messages_per_second": 14_000.4,
        "cpu_us_per_message": 61.25,
        "peak_bytes": 90e6,
        "sandbox_share": 0.5,
        "broadcast": {"peak_before_bytes": 60e6, "planning_ms": 1234.5, "first_post_ms": 12.3},
        "import": {"per_second": 21_000},
        "database": {"bytes_per_subscription": 580.4},
        "direct": {"during_broadcast": 600, "p50_ms": 4, "p99_ms": 20, "max_ms": 30},
        "other_service": None,
        "problems": [],
        "remarks": [],
    }
    return good | changes


PEERS = {
    "date": "2026-01-01",
    "terms": {"subscriptions": 1, "rounds": 1, "payload": 1, "latency": 1, "decrypt_one_in": 1},
    "machine": {"processor": "a processor", "cores": 2, "memory_bytes": 8e9, "system": "Linux",
                "load_before": [0.1], "load_after": [0.9]},
    "versions": {"Tidings": "0.1.0"},
    "senders": [],
}


def section(few, many, beside):
    found = targets.targets(PEERS, few, many, beside)
    return bench.section(PEERS, few, many, beside, found)


class Section(unittest.TestCase):
    def test_it_has_machine_targets_figures_and_other_senders(self):
        other = {"alone_per_second": 100, "beside_per_second": 95, "ratio": 0.95}
        beside = {"down": told(2000, other_service=other)}
        text = section(told(2000), told(50_000), beside)
        for part in (
            "a processor, 2 cores, 8 GB, Linux; load 0.1 before, 0.9 after",
            "| import | at least 20 000 subscriptions/s | 21 000 subscriptions/s | met |",
            "| | 2 000 subscribers | 50 000 subscribers |",
            "| messages/s | 14 000 | 14 000 |",
            "| direct p50 / p99 / most ms | 4.0 / 20.0 / 30.0 | 4.0 / 20.0 / 30.0 |",
            "With another push service that is down, to 2 000 subscribers of the healthy one: 95 "
            "messages/s instead of 100.",
            "**Versions.** Tidings 0.1.0.",
        ):
            self.assertIn(part, text)
        self.assertNotIn("To be known", text)

    def test_what_spoils_it_is_told_once(self):
        spoilt = told(2000, problems=["duplicates: 1, not 0"], remarks=["a debug build"])
        text = section(spoilt, spoilt, {})
        self.assertIn("**To be known:** a debug build; duplicates: 1, not 0.", text)


class Asking(unittest.TestCase):
    def ask(self, code):
        return run.ask_for_json([sys.executable, "-c", code], None, 30)

    def test_figures_with_problems_are_figures(self):
        told = self.ask("print('{\"problems\": [\"twice\"]}'); exit(1)")
        self.assertEqual(told, {"problems": ["twice"]})

    def test_a_failure_is_none(self):
        for code in ("exit(1)", "print('{}'); exit(1)", "print('{}'); exit(2)", "print('x')"):
            with self.subTest(code), self.assertRaises((ValueError, SubprocessError)):
                self.ask(code)


if __name__ == "__main__":
    unittest.main()
