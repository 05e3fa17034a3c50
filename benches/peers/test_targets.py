"""Which target is met, and where it is written."""

import tempfile
import unittest
from pathlib import Path

import document
import targets


def peers(**problems):
    rows = {"bare": 16_000, "tidings": 14_000, "npm-one-by-one": 19, "npm-all-at-once": 1_400,
            "npm-best": 2_000, "crate-isahc": 4_000}
    return {"senders": [
        {"name": name, "messages_per_second": rate, "cpu_to_bare": 1.2,
         "throughput_to_bare": rate / 16_000, "problems": problems.get(name, []),
         "rounds": [{"messages_per_second": rate * noise} for noise in (0.5, 1, 1.5)]}
        for name, rate in rows.items()
    ]}


def told(peak=140e6, **changes):
    good = {
        "messages": 1_000_000,
        "peak_bytes": peak,
        "import": {"per_second": 21_000},
        "broadcast": {"first_post_ms": 900},
        "database": {"bytes_per_subscription": 580},
        "direct": {"during_broadcast": 550, "p99_ms": 80},
        "other_service": None,
        "problems": [],
    }
    return good | changes


def isolation(ratio):
    return told(other_service={"ratio": ratio})


def verdicts(**changes):
    good = {"peers": peers(), "small": told(peak=135e6), "large": told(),
            "beside": {"down": isolation(0.95), "429": isolation(0.9)}, "sandbox": 40_000}
    found = targets.targets(**(good | changes))
    return {row.what: row.verdict for row in found}


class Targets(unittest.TestCase):
    def test_all_can_be_met(self):
        found = verdicts()
        self.assertEqual(set(found.values()), {"met"}, found)
        self.assertEqual(len(found), 14)

    def test_each_can_be_missed(self):
        slow = peers()
        for row in slow["senders"]:
            if row["name"] == "tidings":
                row.update(messages_per_second=11_000, cpu_to_bare=1.26, throughput_to_bare=0.84,
                           rounds=[{"messages_per_second": 11_000}] * 3)
        missed = verdicts(
            peers=slow,
            small=told(peak=100e6),
            large=told(
                peak=151e6,
                **{"import": {"per_second": 19_999}},
                broadcast={"first_post_ms": 1001},
                database={"bytes_per_subscription": 601},
                direct={"during_broadcast": 499, "p99_ms": 101},
            ),
            beside={"down": isolation(0.89), "429": isolation(0.1)},
            sandbox=39_999,
        )
        self.assertEqual(set(missed.values()), {"**missed**"}, missed)

    def test_figures_that_are_worth_nothing_are_none(self):
        found = verdicts(peers=peers(tidings=["twice"]), large=told(problems=["too busy"]))
        without = [what for what, verdict in found.items() if verdict == "no figure"]
        self.assertEqual(len(without), 11, found)
        self.assertEqual(verdicts(sandbox=None)[
            "what the sandbox itself takes on one core (`h2load`)"], "no figure")

    def test_the_fastest_way_of_the_readme_counts(self):
        found = targets.targets(peers(), None, None, {})
        row = next(row for row in found if "README" in row.what)
        self.assertEqual((row.measured, row.wanted), ("10.00 ×", "at least 8 ×"))

    def test_a_table_has_a_line_for_each(self):
        found = targets.targets(peers(), None, None, {})
        self.assertEqual(len(targets.table(found).splitlines()), 2 + len(found))


class Document(unittest.TestCase):
    def test_only_what_is_between_the_markers_is_replaced(self):
        text = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.md"
            path.write_text(text, encoding="utf-8")
            document.write(path, "new\n")
            self.assertEqual(
                path.read_text(encoding="utf-8"),
                f"before\n{document.BEGIN}\n\nnew\n\n{document.END}\nafter\n",
            )

    def test_a_text_without_markers_is_left_alone(self):
        for text in ("", document.BEGIN, f"{document.END} {document.BEGIN}"):
            with self.subTest(text), self.assertRaises(ValueError):
                document.replaced(text, "new")
