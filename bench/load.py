"""The link to `pinfold-load`, which plays clients and endpoints; its source is in load/."""

import os
import re
import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["EXECUTABLE", "Load", "Outcome"]

EXECUTABLE: Final = Path(__file__).parents[1] / "target" / "bench" / "release" / "pinfold-load"
GRACE: Final = 30.0
"""Seconds an order may take beyond those it names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order: counts, and times in microseconds."""

    requests: int
    failed: int
    elapsed_us: int
    p50_us: int
    p99_us: int
    max_us: int


class Load:
    """One process of it, answering at `addresses`; it ends with the `with` block, or when we do."""

    def __init__(self, addresses: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [EXECUTABLE, *addresses], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._rest = b""
        said = self._line(GRACE)
        if said != "ready":
            self.close()
            raise RuntimeError(f"{EXECUTABLE} said {said!r}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(self, address: str, order: str, seconds: float) -> Outcome:
        """Send requests to an address; `order` is of keys and values that load/src/order.rs explains."""
        self.begin(address, order, seconds)
        return self.finish(seconds)

    def begin(self, address: str, order: str, seconds: float) -> None:
        """As `run`, without waiting for the end."""
        self._say(f"run address={address} seconds={seconds} {order}")

    def finish(self, seconds: float) -> Outcome:
        """What came of the order begun last."""
        line = self._line(seconds + GRACE)
        found = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
        return Outcome(**found)

    def drop(self) -> None:
        """Close the connections that the last order left open."""
        self._say("drop")
        self._line(GRACE)

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def _line(self, deadline: float) -> str:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([pipe], [], [], deadline)[0]:
                raise TimeoutError(f"pinfold-load has said nothing for {deadline} s")
            piece = os.read(pipe, 4096)
            if not piece:
                raise RuntimeError("pinfold-load has ended")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()
