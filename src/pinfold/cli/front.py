"""Which addresses the front door gets when no config names them; a default port that is taken gives way, aloud."""

from collections.abc import Collection
from typing import Final

from pinfold.base.address import TcpAddress, parse_address
from pinfold.base.errors import FailedError, UsageError
from pinfold.base.ports import holder, obstacle
from pinfold.cli.flags import Front

__all__ = ["choose_front"]

_HOST: Final = "127.0.0.1"
_HTTP: Final = 8080
_HTTPS: Final = 8443
_TRIES: Final = 100


def choose_front(http: str | None, https: str | None, held: Collection[str]) -> tuple[Front, list[str]]:
    """The addresses as named or the default ones, and what is to be said about them.

    Args:
        http: as named; None for the default.
        https: the same.
        held: addresses this pinfold listens on already; they are free for it.

    Raises:
        UsageError: what was named is no address.
        FailedError: no port is free.
    """
    said: list[str] = []
    chosen = []
    for kind, named, port in (("HTTP", http, _HTTP), ("HTTPS", https, _HTTPS)):
        if named is not None:
            chosen.append(_parsed(named))
            continue
        free = next((n for n in range(port, port + _TRIES) if _usable(TcpAddress(_HOST, n), held)), None)
        if free is None:
            raise FailedError(f"no port from {port} on is free", f"name an address with --{kind.lower()}")
        chosen.append(f"{_HOST}:{free}")
        if free != port:
            said.append(f"port {port} is taken{holder(TcpAddress(_HOST, port))}; {kind} is on {free}")
    return Front(*chosen), said


def _usable(address: TcpAddress, held: Collection[str]) -> bool:
    return str(address) in held or obstacle(address) is None


def _parsed(text: str) -> str:
    """An address; a number alone is a port of this machine."""
    try:
        return str(parse_address(f"{_HOST}:{text}" if text.isdecimal() else text))
    except ValueError as error:
        raise UsageError(str(error)) from None
