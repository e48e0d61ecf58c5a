"""What the machine and its processes say of themselves: cores, load, CPU time and memory from /proc, a metrics page."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tests.bench.figures import Machine

PROC = Path("/proc")


def this_machine() -> Machine:
    """The machine that runs this."""
    total = kilobytes((PROC / "meminfo").read_text(), "MemTotal")
    return Machine(len(os.sched_getaffinity(0)), total / 1024**2, platform.python_version())


def load(before: float = 0.0) -> float:
    """Processes that ran or wanted to, mean of the last minute; `before` where that was higher."""
    return max(before, float((PROC / "loadavg").read_text().split()[0]))


def kilobytes(text: str, name: str) -> int:
    """A line such as "VmRSS:   70120 kB" of /proc. Raises LookupError where there is none."""
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        if key == name:
            return int(rest.split()[0])
    raise LookupError(f"/proc does not say {name}")


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    return kilobytes((PROC / str(pid) / "status").read_text(), "VmRSS") * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads since its start, user and system."""
    return ticks_of((PROC / str(pid) / "stat").read_text()) / os.sysconf("SC_CLK_TCK")


def ticks_of(stat: str) -> int:
    """User and system time in a process's line of /proc, in the kernel's clock ticks."""
    # The name of the program stands in brackets and may hold spaces; fields are counted after it.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def counted(page: str, name: str, **labels: str) -> float:
    """The sum of the samples of one metric on a page of the Prometheus text format, 0 where there is none."""
    total = 0.0
    for line in page.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(f'{key}="{label}"' in series for key, label in labels.items()):
            total += float(value)
    return total
