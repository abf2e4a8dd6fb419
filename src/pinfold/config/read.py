"""Reads a config: every problem at once, each at its place; after that nothing is left to ask."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pinfold.base.errors import ConfigError, Place, Problem
from pinfold.base.names import close_to
from pinfold.config.fields import DIRECTORY
from pinfold.config.model import Config, Listener, Pool, Program, Route
from pinfold.config.positions import Path, Positions
from pinfold.config.rules import faults

__all__ = ["LoadedConfig", "Survey", "load", "parse", "read_text", "survey"]

_SYNTAX: Final = re.compile(r"(.*) \(at line (\d+), column (\d+)\)")
_TABLES: Final[dict[str, type[BaseModel]]] = {
    "listeners": Listener,
    "programs": Program,
    "pools": Pool,
    "routes": Route,
}
_TYPES: Final = {
    "bool": "true or false",
    "dict": "a table",
    "float": "a number",
    "int": "a whole number",
    "is": "text",
    "list": "a list",
    "model": "a table",
    "path": "a path",
    "string": "text",
    "tuple": "text or a list",
}
"""By the first word of what pydantic calls its error."""


_STRUCTURE: Final = {"bind", "command", "endpoints", "groups", "instances", "listeners", "pool", "ports", "tls"}
"""Keys that others refer to: without them what is right elsewhere would look wrong."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A config without problems, and where its parts stand."""

    config: Config
    positions: Positions


@dataclass(frozen=True, slots=True)
class Survey:
    """What a text holds: the config, as far as it can be made out at all, and every problem."""

    loaded: LoadedConfig | None
    problems: tuple[Problem, ...]


def load(path: FilePath) -> LoadedConfig:
    """Read the config at `path`.

    Raises:
        ConfigError: with every problem; also when the file cannot be read.
    """
    return parse(read_text(path), str(path), path.resolve().parent)


def read_text(path: FilePath) -> str:
    """The text of a config; ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError([Problem(None, f"cannot read {path}: {reason}", "name another with -c FILE")]) from None


def parse(text: str, file: str, directory: FilePath) -> LoadedConfig:
    """Read a config from text; relative paths in it start at `directory`.

    Raises:
        ConfigError: with every problem, in the order of the file.
    """
    found = survey(text, file, directory)
    if found.problems or found.loaded is None:
        raise ConfigError(found.problems)
    return found.loaded


def survey(text: str, file: str, directory: FilePath) -> Survey:
    """Look for every problem of a config: where single keys are at fault, the rest is judged without them."""
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Survey(None, (_syntax(file, str(error)),))
    positions = Positions(file, text)
    for program in _tables(written.get("programs")):
        program.setdefault("working_directory", str(directory))
    problems: list[Problem] = []
    config = _validated(written, directory)
    if not isinstance(config, Config):
        problems = [_problem(positions, one) for one in config]
        pruned = all(_prune(written, one) for one in config)
        config = _validated(written, directory) if pruned else config
    if not isinstance(config, Config):
        return Survey(None, tuple(_ordered(problems)))
    problems += [Problem(positions.at(one.path), one.what, one.hint) for one in faults(config)]
    return Survey(LoadedConfig(config, positions), tuple(_ordered(problems)))


def _validated(written: dict[str, Any], directory: FilePath) -> Config | list[ErrorDetails]:
    try:
        return Config.model_validate(written, context={DIRECTORY: directory})
    except ValidationError as error:
        faults = error.errors()
        # A list of which every element is at fault is not empty; pydantic counts those that are left.
        within = {one["loc"][:-1] for one in faults}
        return [one for one in faults if one["type"] != "too_short" or one["loc"] not in within]


def _prune(written: dict[str, Any], error: ErrorDetails) -> bool:
    """Take the key at fault out, if the others can be judged without it."""
    *above, last = error["loc"]
    inner = above[2:] if error["type"] == "extra_forbidden" else [*above[2:], last]
    if not _STRUCTURE.isdisjoint(inner):
        return False
    inside: Any = written
    for key in above:
        inside = inside.get(key) if isinstance(inside, dict) else inside[int(key)] if isinstance(inside, list) else None
    return isinstance(inside, dict) and inside.pop(last, None) is not None


def _tables(value: object) -> list[dict[str, Any]]:
    return [table for table in value.values() if isinstance(table, dict)] if isinstance(value, dict) else []


def _ordered(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0))


def _syntax(file: str, error: str) -> Problem:
    found = _SYNTAX.fullmatch(error)
    if found is None:
        return Problem(Place(file, 1, 1), f"not valid TOML: {error}")
    return Problem(Place(file, int(found[2]), int(found[3])), f"not valid TOML: {found[1]}")


def _problem(positions: Positions, error: ErrorDetails) -> Problem:
    path: Path = tuple(error["loc"])
    name = next((key for key in reversed(path) if isinstance(key, str) and key != "[key]"), "")
    match error["type"]:
        case "extra_forbidden":
            return Problem(positions.at(path), f'unknown key "{name}"', close_to(name, _keys_beside(path)))
        case "missing":
            return Problem(positions.at(path[:-1]), f'"{name}" is missing')
        case "too_short":
            return Problem(positions.at(path), f"{name} is empty")
        case "value_error":
            return Problem(positions.at(path), f"{name}: {error['msg'].removeprefix('Value error, ')}")
        case _:
            return Problem(positions.at(path), f"{name}: expected {_wanted(error)}, found {_shown(error['input'])}")


def _wanted(error: ErrorDetails) -> str:
    bounds = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return str(bounds["expected"]).replace("'", '"')
        case "greater_than_equal":
            return f"at least {bounds['ge']}"
        case "less_than_equal":
            return f"at most {bounds['le']}"
        case kind:
            return _TYPES.get(kind.partition("_")[0], "something else")


def _shown(value: object) -> str:
    """A value as TOML has it, cut when it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_beside(path: Path) -> list[str]:
    """The keys known where the last key of `path` was written."""
    table = _TABLES.get(str(path[0])) if len(path) > 1 else None
    model: type[BaseModel] | None = table or Config
    for key in path[2:-1] if table else path[:-1]:
        model = _model_of(model, str(key)) if model else None
    return list(model.model_fields) if model else []


def _model_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    options = (field.annotation, *get_args(field.annotation)) if field else ()
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)
