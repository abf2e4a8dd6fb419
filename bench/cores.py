"""Cores and who uses them: pinning, CPU time in nanoseconds, resident memory."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["LOAD_CORE", "PROXY_CORE", "Usage", "place", "resident", "usage"]

_ALLOWED: Final = sorted(os.sched_getaffinity(0))
LOAD_CORE: Final = _ALLOWED[0]
"""Where the load and its endpoints run."""
PROXY_CORE: Final = _ALLOWED[-1]
"""Where the proxy runs that is measured."""


def place(pid: int, cores: Sequence[int], nice: int) -> None:
    """Pin a process to cores, its threads in turn to one of them, and give it a priority, if we may.

    Where the kernel groups processes by session (autogroup), the priority of the group is what counts between sessions.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    for number, thread in enumerate(_threads(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {cores[number % len(cores)]})
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, nice)


@dataclass(frozen=True, slots=True)
class Usage:
    """Nanoseconds that threads ran, user and system, and that they waited for a core that others had."""

    ran: int
    waited: int

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(self.ran - before.ran, self.waited - before.waited)


def usage(pids: Iterable[int]) -> Usage:
    """What the threads of these processes have used so far, as the scheduler has it."""
    ran = waited = 0
    for thread in (thread for pid in pids for thread in _threads(pid)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{thread}/schedstat").read_text(encoding="ascii").split()
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return Usage(ran, waited)


def resident(pids: Iterable[int]) -> int:
    """Bytes of memory these processes hold."""
    total = 0
    for pid in pids:
        # What /proc/PID/status says is too coarse for a few bytes a connection.
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))
    return total


def _threads(pid: int) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - wanted are names, not paths
    except FileNotFoundError:
        return []
