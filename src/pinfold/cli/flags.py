"""A config from the words of `pinfold run -- CMD`: one program, with HTTP and HTTPS before it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from pydantic import ValidationError

from pinfold.base.errors import UsageError
from pinfold.config.fields import DIRECTORY
from pinfold.config.model import Config
from pinfold.config.positions import Positions
from pinfold.config.read import LoadedConfig
from pinfold.config.rules import faults

__all__ = ["SELF_SIGNED", "Front", "Surroundings", "Wanted", "build", "program_name"]

SELF_SIGNED: Final = ("localhost", "127.0.0.1")
_RUNNERS: Final = re.compile(r"python[0-9.]*|ruby|node|perl|java|env|sh|bash")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run, and how often."""

    command: Sequence[str]
    instances: int
    name: str = ""
    """By default one from the command."""


@dataclass(frozen=True, slots=True)
class Front:
    """Addresses of the front door."""

    http: str
    https: str


def program_name(command: Sequence[str]) -> str:
    """A name from the command: `gunicorn` of `/srv/bin/gunicorn app`, `app` of `python3 app.py`."""
    words = [command[0], *(word for word in command[1:] if not word.startswith("-"))]
    named = PurePath(words[0]).name
    inline = {"-c", "-e"} & set(command[1:])
    if _RUNNERS.fullmatch(named) and len(words) > 1 and not inline:
        module = "-m" in command[1:-1]
        named = words[1].rpartition(".")[2] if module else PurePath(words[1]).stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", named).strip("-_")[:32] or "program"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the command finds around it, and where pinfold keeps its things."""

    working_directory: str
    environment: Mapping[str, str] = field(default_factory=dict)
    daemon: Mapping[str, str] = field(default_factory=dict)
    """Keys of the table `daemon`."""


def build(wanted: Wanted, front: Front, surroundings: Surroundings) -> LoadedConfig:
    """The config that runs what is wanted.

    Raises:
        UsageError: it has problems; they are told without a place, as there is no file.
    """
    program: dict[str, Any] = {
        "command": list(wanted.command),
        "instances": wanted.instances,
        "environment": {name: _escaped(value) for name, value in surroundings.environment.items()},
        "working_directory": surroundings.working_directory,
    }
    written = {
        "listeners": {
            "http": {"bind": front.http},
            "https": {"bind": front.https, "tls": {"self_signed": list(SELF_SIGNED)}},
        },
        "programs": {wanted.name or program_name(wanted.command): program},
        "daemon": dict(surroundings.daemon),
    }
    try:
        config = Config.model_validate(written, context={DIRECTORY: surroundings.working_directory})
    except ValidationError as error:
        raise UsageError("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from None
    if found := list(faults(config)):
        raise UsageError("; ".join(fault.what for fault in found), found[0].hint)
    return LoadedConfig(config, Positions("", ""))


def _escaped(value: str) -> str:
    return value.replace("{", "{{").replace("}", "}}")
