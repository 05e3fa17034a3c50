"""Builds and installs what is compared, below `target/`: from lock files, once for each change."""

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parent.parent
# Not where the tests install theirs (scripts/install-test-peers): each clears its own.
FOLDER = ROOT / "target" / "bench-peers"


@dataclass(frozen=True)
class Places:
    """Where the programs are."""

    tidings: Path
    bare_client: Path
    web_push_crate: Path
    python: Path
    node_modules: Path
    node_program: Path = _HERE / "node" / "send.cjs"
    python_program: Path = _HERE / "python" / "send.py"


def install(tidings=None):
    """Installs everything, and says where it is. `tidings` spares building the binary."""
    senders = ["--bin", "bare-client", "--bin", "web-push-crate"]
    binaries = _build(_HERE.parent / "Cargo.toml", *senders)
    return Places(
        tidings=tidings_binary(tidings),
        bare_client=binaries["bare-client"],
        web_push_crate=binaries["web-push-crate"],
        python=python(),
        node_modules=_node(FOLDER / "node") / "node_modules",
    )


def tidings_binary(path=None):
    """The binary whose sandbox is used: this one, or one that is built now."""
    path = path or _build(ROOT / "Cargo.toml", "--package", "tidings")["tidings"]
    return Path(path).resolve()


def python():
    """An interpreter that has pywebpush."""
    folder = FOLDER / "python"
    requirements = _HERE / "python" / "requirements.txt"
    interpreter = folder / "bin" / "python"
    with _Stamp(folder, [requirements]) as stamp:
        if stamp.is_old:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            command = [interpreter, "-m", "pip", "install", "--quiet", "--require-hashes"]
            subprocess.run([*command, "-r", requirements], check=True, stdout=sys.stderr)
    return interpreter


def versions(places):
    """What exactly is compared."""
    peers = json.loads((places.node_modules / "web-push" / "package.json").read_text())
    code = "import importlib.metadata as m; print(m.version('pywebpush'), m.version('aiohttp'))"
    pywebpush, aiohttp = _output(places.python, "-c", code).split()
    crates = _crates(_HERE.parent / "Cargo.lock")
    return {
        "Tidings": _output(places.tidings, "--version").split()[-1],
        "Rust": _output("rustc", "--version").split()[1],
        "Node.js": _output("node", "--version"),
        "Python": _output(places.python, "--version").split()[-1],
        "web-push (npm)": peers["version"],
        "pywebpush": pywebpush,
        "aiohttp": aiohttp,
        **{f"{name} (crate)": crates[name] for name in ("web-push", "isahc", "h2", "aws-lc-rs")},
    }


def _build(manifest, *arguments):
    """Builds binaries for release; returns their paths by name."""
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(manifest)]
    command += [*arguments, "--message-format", "json-render-diagnostics"]
    print(f"building {' '.join(arguments)} of {manifest.relative_to(ROOT)}", file=sys.stderr)
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = map(json.loads, built.splitlines())
    return {
        message["target"]["name"]: Path(message["executable"])
        for message in messages
        if message["reason"] == "compiler-artifact" and message["executable"]
    }


def _crates(lock):
    with open(lock, "rb") as file:
        packages = tomllib.load(file)["package"]
    # Where there are several versions, the newest is the bare client's.
    packages.sort(key=lambda package: _number(package["version"]))
    return {package["name"]: package["version"] for package in packages}


def _number(version):
    return [int(part) for part in version.split("-")[0].split("+")[0].split(".")]


def _node(folder):
    locked = [_HERE / "node" / name for name in ("package.json", "package-lock.json")]
    with _Stamp(folder, locked) as stamp:
        if stamp.is_old:
            for file in locked:
                shutil.copy(file, folder)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, check=True, cwd=folder, stdout=sys.stderr)
    return folder


class _Stamp:
    """Remembers of which files a folder was made. An installation that broke off is not one."""

    def __init__(self, folder, files):
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        self._digest = digest
        self._path = folder / "installed-from"
        self.is_old = not self._path.exists() or self._path.read_text() != digest
        if self.is_old:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            print(f"installing into {folder.relative_to(ROOT)}", file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._path.write_text(self._digest)


def _output(*command):
    told = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    return told.stdout.strip()
