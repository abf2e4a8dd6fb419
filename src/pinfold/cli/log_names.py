"""Which logs the words of `pinfold logs` stand for. It looks into the log directory, and reads no log."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pinfold.api.models import Status
from pinfold.base.names import close_to

__all__ = ["Found", "logs_of"]

_INSTANCE: Final = re.compile(r"(.+)\.([0-9]+)")


@dataclass(frozen=True, slots=True)
class Found:
    """Logs in the order they were asked for, or the first word that stands for none."""

    names: tuple[str, ...]
    unknown: str | None = None
    hint: str = ""


def logs_of(directory: Path, status: Status | None, words: Sequence[str]) -> Found:
    """The logs of these programs, instances and groups, of `proxy` and `access`; no words are all instances."""
    try:
        written = sorted(path.stem for path in directory.glob("*.log"))
    except OSError:
        written = []
    meanings = _meanings(status, written)
    if not words:
        return Found(tuple(name for name in written if _INSTANCE.fullmatch(name)))
    names: list[str] = []
    for word in words:
        if word not in meanings:
            return Found((), word, close_to(word, meanings))
        names += meanings[word]
    return Found(tuple(dict.fromkeys(names)))


def _meanings(status: Status | None, written: Sequence[str]) -> dict[str, list[str]]:
    meanings: dict[str, list[str]] = {name: [name] for name in written}
    by_program: dict[str, set[str]] = {}
    for name in written:
        if found := _INSTANCE.fullmatch(name):
            by_program.setdefault(found[1], set()).add(name)
    for program in status.programs if status else ():
        instances = {one.name for one in program.instances}
        meanings |= {name: [name] for name in instances}
        for name in (program.name, *program.groups):
            by_program.setdefault(name, set()).update(instances)
    meanings |= {name: sorted(ones, key=_order) for name, ones in by_program.items()}
    return meanings


def _order(name: str) -> tuple[str, int]:
    found = _INSTANCE.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)
