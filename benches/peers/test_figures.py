"""What spoils a figure, and how figures of several rounds become one."""

import unittest

import figures
from figures import Run


def stats(**changes):
    good = {
        "accepted": 200,
        "subscriptions_reached": 200,
        "answers": {"201": 200},
        "in_flight": 0,
        "duplicates": 0,
        "decrypt_failures": 0,
        "decrypted": 2,
    }
    return good | changes


def outcome(**changes):
    return {"accepted": 200, "failed": 0, "first_failure": None} | changes


def problems(told=None, counted=None, share=0.5):
    return figures.problems(200, told or outcome(), counted or stats(), share, decrypts=2)


class Problems(unittest.TestCase):
    def test_a_run_in_which_everybody_got_one_message_is_good(self):
        self.assertEqual(problems(), [])

    def test_whatever_else_happened_is_told(self):
        cases = [
            ({"told": outcome(accepted=199, failed=1, first_failure="no route")}, "no route"),
            ({"told": outcome(accepted=199)}, "accepted, says the sender: 199, not 200"),
            ({"told": outcome(failed=1)}, "failed, says the sender: 1, not 0"),
            ({"counted": stats(accepted=201)}, "accepted by the sandbox: 201"),
            ({"counted": stats(subscriptions_reached=199)}, "reached: 199"),
            ({"counted": stats(answers={"201": 199, "429": 1})}, "429"),
            ({"counted": stats(in_flight=1)}, "in flight"),
            ({"counted": stats(duplicates=1)}, "duplicates: 1"),
            ({"counted": stats(decrypt_failures=1)}, "could not be decrypted: 1"),
            ({"counted": stats(decrypted=0)}, "decrypted: 0, not 2"),
            ({"share": 0.81}, "busy for 81%"),
        ]
        for arguments, hint in cases:
            with self.subTest(hint):
                found = problems(**arguments)
                self.assertTrue(any(hint in problem for problem in found), found)


class Connections(unittest.TestCase):
    def test_those_that_carried_messages_are_counted(self):
        h2 = {"protocol": "h2", "total": 9, "open": 0, "with_posts": 0}
        http1 = {"protocol": "http/1.1", "total": 9, "open": 0, "with_posts": 7}
        told = figures.connections({"connections": {"by_protocol": [h2, http1]}})
        self.assertEqual(told, {"http/1.1": 7})


class Foreign(unittest.TestCase):
    TOLD = {"messages": 200, "seconds": 0.5, "cpu_seconds": 0.02, "peak_bytes": 1}

    def test_figures_are_taken_over(self):
        more = {"sandbox_share": 0.4, "loaded_bytes": 7, "another": 1}
        run = figures.foreign(self.TOLD | more, 200)
        self.assertEqual(run.loaded_bytes, 7)
        self.assertEqual((run.per_second, round(run.cpu_us), run.problems), (400, 100, []))

    def test_what_spoils_them_is_told(self):
        for change, hint in [
            ({"messages": 199}, "199 messages"),
            ({"sandbox_share": 0.9}, "90%"),
            ({"problems": ["lost one"]}, "lost one"),
        ]:
            with self.subTest(hint):
                run = figures.foreign(self.TOLD | change, 200)
                self.assertTrue(any(hint in problem for problem in run.problems), run.problems)

    def test_what_is_missing_is_named(self):
        with self.assertRaisesRegex(ValueError, "seconds, peak_bytes"):
            figures.foreign({"messages": 1, "cpu_seconds": 1}, 1)


class Summary(unittest.TestCase):
    def test_ratios_are_made_within_the_rounds(self):
        # The machine was slow when the first round's second turn came, and all through the last.
        floor = [Run(100, seconds, seconds, 1, 0.1) for seconds in (1, 2, 8)]
        runs = [Run(100, seconds, seconds, 1, 0.1) for seconds in (4, 2, 8)]
        told = figures.summary(runs, floor)
        self.assertEqual((told["throughput_to_bare"], told["cpu_to_bare"]), (1, 1))
        self.assertEqual(told["messages_per_second"], 25)
        self.assertEqual(told["cpu_us_per_message"], 40_000)

    def test_without_the_floor_there_is_no_ratio(self):
        told = figures.summary([Run(1, 1, 1, 1, None)], None)
        self.assertEqual((told["throughput_to_bare"], told["sandbox_share"]), (None, None))

    def test_the_worst_of_memory_and_the_problems_of_all_rounds_are_kept(self):
        runs = [Run(1, 1, 1, 5, 0.1, None, {}, ["b"]), Run(1, 1, 1, 9, 0.3, None, {}, ["a", "b"])]
        told = figures.summary(runs, None)
        self.assertEqual((told["peak_bytes"], told["sandbox_share"]), (9, 0.3))
        self.assertEqual(told["problems"], ["a", "b"])

    def test_it_says_how_much_of_the_cores_others_had(self):
        runs = [Run(1, 1, 1, 1, 0.1, share) for share in (None, 0.2, 0.1)]
        self.assertEqual(figures.summary(runs, None)["others_share"], 0.2)


if __name__ == "__main__":
    unittest.main()
