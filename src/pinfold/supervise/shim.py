"""All that Python knows of talking to the shim: start it, ask it, hear of exits.

`Shim` is one connection. It decides nothing; exits and dropped log lines are handed to whoever registered for them.
"""

import asyncio
import os
import signal as signals
import socket
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Final, NoReturn

from pinfold import __version__
from pinfold.base.messages import PROTOCOL, ProblemReport, demand_same_version
from pinfold.base.seam import Seam, SeamLostError
from pinfold.supervise.wire import (
    Done,
    Dropped,
    Exited,
    Failed,
    Forget,
    FromShim,
    Hello,
    Listen,
    ListenAddress,
    Process,
    ShimHello,
    Signal,
    Spawn,
    Spawned,
    Stop,
    decode_from_shim,
)

__all__ = ["Shim", "ShimError", "start_shim"]

_HELLO_DEADLINE: Final = 5.0
_ANSWER_DEADLINE: Final = 10.0
_CONTROL_FD: Final = 3


class ShimError(Exception):
    """The shim could not do what it was asked; `problems` say why."""

    def __init__(self, problems: Sequence[ProblemReport]) -> None:
        super().__init__("; ".join(f"{problem.place}: {problem.what}" for problem in problems))
        self.problems = tuple(problems)


def start_shim(executable: Path, run_directory: Path) -> int:
    """Start a shim that outlives this process, listening on `shim.sock` of the run directory; returns its pid.

    The listening socket is bound here and handed over, so that a connection can be made at once.
    """
    path = run_directory / "shim.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        os.chmod(path, 0o600)
        listening.listen(16)
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # posix_spawn, because only it can put a descriptor at a given number whatever this process has open there.
        return os.posix_spawn(
            executable,
            [str(executable), "--run-dir", str(run_directory)],
            {"PATH": os.environ.get("PATH", os.defpath)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(run_directory / "shim.log"), log_flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, listening.fileno(), _CONTROL_FD),
            ],
            setsid=True,
        )


class Shim:
    """A connection to the shim, after `hello`."""

    def __init__(self, seam: Seam[FromShim], hello: ShimHello) -> None:
        self._seam = seam
        self._serials = count(1)
        self.hello = hello
        self.on_exited: Callable[[Exited], None] = lambda _: None
        self.on_dropped: Callable[[Dropped], None] = lambda _: None

    @classmethod
    async def connect(cls, run_directory: Path) -> "Shim":
        """Connect and greet.

        Raises:
            SeamLostError: no shim listens there.
            VersionMismatchError: it is of another build.
        """
        seam = await Seam.connect(str(run_directory / "shim.sock"), decode_from_shim, deadline=_HELLO_DEADLINE)
        seam.send(Hello(protocol=PROTOCOL, version=__version__))
        try:
            async with asyncio.timeout(_HELLO_DEADLINE):
                answer = await seam.receive()
        except TimeoutError:
            raise SeamLostError("the shim did not greet in time") from None
        if not isinstance(answer, ShimHello):
            raise SeamLostError(f"the shim began with {answer.type!r} instead of hello")
        demand_same_version("the running shim", answer.protocol, answer.version)
        return cls(seam, answer)

    async def run(self) -> NoReturn:
        """Hear what the shim says until the connection ends.

        Raises:
            SeamLostError: always, in the end.
        """
        try:
            while True:
                match await self._seam.receive():
                    case Exited() as exited:
                        self.on_exited(exited)
                    case Dropped() as dropped:
                        self.on_dropped(dropped)
                    case Done() | Failed() | Spawned() as answer:
                        self._seam.answer(answer.serial, answer)
                    case ShimHello():
                        raise SeamLostError("the shim greeted twice")
        except SeamLostError as error:
            self._seam.close(f"the shim is gone: {error}")
            raise

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._seam.lost

    async def listen(self, addresses: Sequence[ListenAddress]) -> None:
        """Have exactly these addresses listened on; ShimError when one cannot be, and then nothing changed."""
        serial = next(self._serials)
        await self._ask(Listen(serial=serial, addresses=tuple(addresses)), serial)

    async def spawn(self, process: Process) -> Spawned:
        """Start a process; ShimError tells the step that failed."""
        serial = next(self._serials)
        answer = await self._ask(Spawn(serial=serial, process=process), serial)
        if not isinstance(answer, Spawned):
            raise SeamLostError("the shim answered a spawn with something else")
        return answer

    async def signal(self, key: str, number: signals.Signals) -> None:
        """Signal the process itself."""
        serial = next(self._serials)
        await self._ask(Signal(serial=serial, key=key, signal=number, scope="process"), serial)

    async def kill_tree(self, key: str) -> None:
        """Kill the process and all its descendants, also after its exit."""
        serial = next(self._serials)
        await self._ask(Signal(serial=serial, key=key, signal=signals.SIGKILL, scope="tree"), serial)

    async def forget(self, keys: Sequence[str]) -> None:
        """Let the shim drop its record of processes that have exited."""
        serial = next(self._serials)
        await self._ask(Forget(serial=serial, keys=tuple(keys)), serial)

    def stop(self) -> None:
        """Have everything killed and closed, and the shim exit."""
        self._seam.send(Stop())

    def close(self) -> None:
        """Let go of the shim, which runs on."""
        self._seam.close()

    async def _ask(self, message: Listen | Spawn | Signal | Forget, serial: int) -> FromShim:
        answer = await self._seam.ask(message, serial, deadline=_ANSWER_DEADLINE)
        if isinstance(answer, Failed):
            raise ShimError(answer.problems)
        return answer
