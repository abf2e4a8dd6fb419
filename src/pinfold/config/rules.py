"""What must hold between the parts of a config, each fault with the path it is at. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pinfold.base.address import Address, TcpAddress, overlap
from pinfold.base.names import close_to
from pinfold.config.model import Config, FixedPorts, Program
from pinfold.config.positions import Path
from pinfold.config.template import placeholders

__all__ = ["Fault", "close_to", "faults"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,39}")
_NAME_HINT: Final = "letters, digits, - and _, 40 at most"


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem that has no file yet."""

    path: Path
    what: str
    hint: str = ""


def faults(config: Config) -> Iterator[Fault]:
    """Every fault between the parts."""
    yield from _names(config)
    yield from _addresses(config)
    yield from _routes(config)
    for name, program in config.programs.items():
        yield from _templates(name, program)
        if program.ready.port is not None and program.ready.port not in program.ports:
            what = f'the program has no port "{program.ready.port}"'
            yield Fault(("programs", name, "ready", "port"), what, close_to(program.ready.port, program.ports))
        if name in config.pools:
            yield Fault(("pools", name), f'"{name}" is a program already; programs and pools share their names')


def _names(config: Config) -> Iterator[Fault]:
    """Names are parts of paths, of other names and of log lines, so they are plain and short."""
    named: list[Path] = [("listeners", name) for name in config.listeners]
    named += [("pools", name) for name in config.pools]
    for name, program in config.programs.items():
        named += [("programs", name), *(("programs", name, "ports", port) for port in program.ports)]
        yield from _groups(config, name)
        for variable in program.environment:
            if not variable or "=" in variable or "\0" in variable + program.environment[variable]:
                yield Fault(("programs", name, "environment"), f'"{variable}" cannot be a variable')
    for path in named:
        if not _NAME.fullmatch(str(path[-1])):
            yield Fault(path, f'"{path[-1]}" is no name', _NAME_HINT)


def _groups(config: Config, name: str) -> Iterator[Fault]:
    for group in config.programs[name].groups:
        if group in config.programs:
            yield Fault(("programs", name, "groups"), f'"{group}" is the name of a program', "name the group otherwise")
        elif not _NAME.fullmatch(group):
            yield Fault(("programs", name, "groups"), f'"{group}" is no name', _NAME_HINT)


def _addresses(config: Config) -> Iterator[Fault]:
    taken: list[tuple[Address, str]] = []
    bound = [(("listeners", name, "bind"), one) for name, it in config.listeners.items() for one in it.bind]
    ports = [
        (("programs", name, "ports", port), TcpAddress("127.0.0.1", number))
        for name, program in config.programs.items()
        for port, plan in program.ports.items()
        if isinstance(plan, FixedPorts)
        for number in plan.numbers
    ]
    for path, address in [*bound, *ports]:
        owner = f"{path[0]}.{path[1]}"
        for other, theirs in taken:
            if overlap(address, other):
                hint = "give each an address of its own"
                yield Fault(path, f"{address} is the address of {theirs} already", hint)
                break
        taken.append((address, owner))


def _routes(config: Config) -> Iterator[Fault]:
    pools = config.pool_names
    for index, route in enumerate(config.routes):
        if config.resolve_pool(route.pool) not in pools:
            yield Fault(("routes", index, "pool"), f'there is no pool "{route.pool}"', close_to(route.pool, pools))
        for listener in route.listeners:
            if listener not in config.listeners:
                what = f'there is no listener "{listener}"'
                yield Fault(("routes", index, "listeners"), what, close_to(listener, config.listeners))
    if not pools:
        yield Fault(("listeners",), "there is nothing to send requests to", "add a [programs.NAME] or a [pools.NAME]")
    elif not config.resolved_routes:
        yield Fault(("listeners",), f"there are {len(pools)} pools and no routes", "add [[routes]] that name them")


def _templates(name: str, program: Program) -> Iterator[Fault]:
    known = {"instance", "index", "generation"}
    for port, plan in program.ports.items():
        kind = "socket" if type(plan).__name__ == "SocketPort" else "port"
        known |= {kind, f"{kind}.{port}"}
    texts: list[tuple[Path, str]] = [(("programs", name, "command"), word) for word in program.command]
    texts += [(("programs", name, "environment", key), text) for key, text in program.environment.items()]
    for path, text in texts:
        for found in placeholders(text):
            if found not in known:
                # Which kind of port a program has follows from the placeholder, so a misspelt one may mean either.
                meant = known | ({"port", "socket"} - {found})
                yield Fault(path, f"{{{found}}} stands for nothing here", close_to(found, meant))
