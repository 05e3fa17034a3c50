"""What is read of a process from outside is true, and it ends with its block."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

from child import Child, ChildError


class Children(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def child(self, program):
        core = min(os.sched_getaffinity(0))
        command = [sys.executable, "-c", program]
        return Child("a child", command, core, dict(os.environ), self.folder)

    def test_processor_time_is_the_child_s_own(self):
        program = """
import sys, time
print("ready", flush=True)
sys.stdin.readline()
while time.process_time() < 0.5: pass
print(time.process_time(), flush=True)
sys.stdin.read()
"""
        with self.child(program) as child:
            self.assertEqual(child.line(60), "ready")
            self.assertLess(child.cpu_seconds(), 0.5)
            child.say("go")
            told = float(child.line(60))
            self.assertAlmostEqual(child.cpu_seconds(), told, delta=0.1)

    def test_memory_is_the_most_that_the_child_had_and_not_what_its_parent_has(self):
        ours = bytearray(200_000_000)
        program = """
import sys
bytearray(b"x" * 50_000_000)
print("ready", flush=True)
sys.stdin.read()
"""
        with self.child(program) as child:
            child.line(60)
            self.assertGreater(child.peak_bytes(), 50_000_000)
            self.assertLess(child.peak_bytes(), len(ours))

    def test_it_is_pinned_to_the_core(self):
        program = "import os; print(len(os.sched_getaffinity(0)), flush=True); input()"
        with self.child(program) as child:
            self.assertEqual(child.line(60), "1")

    def test_one_that_ends_too_early_is_told_with_what_it_said(self):
        with self.child("import sys; sys.exit('out of paper')") as child:
            with self.assertRaisesRegex(ChildError, "(?s)ended too early.*out of paper"):
                child.line(60)

    def test_one_that_says_nothing_is_not_waited_for_without_end(self):
        with self.child("input()") as child:
            with self.assertRaisesRegex(ChildError, "said nothing for 0 s"):
                child.line(0)

    def test_leaving_the_block_ends_it(self):
        with self.child("print(__import__('os').getpid(), flush=True); input()") as child:
            pid = int(child.line(60))
            self.assertTrue(Path(f"/proc/{pid}").exists())
        self.assertFalse(Path(f"/proc/{pid}").exists())


if __name__ == "__main__":
    unittest.main()
