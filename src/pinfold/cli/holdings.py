"""Which addresses the pinfold of a run directory holds already, as the kernel tells it.

Asked for before a daemon is there to ask: the shim of one that was killed holds them too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from pinfold.base.address import TcpAddress, UnixAddress

__all__ = ["held_addresses"]

_SHIM: Final = "pinfold-shim"


def held_addresses(run_directory: Path) -> set[str]:
    """Addresses on which the shim of this run directory listens, or a process below it."""
    shim = _shim(run_directory)
    if shim is None:
        return set()
    try:
        return {address for one in (shim, *shim.children(recursive=True)) for address in _listening(one)}
    except psutil.Error:
        return set()


def _shim(run_directory: Path) -> psutil.Process | None:
    for one in psutil.process_iter(["name", "cmdline"]):
        if one.info["name"] == _SHIM and str(run_directory) in (one.info["cmdline"] or ()):
            return one
    return None


def _listening(one: psutil.Process) -> Iterator[str]:
    try:
        found = one.net_connections(kind="all")
    except psutil.Error:
        return
    for connection in found:
        where: object = connection.laddr
        if isinstance(where, str) and where.startswith("/"):
            yield str(UnixAddress(where))
        elif connection.status == psutil.CONN_LISTEN:
            yield str(TcpAddress(connection.laddr.ip, connection.laddr.port))
