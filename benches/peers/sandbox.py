"""The push service that is sent to: `tidings sandbox`, as a process of its own."""

import json
import urllib.request

from child import Child

_START_LIMIT_S = 30
_CONTROL_LIMIT_S = 30
# A subscription is derived in some 20 µs.
_SUBSCRIPTIONS_LIMIT_S = 300

# Whatever proxy the environment names has no part in this.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sandbox(Child):
    """A sandbox on free ports of loopback, and its controls."""

    def __init__(self, tidings, core, decrypt_one_in, environment, folder):
        self.ca = folder / "ca.pem"
        command = [tidings, "sandbox"]
        command += ["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--ca-file", self.ca]
        # Nobody asks what arrived.
        command += ["--decrypt-one-in", decrypt_one_in, "--keep-messages", "0"]
        super().__init__("sandbox", command, core, environment, folder)

    def __enter__(self):
        try:
            match = self.log_has(r"listening on (http://[^\s/]+)", _START_LIMIT_S)
            self._control = match.group(1)
            self.origin = self.log_has(r"listening on (https://[^\s/]+)", _START_LIMIT_S).group(1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.terminate()
        super().__exit__()

    def delay_answers(self, milliseconds):
        """Makes every answer come so late."""
        self._ask("PUT", "/sandbox/behaviour", json.dumps({"delay_ms": milliseconds}).encode())

    def make_subscriptions(self, count, key, path):
        """Makes virtual user agents, and writes their subscriptions to a file, one a line."""
        query = f"count={count}&applicationServerKey={key}&scheme=https"
        url = f"{self._control}/sandbox/subscriptions?{query}"
        lines = 0
        with open(path, "wb") as file:
            request = urllib.request.Request(url, method="POST", data=b"")
            with _DIRECT.open(request, timeout=_SUBSCRIPTIONS_LIMIT_S) as answer:
                for line in answer:
                    file.write(line)
                    lines += 1
        if lines != count:
            raise RuntimeError(f"the sandbox made {lines} subscriptions, not {count}")

    def stats(self):
        """What it counted since the last reset."""
        return json.loads(self._ask("GET", "/sandbox/stats"))

    def reset_stats(self):
        """Counts from zero again."""
        self._ask("DELETE", "/sandbox/stats")

    def _ask(self, method, path, body=None):
        request = urllib.request.Request(self._control + path, method=method, data=body)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with _DIRECT.open(request, timeout=_CONTROL_LIMIT_S) as answer:
            return answer.read()
