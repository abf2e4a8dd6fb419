"""Addresses as they are written in configs and on the wire. Pure."""

import ipaddress
from dataclasses import dataclass
from typing import Final

__all__ = ["UNIX_PATH_MAX", "Address", "TcpAddress", "UnixAddress", "overlap", "parse_address"]

UNIX_PATH_MAX: Final = 107
"""Bytes of a unix socket's path (unix(7): 108 with the terminator)."""


@dataclass(frozen=True, slots=True, order=True)
class TcpAddress:
    """A numeric host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class UnixAddress:
    """An absolute path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def overlap(one: Address, other: Address) -> bool:
    """Whether a socket at one of the two stands in the way of one at the other."""
    if isinstance(one, TcpAddress) and isinstance(other, TcpAddress):
        hosts = {one.host, other.host}
        same_family = (":" in one.host) == (":" in other.host)
        return one.port == other.port and same_family and (len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"}))
    return one == other


def parse_address(text: object) -> Address:
    """The address in `host:port`, `[v6]:port`, `:port` or `unix:/path`; ValueError says what is wrong with it."""
    if not isinstance(text, str):
        raise ValueError(f'expected an address such as "0.0.0.0:8080", found {text!r}')
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'expected an address such as "0.0.0.0:8080" or "unix:/path", found "{text}"')
    named = {"": "0.0.0.0", "*": "0.0.0.0", "localhost": "127.0.0.1"}
    bare = named.get(host, host.removeprefix("[").removesuffix("]") if host.startswith("[") else host)
    try:
        number = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f'"{host}" is not a numeric address; host names are not looked up') from None
    if number.version == 6 and not host.startswith("["):
        raise ValueError(f'write an IPv6 address in brackets: "[{bare}]:{port}"')
    return TcpAddress(str(number), int(port))


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/"):
        raise ValueError(f'the path of a unix socket must be absolute, found "{path}"')
    if len(path.encode()) > UNIX_PATH_MAX:
        raise ValueError(f"the path of a unix socket has at most {UNIX_PATH_MAX} bytes: {path}")
    return UnixAddress(path)
