"""Which addresses the shim is to listen on, and what is said when one cannot be had: by whom it is taken."""

from collections.abc import Iterable, Sequence
from errno import EADDRINUSE
from typing import Final

from pinfold.base.errors import Problem
from pinfold.base.messages import ProblemReport
from pinfold.base.ports import holder
from pinfold.config.model import Config
from pinfold.config.read import LoadedConfig
from pinfold.supervise.wire import ListenAddress

__all__ = ["addresses_of", "listen_problems", "union"]

_SOCKETS_MOST: Final = 253
"""As many as the shim binds at one address."""


def addresses_of(config: Config, threads: int) -> tuple[ListenAddress, ...]:
    """The addresses of all listeners, with a socket for each thread of the proxy."""
    sockets = min(threads, _SOCKETS_MOST)
    bound = (str(address) for listener in config.listeners.values() for address in listener.bind)
    return tuple(ListenAddress(address=address, sockets=sockets) for address in bound)


def union(*sets: Iterable[ListenAddress]) -> tuple[ListenAddress, ...]:
    """Each address once; the first that names it says how many sockets."""
    found: dict[str, ListenAddress] = {}
    for one in (one for addresses in sets for one in addresses):
        found.setdefault(one.address, one)
    return tuple(found.values())


def listen_problems(loaded: LoadedConfig, reports: Sequence[ProblemReport]) -> list[Problem]:
    """What the shim reports, at the places of the config where the addresses stand."""
    return [_problem(loaded, report) for report in reports]


def _problem(loaded: LoadedConfig, report: ProblemReport) -> Problem:
    for name, listener in loaded.config.listeners.items():
        for index, address in enumerate(listener.bind):
            if str(address) != report.place:
                continue
            place = loaded.positions.at(("listeners", name, "bind", index))
            if report.errno != EADDRINUSE:
                return Problem(place, report.what, "bind another address")
            return Problem(place, f"{address} is taken{holder(address)}", "stop it, or choose another address")
    return Problem(None, report.what)
