"""What it runs on, and whether others ran there too."""

import os
import platform


def described():
    """The machine, as a JSON document."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_bytes": int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024,
        "system": f"{platform.system()} {platform.release()}",
    }


def in_words(found):
    """A machine that was described, with the load before and after."""
    before, after = found["load_before"][0], found["load_after"][0]
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_bytes'] / 1e9:.0f} GB, "
        f"{found['system']}; load {before:.1f} before, {after:.1f} after"
    )


def busy_seconds(core):
    """How long a core was busy since the start of the machine, to a hundredth of a second."""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *ticks = line.split()
            if name == f"cpu{core}":
                user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, ticks[:8])
                busy = user + nice + system + interrupts + soft + stolen
                return busy / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"/proc/stat knows no core {core}")


def _field(path, name):
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "0"
