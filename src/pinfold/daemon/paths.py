"""Where a pinfold keeps its sockets, logs and what outlives a run, and whether the paths of sockets fit. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pinfold.base.address import UNIX_PATH_MAX
from pinfold.base.errors import Problem
from pinfold.config.model import Config, SocketPort

__all__ = ["choose_log_directory", "choose_run_directory", "choose_state_directory", "path_problems"]

_SERIAL_ROOM: Final = "999999"
"""So many processes may be started before the path of a socket outgrows what was checked."""


def choose_run_directory(named: Path | None, environment: Mapping[str, str], uid: int) -> Path:
    """The run directory: as named, else $PINFOLD_RUN_DIR, else the one of this user."""
    if named is not None:
        return named
    if given := environment.get("PINFOLD_RUN_DIR"):
        return Path(given)
    if uid == 0:
        return Path("/run/pinfold")
    if given := environment.get("XDG_RUNTIME_DIR"):
        return Path(given) / "pinfold"
    return Path(f"/tmp/pinfold-{uid}")  # noqa: S108 - the contract; made 0700, and refused when another owns it


def choose_log_directory(named: Path | None, environment: Mapping[str, str], uid: int) -> Path:
    """The log directory: as configured, else the one of this user."""
    return named or (Path("/var/log/pinfold") if uid == 0 else _state_home(environment) / "log")


def choose_state_directory(named: Path | None, environment: Mapping[str, str], uid: int) -> Path:
    """The directory of what outlives a run: as configured, else the one of this user."""
    return named or (Path("/var/lib/pinfold") if uid == 0 else _state_home(environment) / "state")


def path_problems(run_directory: Path, config: Config) -> list[Problem]:
    """A problem when a socket's path would be longer than the kernel takes; at most one, for the longest."""
    longest = max(_socket_paths(run_directory, config), key=lambda path: len(path.encode()))
    length = len(longest.encode())
    if length <= UNIX_PATH_MAX:
        return []
    what = f"the path of a socket would have {length} bytes, and the most is {UNIX_PATH_MAX}: {longest}"
    return [Problem(None, what, "name a shorter run directory with --run-dir or PINFOLD_RUN_DIR")]


def _socket_paths(run_directory: Path, config: Config) -> Iterator[str]:
    yield str(run_directory / "pinfold.sock")
    for name, program in config.programs.items():
        for port, plan in program.ports.items():
            if isinstance(plan, SocketPort):
                birth = f"{name}.{max(program.instances, 1)}-{_SERIAL_ROOM}"
                yield str(run_directory / "sockets" / birth / f"{port}.sock")


def _state_home(environment: Mapping[str, str]) -> Path:
    given = environment.get("XDG_STATE_HOME")
    return (Path(given) if given else Path(environment.get("HOME", "/")) / ".local" / "state") / "pinfold"
