"""Whether an address can be listened on, and who is in the way. It binds and lets go at once; nobody is disturbed."""

import contextlib
import errno
import os
import socket
import stat
from typing import Final

import psutil

from pinfold.base.address import Address, TcpAddress, UnixAddress, overlap

__all__ = ["holder", "obstacle"]

_HINTS: Final = {
    errno.EACCES: "run pinfold as root, or choose a port from 1024 up",
    errno.EADDRINUSE: "stop it, or choose another address",
    errno.EADDRNOTAVAIL: "`ip address` lists the addresses of this machine",
    errno.EAFNOSUPPORT: "this machine does not speak IPv6",
}
_CONNECT_SECONDS: Final = 1.0


def obstacle(address: Address) -> tuple[str, str] | None:
    """What keeps us from listening on `address` and the mend, or None when it is free."""
    try:
        _bind(address)
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "choose another address")
        if error.errno == errno.EADDRINUSE:
            return f"{address} is taken{holder(address)}", hint
        return f"cannot listen on {address}: {error.strerror or error}", hint
    return None


def holder(address: Address) -> str:
    """` by NAME (pid N)` of whoever listens on `address`; ` by another user's process` when we may not know."""
    wanted = "unix" if isinstance(address, UnixAddress) else "tcp"
    try:
        connections = psutil.net_connections(kind=wanted)
    except (psutil.Error, OSError):
        return ""
    pids = {found.pid for found in connections if _listens(found.status, found.laddr, address)}
    names = [name for pid in sorted(pid for pid in pids if pid) if (name := _name(pid))]
    if names:
        return f" by {', '.join(names)}"
    return " by a process of another user" if pids else ""


def _listens(status: str, where: object, address: Address) -> bool:
    if isinstance(address, UnixAddress):
        return where == address.path
    if status != psutil.CONN_LISTEN or not isinstance(where, tuple) or len(where) < 2:
        return False
    return overlap(address, TcpAddress(str(where[0]), int(where[1])))


def _name(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return ""


def _bind(address: Address) -> None:
    if isinstance(address, UnixAddress):
        _try_path(address.path)
        return
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # Connections of the past may linger, but nobody may listen: no SO_REUSEPORT.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        trial.bind((address.host, address.port))


def _try_path(path: str) -> None:
    """Raise what bind(2) would say, but for a socket that nobody listens on any more."""
    directory = os.path.dirname(path)  # noqa: PTH120 - paths of sockets are strings
    os.stat(directory)  # noqa: PTH116 - paths of sockets are strings
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EPERM, f"no right to create it in {directory}")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial, contextlib.suppress(ConnectionRefusedError):
            trial.settimeout(_CONNECT_SECONDS)
            trial.connect(path)
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
