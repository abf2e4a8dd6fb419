"""The shim as a process: started or found running, pinned by a pidfd so that no other is ever taken for it."""

import asyncio
import contextlib
import os
import signal
import sysconfig
from pathlib import Path
from typing import Final

from pinfold.base.errors import FailedError
from pinfold.base.messages import VersionMismatchError
from pinfold.base.seam import SeamLostError
from pinfold.daemon.run_directory import RunDirectory
from pinfold.supervise.shim import Shim, start_shim

__all__ = ["ShimProcess", "executable"]

_STOP_DEADLINE: Final = 10.0
_KILL_DEADLINE: Final = 5.0


def executable(name: str) -> Path:
    """A program that is installed beside this Python.

    Raises:
        FailedError: it is not there.
    """
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise FailedError(f"{path} is missing", "install pinfold again")
    return path


class ShimProcess:
    """A shim that runs, and the connection to it."""

    def __init__(self, shim: Shim, *, fresh: bool) -> None:
        self.shim = shim
        self.fresh = fresh
        """Whether it was started just now and holds nothing yet."""
        self.pid = shim.hello.pid
        self._pidfd = os.pidfd_open(self.pid)

    @classmethod
    async def find(cls, directory: RunDirectory) -> "ShimProcess | None":
        """The shim that runs in this directory, if one does.

        Raises:
            FailedError: it does not greet, or is of another build.
        """
        try:
            return cls(await Shim.connect(directory.path), fresh=False)
        except SeamLostError as error:
            if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
                return None
            raise _refusal(directory, error) from None
        except VersionMismatchError as error:
            raise FailedError(str(error)) from None

    @classmethod
    async def begin(cls, directory: RunDirectory) -> "ShimProcess":
        """A new shim; whoever calls has found that none runs.

        Raises:
            FailedError: it cannot be started.
        """
        directory.forget_stopped()
        try:
            start_shim(executable("pinfold-shim"), directory.path)
            return cls(await Shim.connect(directory.path), fresh=True)
        except (SeamLostError, VersionMismatchError, OSError) as error:
            raise _refusal(directory, error) from None

    async def stop(self) -> None:
        """Have it kill and close everything and end; it is killed when it does not."""
        self.shim.stop()
        if not await self._wait_gone(_STOP_DEADLINE):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self._wait_gone(_KILL_DEADLINE)
        self.close()

    def close(self) -> None:
        """Let go of it; if it has ended, its remains are taken away."""
        self.shim.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    async def _wait_gone(self, seconds: float) -> bool:
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            async with asyncio.timeout(seconds):
                return await gone.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._pidfd)


def _refusal(directory: RunDirectory, error: Exception) -> FailedError:
    hint = f"see {directory.path / 'shim.log'}; a shim that does not answer may be killed"
    return FailedError(f"the shim cannot be had: {error}", hint)
