"""The part of docs/benchmarks.md that is written by a program: between two markers."""

import os
import tempfile

BEGIN = "<!-- sending: from here on written by `make bench` -->"
END = "<!-- sending: until here -->"


def replaced(text, new):
    """The text with `new` between the markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the lines {BEGIN!r} and {END!r} must be there once each, in this order")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{new.strip()}\n\n{END}{after}"


def write(path, new):
    """Puts it into the file, whole or not at all."""
    text = replaced(path.read_text(encoding="utf-8"), new)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    os.chmod(file.name, path.stat().st_mode)
    os.replace(file.name, path)
