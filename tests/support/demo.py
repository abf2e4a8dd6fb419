"""The bundled program on its own: an endpoint that pinfold did not start."""

import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from support.client import Target
from support.ports import free_port
from support.subprocesses import Subprocess

__all__ = ["DemoProgram"]


class DemoProgram:
    """A demo program that listens; for `with`."""

    def __init__(self, name: str = "demo", path: Path | None = None, **environment: str) -> None:
        port = None if path else free_port()
        where = ["--socket", str(path)] if path else ["--port", str(port)]
        self.target = Target(port=port, path=path)
        self.process = Subprocess(
            [sys.executable, "-m", "pinfold.demo.program", *where],
            {**os.environ, "PINFOLD_INSTANCE": name, **environment},
        )
        self.process.wait_line("listening on", 10.0)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.signal(signal.SIGTERM)
        return self.process.wait(5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.running:
            self.process.kill()
