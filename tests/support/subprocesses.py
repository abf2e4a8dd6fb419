"""A subprocess whose output is read line by line as it comes, so that a test waits for a line and not for a while."""

import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Final

__all__ = ["Subprocess"]

LINES: Final = 10_000
"""Lines of output that are kept; older ones are forgotten."""


class Subprocess:
    """A command that runs; its standard output and error are one stream of lines."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self._lines: deque[str] = deque(maxlen=LINES)
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            self.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has said so far."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_line(self, pattern: str, deadline: float) -> str:
        """The first line, said already or yet to come, in which the pattern is found.

        Raises:
            AssertionError: none came within `deadline` seconds, or the process ended without one.
        """
        until = time.monotonic() + deadline
        with self._changed:
            while True:
                line = next((line for line in self._lines if re.search(pattern, line)), None)
                if line is not None:
                    return line
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended without" if self._ended else f"did not within {deadline:g} s say"
                    raise AssertionError(f"{self.command} {why} {pattern!r}:\n" + "\n".join(self._lines))
                # What it has started may hold the pipe open, so its own end is looked for as well; what it said
                # just before may still be on its way and is given one more turn.
                self._changed.wait(min(left, 0.05))
                if not self.running and not self._changed.wait(0.05):
                    self._ended = True

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    def wait(self, deadline: float) -> int:
        """Its exit code, negative for a signal, once it has ended and its output is read.

        Raises:
            AssertionError: it did not end within `deadline` seconds.
        """
        try:
            code = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} did not end within {deadline:g} s:\n{self.output}") from None
        # What it leaves behind may hold the pipe open, so the reader is not waited for without end.
        self._reader.join(1.0)
        return code

    def kill(self) -> int:
        """End it at once; its exit code."""
        self._process.kill()
        return self.wait(10.0)

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        stream.close()
