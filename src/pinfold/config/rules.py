"""What must hold between the parts of a config, each fault with the path it is at. Pure."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pinfold.base.address import Address, TcpAddress, overlap
from pinfold.config.model import Config, FixedPorts, Program
from pinfold.config.positions import Path
from pinfold.config.template import placeholders

__all__ = ["Fault", "close_to", "faults"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem that has no file yet."""

    path: Path
    what: str
    hint: str = ""


def close_to(name: str, known: Iterable[str]) -> str:
    """A did-you-mean, or the names there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"there is: {', '.join(names)}" if names else ""


def faults(config: Config) -> Iterator[Fault]:
    """Every fault between the parts."""
    yield from _addresses(config)
    yield from _routes(config)
    for name, program in config.programs.items():
        yield from _templates(name, program)
        if program.ready.port is not None and program.ready.port not in program.ports:
            what = f'the program has no port "{program.ready.port}"'
            yield Fault(("programs", name, "ready", "port"), what, close_to(program.ready.port, program.ports))
        if name in config.pools:
            yield Fault(("pools", name), f'"{name}" is a program already; programs and pools share their names')


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
                yield Fault(path, f"{{{found}}} stands for nothing here", close_to(found, known))
