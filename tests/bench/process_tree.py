"""What a process and its children cost, as the kernel counts it (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """`pid` and every process below it that lives now."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += _children(current)
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds of the whole tree, children that ended and were waited for too."""
    return sum(_own_cpu_s(member) for member in tree(pid))


def rss_mib(pid: int) -> float:
    """Resident memory of one process in MiB; 0 for one that is gone."""
    for line in _read(pid, "status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def largest_rss_mib(pid: int) -> float:
    """The resident memory of the largest process below `pid`: the largest worker."""
    return max(rss_mib(member) for member in tree(pid)[1:] or [pid])


def _own_cpu_s(pid: int) -> float:
    # The name in field 2 may hold blanks and brackets: fields count from behind its last bracket.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_S if fields else 0.0


def _children(pid: int) -> list[int]:
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
        return [
            int(child) for thread in threads for child in (thread / "children").read_text().split()
        ]
    except OSError:
        return []


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text()
    except OSError:
        return ""
