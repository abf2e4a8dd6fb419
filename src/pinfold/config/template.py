"""Placeholders in commands and environments: `{port}`, `{socket.http}`, `{instance}`; `{{` is a brace. Pure."""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["expand", "placeholders"]

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([a-z]+(?:\.[A-Za-z0-9_-]+)?)\}")


def placeholders(text: str) -> tuple[str, ...]:
    """The names between braces, in order."""
    return tuple(found.group(1) for found in _TOKEN.finditer(text) if found.group(1))


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with each placeholder replaced; one without a value stays as it is."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        return values.get(name, found.group(0)) if name else found.group(0)[0]

    return _TOKEN.sub(value, text)
