"""A process of ours, pinned to a core, and what it uses, read from outside while it lives."""

import ctypes
import re
import selectors
import subprocess
import time

_LIBC = ctypes.CDLL(None, use_errno=True)

# How long a process may take to end when it is asked to.
_PATIENCE_S = 5


class ChildError(Exception):
    """The process did not do what was agreed."""


class Child:
    """A running process. Leaving its `with` block ends it, and it alone."""

    def __init__(self, name, command, core, environment, folder):
        self.name = name
        self._log_path = folder / f"{name}.log"
        self._log = open(self._log_path, "wb")
        self._process = subprocess.Popen(
            # taskset becomes the program, so the process is the same.
            ["taskset", "--cpu-list", str(core), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=folder,
        )
        self._read = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=0 if self._process.poll() is not None else _PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def say(self, line):
        """Writes a line to its standard input."""
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("ended too early") from None

    def line(self, limit_s, advice="is it stuck?"):
        """The next line of its standard output."""
        deadline = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise self._failure(f"said nothing for {limit_s} s ({advice})")
                read = self._process.stdout.read1(65536)
                if not read:
                    raise self._failure("ended too early")
                self._read += read
        line, self._read = self._read.split(b"\n", 1)
        return line.decode()

    def log_has(self, pattern, limit_s):
        """Waits until a regular expression matches in its standard error; returns the match."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            match = re.search(pattern, self._log_path.read_text(errors="replace"))
            if match:
                return match
            if self._process.poll() is not None:
                raise self._failure("ended too early")
            time.sleep(0.02)
        raise self._failure(f"did not start within {limit_s} s")

    @property
    def pid(self):
        """Its id."""
        return self._process.pid

    def terminate(self):
        """Asks it to end, where the end of its standard input tells it nothing."""
        self._process.terminate()

    def cpu_seconds(self):
        """Processor time so far, of all its threads, to the nanosecond."""
        clock = ctypes.c_int()
        if _LIBC.clock_getcpuclockid(self._process.pid, ctypes.byref(clock)) != 0:
            raise self._failure("is gone")
        return time.clock_gettime(clock.value)

    def peak_bytes(self):
        """The most memory it had resident; unlike rusage, without what it was forked from."""
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        raise self._failure("is gone")

    def _failure(self, what):
        self._log.flush()
        told = self._log_path.read_text(errors="replace").strip().splitlines()[-8:]
        return ChildError("\n    ".join([f"{self.name} {what}", *told]))
