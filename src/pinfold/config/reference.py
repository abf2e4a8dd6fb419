"""The reference page of the config, made from the fields of the model: type, default and meaning. Pure."""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pinfold.base.units import format_duration
from pinfold.config.fields import Kind
from pinfold.config.model import Config, PoolEndpoint

__all__ = ["reference"]

_HEAD = """# The config

Made from `src/pinfold/config` by `tools/config_reference.py`; do not edit it here. The file is TOML, `pinfold.toml`.
Unknown keys are problems, relative paths start at the directory of the file, and every problem is told at once.
Durations are written `500ms`, `10s`, `1m30s`, `2h`; sizes `32k`, `512M`, `1g`, in powers of 1024.
"""
_PLAIN: dict[object, str] = {
    str: "text",
    int: "whole number",
    dict[str, str]: "table of texts",
    tuple[PoolEndpoint, ...]: "list of addresses or tables",
}


def reference() -> str:
    """The page, in Markdown."""
    return _HEAD + "".join(_section(title, model) for title, model in _tables("", Config))


def _tables(above: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each table with its name, a table before those in it."""
    for name, field in model.model_fields.items():
        path = f"{above}.{name}" if above else name
        arguments = get_args(field.annotation)
        inner = next((one for one in (field.annotation, *arguments) if _is_model(one)), None)
        if inner is None:
            continue
        origin = get_origin(field.annotation)
        title = f"{path}.NAME" if origin is dict else f"[{path}]" if origin is tuple else path
        yield title, inner
        yield from _tables(title.strip("[]"), inner)


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    intro = (model.__doc__ or "").partition("\n")[0]
    table = "\n".join(["| key | is | default | meaning |", "|---|---|---|---|", *rows])
    return f"\n## `[{title}]`\n\n{intro}\n\n{table}\n"


def _kind(field: FieldInfo) -> str:
    return _named(field.metadata) or _spelled(field.annotation)


def _named(metadata: Sequence[object]) -> str:
    """The word for a type of `fields`."""
    return next((one.word for one in metadata if isinstance(one, Kind)), "")


def _spelled(annotation: Any) -> str:  # noqa: ANN401 - annotations have no type of their own
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _named(arguments[1:]) or _spelled(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (Union, types.UnionType):
        return _spelled(next(one for one in arguments if one is not type(None)))
    if origin is tuple and annotation not in _PLAIN:
        return f"list of {_spelled(arguments[0])}s" if arguments[-1] is ... else "lowest and highest"
    return _PLAIN.get(annotation, "table")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default in (None, (), {}):
        return "-"
    value = field.default
    match _kind(field):
        case "duration":
            return f"`{format_duration(value).replace('.0s', 's')}`"
        case "size" if value and value % 1024 == 0:
            return f"`{value // 1024**2}m`" if value % 1024**2 == 0 else f"`{value // 1024}k`"
        case "octal mask":
            return f"`{value:03o}`"
        case _:
            return f"`{value}`"


def _row(name: str, field: FieldInfo) -> str:
    """One key; what is written otherwise than the model has it is said in the field's own `json_schema_extra`."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    cells = (f"`{extra.get('key', name)}`", extra.get("kind", _kind(field)), extra.get("default", _default(field)))
    return f"| {' | '.join(map(str, cells))} | {field.description} |"
