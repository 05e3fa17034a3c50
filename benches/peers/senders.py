"""Who sends, and by which of the ways that their documentation shows."""

from dataclasses import dataclass, field

# One after the other, each waits for its answer: 20 a second at 50 ms.
_FEW = 200
# As many connections as messages; the sandbox tells of 1024 connections at most.
_CONNECTIONS = 1_000


@dataclass(frozen=True)
class Sender:
    """A program that keeps the contract of README.md."""

    name: str
    title: str
    command: tuple
    # How it sends, for the report.
    way: str
    # The most messages that it is given in one run.
    most: int = 1_000_000
    # By which it finds the certificate authority and its packages.
    environment: dict = field(default_factory=dict)


NAMES = (
    "bare",
    "tidings",
    "npm-one-by-one",
    "npm-all-at-once",
    "npm-best",
    "python-one-by-one",
    "python-best",
    "crate-readme",
    "crate-isahc",
    "crate-hyper",
)

# Ours: a command that measures itself (README.md). Direct messages are left out, for no other
# sender has any.
TIDINGS = (
    "tidings",
    "Tidings",
    "{tidings} bench --subscribers {count} --payload {payload} --latency {latency_ms} "
    "--decrypt-one-in {decrypt_one_in} --services mozilla --direct 0 --sandbox-core {sandbox_core} "
    "--server-core {sender_core} --json",
)
TIDINGS_WAY = (
    "`tidings serve`, from the 202 to the last outcome in the database on disk "
    "(`synchronous=FULL`), measured by `tidings bench`; memory with the import before"
)


def all_of(places, ca):
    """Every sender. `places` says where their programs were installed (install.py)."""
    node = {"NODE_EXTRA_CA_CERTS": str(ca), "NODE_PATH": str(places.node_modules)}
    openssl = {"SSL_CERT_FILE": str(ca)}
    send_js = ("node", places.node_program, "{job}")
    send_py = (places.python, places.python_program, "{job}")
    crate = (places.web_push_crate, "{job}")
    return [
        Sender(
            "bare",
            "bare client",
            (places.bare_client, "{job}"),
            "h2, tokio-rustls, aws-lc-rs; 16 connections of 100 streams; one token; no storage",
        ),
        Sender(
            "npm-one-by-one",
            "web-push (npm), README",
            (*send_js, "one-by-one"),
            "`sendNotification` as in its README, one awaited after the other",
            most=_FEW,
            environment=node,
        ),
        Sender(
            "npm-all-at-once",
            "web-push (npm), README, `Promise.all`",
            (*send_js, "all-at-once"),
            "`sendNotification` as in its README, for everybody at once",
            most=_CONNECTIONS,
            environment=node,
        ),
        Sender(
            "npm-best",
            "web-push (npm), best",
            (*send_js, "best"),
            "500 at once, an agent that keeps connections, headers of `getVapidHeaders` made once",
            environment=node,
        ),
        Sender(
            "python-one-by-one",
            "pywebpush, README",
            (*send_py, "one-by-one"),
            "`webpush_async` as documented, one awaited after the other",
            most=_FEW,
            environment=openssl,
        ),
        Sender(
            "python-best",
            "pywebpush, best",
            (*send_py, "best"),
            "`webpush_async`, 500 at once, one aiohttp session, VAPID headers made once",
            environment=openssl,
        ),
        Sender(
            "crate-readme",
            "web-push (crate), README",
            (*crate, "readme"),
            "isahc client, key read and token signed for each message, one awaited after the other",
            most=_FEW,
            environment=openssl,
        ),
        Sender(
            "crate-isahc",
            "web-push (crate), best, isahc",
            (*crate, "isahc"),
            "its default client (HTTP/2, libcurl) with 16 connections, 500 at once, one signature",
            environment=openssl,
        ),
        Sender(
            "crate-hyper",
            "web-push (crate), best, hyper",
            (*crate, "hyper"),
            "its client `hyper-client` (HTTP/1.1), 500 at once, one signature",
            environment=openssl,
        ),
    ]
