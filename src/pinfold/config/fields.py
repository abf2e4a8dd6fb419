"""Types of the fields: what an operator writes on the left, what the rest of pinfold sees on the right."""

import shlex
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from pinfold.base.address import Address, parse_address
from pinfold.base.names import parse_host_name
from pinfold.base.units import parse_duration, parse_size

__all__ = [
    "DIRECTORY",
    "Addresses",
    "Command",
    "Duration",
    "HostNames",
    "Model",
    "OneAddress",
    "PathField",
    "Size",
    "Words",
]

DIRECTORY: Final = "directory"
"""Under this key whoever validates hands in where relative paths start."""


class Model(BaseModel):
    """A table of the config: frozen, and unknown keys are problems."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _addresses(value: object) -> object:
    listed = _listed(value)
    return tuple(_address(one) for one in listed) if isinstance(listed, list | tuple) else value


def _address(value: object) -> object:
    return value if not isinstance(value, str) else parse_address(value)


def _host_names(value: object) -> object:
    listed = _listed(value)
    return tuple(parse_host_name(one) for one in listed) if isinstance(listed, list | tuple) else value


def _path(value: object, validation: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if not value or "\0" in value:
        raise ValueError(f"expected a path, found {value!r}")
    start = (validation.context or {}).get(DIRECTORY)
    return Path(start, value) if start else Path(value)


def _command(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None


Duration = Annotated[float, BeforeValidator(lambda value: value if isinstance(value, float) else parse_duration(value))]
Size = Annotated[int, BeforeValidator(parse_size)]
Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_addresses)]
OneAddress = Annotated[Address, BeforeValidator(_address)]
Command = Annotated[tuple[str, ...], BeforeValidator(_command)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_host_names)]
PathField = Annotated[Path, BeforeValidator(_path)]
