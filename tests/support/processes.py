"""Processes as /proc shows them: who belongs to a run directory, who descends from whom, what they cost."""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "alive", "belonging_to", "cpu_seconds", "descendants", "kill", "peak_rss", "rss"]


@dataclass(frozen=True, order=True, slots=True)
class Process:
    """A process by pid and start time, which together are never used twice; `line` is its command line."""

    pid: int
    start_ticks: int
    line: str


def _all() -> dict[int, tuple[Process, int]]:
    """Every process that is not a zombie, with the pid of its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (read := _read(int(entry.name))):
            found[int(entry.name)] = read
    return found


def _read(pid: int) -> tuple[Process, int] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None  # it has ended meanwhile
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else (Process(pid, int(fields[19]), line), int(fields[1]))


def _mentions(pid: int, needle: bytes) -> bool:
    try:
        texts = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    except OSError:
        return False  # it has ended meanwhile, or is not ours
    return any(needle in text for text in texts)


def belonging_to(directory: Path) -> list[Process]:
    """Processes that name the directory in command line or environment, and all that descend from them."""
    everyone = _all()
    roots = {pid for pid in everyone if pid != os.getpid() and _mentions(pid, str(directory).encode())}
    return sorted(everyone[pid][0] for pid in _closure(roots, everyone))


def descendants(pid: int) -> list[Process]:
    """Children of the process, their children, and so on."""
    everyone = _all()
    return sorted(everyone[child][0] for child in _closure({pid}, everyone) - {pid} if child in everyone)


def _closure(roots: set[int], everyone: dict[int, tuple[Process, int]]) -> set[int]:
    family, before = set(roots), 0
    while len(family) > before:
        before = len(family)
        family |= {pid for pid, (_, parent) in everyone.items() if parent in family}
    return family


def alive(processes: Iterable[Process]) -> list[Process]:
    """Those that still run."""
    return [process for process in processes if (read := _read(process.pid)) and read[0] == process]


def kill(processes: Iterable[Process]) -> None:
    """Kill those that still run."""
    for process in alive(processes):
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        # The pidfd pins the process; that it is still the one we mean is asked after it was opened.
        if alive([process]):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used so far, user and system, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Resident memory of a process in bytes."""
    return _status_bytes(pid, "VmRSS")


def peak_rss(pid: int) -> int:
    """Most resident memory a process ever had, in bytes."""
    return _status_bytes(pid, "VmHWM")


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} has no {field}")
