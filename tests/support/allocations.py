"""How often a process takes memory from the heap: counted by a library that is compiled here and preloaded there."""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["Allocations"]

SOURCE: Final = Path(__file__).with_suffix(".c")
RING: Final = 64
"""Sizes that are remembered, as in the source."""


class Allocations:
    """The count of one process, which is started with this `environment`."""

    def __init__(self, directory: Path) -> None:
        self._tally = directory / "allocations"
        self._tally.write_bytes(bytes(8 * (1 + RING)))
        library = directory / "allocations.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)], check=True, timeout=60)
        self.environment = {"LD_PRELOAD": str(library), "ALLOCATIONS": str(self._tally)}

    @staticmethod
    def countable() -> bool:
        """Whether there is a compiler for it."""
        return shutil.which("cc") is not None

    @property
    def count(self) -> int:
        """How often so far."""
        return self._read()[0]

    def last_sizes(self, count: int) -> list[int]:
        """The sizes of the last ones, oldest first; no more than are remembered."""
        total, *ring = self._read()
        return [ring[at % RING] for at in range(max(0, total - min(count, RING)), total)]

    def _read(self) -> tuple[int, ...]:
        return struct.unpack(f"={1 + RING}Q", self._tally.read_bytes())
