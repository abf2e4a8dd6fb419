"""Log files: their last lines, what is added to them, across rotations. It reads, and decides nothing."""

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from pinfold.cli.log_lines import Line, parse_line

__all__ = ["Follower", "watch"]

_TAIL_BYTES: Final = 8 * 1024 * 1024
"""Of one file no more is looked at for its last lines."""
_STEP_BYTES: Final = 65536
_PIECE_BYTES: Final = 1024 * 1024
_WATCHED: Final = 0x2 | 0x80 | 0x100
"""IN_MODIFY, IN_MOVED_TO, IN_CREATE of `linux/inotify.h`."""


class Follower:
    """One log: its last lines, then what is added, across rotations. Only whole lines are given."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._time = ""
        self._open()

    def last(self, count: int) -> list[Line]:
        """The last `count` lines; those before the last rotation are taken when the new file has fewer."""
        content = b"" if self._file is None else _tail(self._file, count)
        *whole, self._rest = content.split(b"\n")
        if len(whole) < count:
            whole = _lines_before(self._path, count - len(whole)) + whole
        return [self._parsed(text) for text in whole[max(0, len(whole) - count) :]]

    def added(self) -> Iterator[Line]:
        """The lines that have been added since the last call."""
        yield from self._read()
        if self._moved():
            yield from self._read()  # what was added just before it was moved
            self._open()
            yield from self._read()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self.close()
        self._rest = b""
        with contextlib.suppress(FileNotFoundError):
            self._file = self._path.open("rb")

    def _moved(self) -> bool:
        """Whether another file bears the name now, or the same one was emptied."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        ours = os.fstat(self._file.fileno())
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino) or ours.st_size < self._file.tell()

    def _read(self) -> Iterator[Line]:
        while self._file is not None and (piece := self._file.read(_PIECE_BYTES)):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            yield from map(self._parsed, whole)

    def _parsed(self, text: bytes) -> Line:
        line = parse_line(self.name, text.decode(errors="replace"), self._time)
        self._time = line.time
        return line


def _tail(file: BinaryIO, count: int) -> bytes:
    """The end of a file with at least `count` whole lines, if it has so many; read backwards, left at its end."""
    end = start = file.seek(0, os.SEEK_END)
    content = b""
    while start > 0 and content.count(b"\n") <= count and end - start < _TAIL_BYTES:
        size = min(_STEP_BYTES, start)
        start = file.seek(start - size)
        content = file.read(size) + content
    file.seek(end)
    return content if start == 0 else content.partition(b"\n")[2]


def _lines_before(path: Path, count: int) -> list[bytes]:
    """The last lines before the last rotation."""
    try:
        with path.with_name(f"{path.name}.1").open("rb") as file:
            return _tail(file, count).split(b"\n")[:-1]
    except FileNotFoundError:
        return []


class Notices:
    """Tells when something in a directory changes: inotify(7), which the standard library does not have."""

    def __init__(self, directory: Path) -> None:
        """Watch from now on; OSError when it cannot be watched."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.inotify_init1(os.O_CLOEXEC)
        if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _WATCHED) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))

    def wait(self) -> None:
        """Return once something has changed since the last call."""
        os.read(self._descriptor, _STEP_BYTES)

    def close(self) -> None:
        """Watch no more."""
        os.close(self._descriptor)


def watch(directory: Path, followers: Sequence[Follower]) -> Iterator[list[Line]]:
    """What is added to the logs, each time something is, until Ctrl-C."""
    with contextlib.closing(Notices(directory)) as notices:
        while True:
            added = [line for follower in followers for line in follower.added()]
            yield sorted(added, key=lambda line: line.time)
            notices.wait()
