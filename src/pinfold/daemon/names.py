"""Which instances a command is for: programs, single instances and groups, by name. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pinfold.base.errors import UnknownNameError
from pinfold.config.rules import close_to

__all__ = ["Known", "resolve"]


@dataclass(frozen=True, slots=True)
class Known:
    """A program there is."""

    groups: Collection[str]
    indices: Collection[int]


def resolve(names: Sequence[str], programs: Mapping[str, Known]) -> dict[str, set[int]]:
    """The instances of each program that `names` stand for.

    Raises:
        UnknownNameError: nothing bears one of the names.
    """
    chosen: dict[str, set[int]] = {}
    for name in names:
        for program, indices in _one(name, programs).items():
            chosen.setdefault(program, set()).update(indices)
    return chosen


def _one(name: str, programs: Mapping[str, Known]) -> dict[str, set[int]]:
    if name in programs:
        return {name: set(programs[name].indices)}
    members = {program: set(known.indices) for program, known in programs.items() if name in known.groups}
    if members:
        return members
    program, _, index = name.rpartition(".")
    if program in programs and index.isdecimal():
        if int(index) in programs[program].indices:
            return {program: {int(index)}}
        count = len(programs[program].indices)
        raise UnknownNameError(
            f'there is no instance "{name}"', f"{program} has {count} instances, from {program}.1 on"
        )
    groups = {group for known in programs.values() for group in known.groups}
    raise UnknownNameError(f'there is no program, instance or group "{name}"', close_to(name, {*programs, *groups}))
