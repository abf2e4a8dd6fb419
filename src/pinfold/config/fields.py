"""Types of the fields: what an operator writes on the left, what the rest of pinfold sees on the right."""

import ipaddress
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, ValidationInfo

from pinfold.base.address import Address, parse_address
from pinfold.base.names import parse_host_name
from pinfold.base.units import parse_duration, parse_size

__all__ = [
    "DIRECTORY",
    "Addresses",
    "Command",
    "Duration",
    "HostNames",
    "Hosts",
    "Kind",
    "Methods",
    "Model",
    "Networks",
    "OneAddress",
    "PathField",
    "PathPrefixes",
    "Size",
    "Token",
    "Whole",
    "Words",
]

DIRECTORY: Final = "directory"
"""Under this key whoever validates hands in where relative paths start."""
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field is, for the reference page."""

    word: str


class Model(BaseModel):
    """A table of the config: frozen, and unknown keys are problems."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _address(value: object) -> object:
    return value if isinstance(value, Address) else parse_address(value)


def _host(value: object) -> str:
    """As `parse_host_name`, but an IPv6 address stands in brackets, as clients send it."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        return f"[{parse_host_name(value[1:-1])}]"
    return parse_host_name(value)


def _path(value: object, validation: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if not value or "\0" in value:
        raise ValueError(f"expected a path, found {value!r}")
    start = (validation.context or {}).get(DIRECTORY)
    return Path(start, value) if start else Path(value)


def _prefix(value: object) -> object:
    if isinstance(value, str) and (not value.startswith("/") or not value.isascii() or re.search(r"[\s?#]", value)):
        raise ValueError(f'expected a path such as "/api", found "{value}"')
    return value


def _method(value: object) -> object:
    if isinstance(value, str) and not _METHOD.fullmatch(value):
        hint = f', write "{value.upper()}"' if _METHOD.fullmatch(value.upper()) else ""
        raise ValueError(f'"{value}" is no method{hint}')
    return value


def _token(value: object) -> object:
    if isinstance(value, str) and not _TOKEN.fullmatch(value):
        raise ValueError(f'"{value}" is no name of a header field or cookie')
    return value


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f'expected a network such as "10.0.0.0/8": {error}') from None


def _command(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None


def _duration(value: object) -> object:
    return value if isinstance(value, float) else parse_duration(value)


_LISTED: Final = BeforeValidator(_listed)

Whole = Annotated[int, Strict(), Kind("whole number")]
Duration = Annotated[float, BeforeValidator(_duration), Kind("duration")]
Size = Annotated[int, BeforeValidator(parse_size), Kind("size")]
Words = Annotated[tuple[str, ...], _LISTED, Kind("text or list")]
OneAddress = Annotated[Address, BeforeValidator(_address), Kind("address")]
Addresses = Annotated[tuple[OneAddress, ...], _LISTED, Kind("address or list")]
Methods = Annotated[tuple[Annotated[str, BeforeValidator(_method)], ...], _LISTED, Kind("method or list")]
PathPrefixes = Annotated[tuple[Annotated[str, BeforeValidator(_prefix)], ...], _LISTED, Kind("path or list")]
Hosts = Annotated[tuple[Annotated[str, BeforeValidator(_host)], ...], _LISTED, Kind("name or list")]
HostNames = Annotated[tuple[Annotated[str, BeforeValidator(parse_host_name)], ...], _LISTED, Kind("name or list")]
Networks = Annotated[tuple[Annotated[str, BeforeValidator(_network)], ...], _LISTED, Kind("network or list")]
Token = Annotated[str, BeforeValidator(_token), Kind("name")]
Command = Annotated[tuple[str, ...], BeforeValidator(_command), Kind("text or list")]
PathField = Annotated[Path, BeforeValidator(_path), Kind("path")]
