"""The run directory of one pinfold: made, judged, locked while a daemon runs, removed when nothing runs."""

import contextlib
import fcntl
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from pinfold.base.errors import FailedError

__all__ = ["RunDirectory"]

_LOCK: Final = "daemon.lock"
_OURS: Final = ("pinfold.sock", "shim.sock", "proxy.sock", "shim.log", "stopped")
_MADE: Final = "made"


class RunDirectory:
    """The run directory, and the lock in it that one daemon holds. The lock file says its pid."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched before `claim`."""
        self.path = path.absolute()
        self._lock: int | None = None
        self._made = False

    @property
    def socket(self) -> Path:
        """The control socket of the daemon."""
        return self.path / "pinfold.sock"

    @property
    def sockets(self) -> Path:
        """Where instances have their sockets."""
        return self.path / "sockets"

    @property
    def stopped(self) -> Path:
        """The file that names the instances the operator has stopped."""
        return self.path / "stopped"

    def claim(self, pid: int) -> None:
        """Make the directory if need be, and lock it for this daemon.

        Raises:
            FailedError: it belongs to somebody else, others may write to it, or another daemon has it.
        """
        try:
            self._make()
            while self._lock is None:
                self._lock = self._try_lock()
        except OSError as error:
            hint = "name another with --run-dir or PINFOLD_RUN_DIR"
            raise FailedError(f"cannot use the run directory {self.path}: {error.strerror}", hint) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{pid}\n{_MADE if self._made else ''}\n".encode(), 0)

    def forget_stopped(self) -> None:
        """A new shim holds nothing that could have been stopped, and sockets of another are dead."""
        self.stopped.unlink(missing_ok=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def release(self) -> None:
        """Unlock it and leave all as it is: something of this pinfold runs on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove what pinfold put there, and the directory itself if pinfold made it."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        for name in (*_OURS, _LOCK):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        if self._made:
            with contextlib.suppress(OSError):
                self.path.rmdir()
        self.release()

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True)
            self._made = True
        except FileExistsError:
            pass
        found = self.path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise FailedError(f"{self.path} is no directory", "name another run directory with --run-dir")
        if found.st_uid != os.geteuid():
            what = f"the run directory {self.path} belongs to the user {found.st_uid}"
            raise FailedError(what, "name another with --run-dir or PINFOLD_RUN_DIR")
        if found.st_mode & 0o022:
            what = f"others may write to the run directory {self.path}"
            raise FailedError(what, f"chmod 700 {self.path}, or name another with --run-dir")

    def _try_lock(self) -> int | None:
        """The lock, or None when the file was removed meanwhile by a daemon that ended."""
        path = self.path / _LOCK
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino != path.stat().st_ino:
                raise FileNotFoundError
        except BlockingIOError:
            owner = os.pread(lock, 64, 0).split(b"\n")[0].decode(errors="replace") or "unknown"
            os.close(lock)
            what = f"a pinfold runs already in {self.path} (pid {owner})"
            raise FailedError(what, "stop it first, or name another run directory with --run-dir") from None
        except FileNotFoundError:
            os.close(lock)
            return None
        # A daemon that was killed may have made the directory; whoever ends last removes it.
        self._made = self._made or _MADE.encode() in os.pread(lock, 64, 0)
        return lock
