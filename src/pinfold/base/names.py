"""Names: those that certificates are made for, and those that are near to what was written. Pure."""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from typing import Final

__all__ = ["close_to", "ip_address", "parse_host_name"]

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `name` is, or None when it is a host name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def parse_host_name(text: object) -> str:
    """A host name, `*.` before it allowed, or an IP address, in lower case; ValueError says what is wrong with it."""
    if not isinstance(text, str):
        raise ValueError(f'expected a name such as "cloud.example.org" or an IP address, found {text!r}')
    name = text.lower().removesuffix(".")
    if address := ip_address(name):
        return str(address)
    if not name.isascii():
        raise ValueError(f'"{text}" is not ASCII; write it as clients send it, such as "xn--bcher-kva.example"')
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError(f'"{text}" is neither a host name nor an IP address; no port, no scheme')
    return name


def close_to(name: str, known: Iterable[str]) -> str:
    """A did-you-mean, or the names there are."""
    names = sorted(filter(None, known))
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"there is: {', '.join(names)}" if names else ""
