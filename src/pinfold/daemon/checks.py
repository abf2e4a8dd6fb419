"""What a config asks of this machine: users, commands, directories, addresses. It looks, and changes nothing."""

import grp
import os
import pwd
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from pinfold.base.address import Address, TcpAddress, overlap, parse_address
from pinfold.base.errors import Problem
from pinfold.base.names import close_to
from pinfold.base.ports import obstacle
from pinfold.config.model import FixedPorts, Program
from pinfold.config.positions import Path as Where
from pinfold.config.read import LoadedConfig
from pinfold.config.template import placeholders
from pinfold.daemon.surroundings import UnknownIdentityError, surround

__all__ = ["check_machine"]

_Found = Iterator[tuple[Where, str, str]]
"""Where in the config, what is wrong, and the mend."""


def check_machine(loaded: LoadedConfig, *, held: Collection[str]) -> list[Problem]:
    """Every problem of `loaded` on this machine, in the order of the file.

    Args:
        loaded: a config without problems of its own.
        held: addresses that this pinfold or its instances listen on already; they are not found taken.
    """
    ours = [parse_address(address) for address in held]
    found = [*_directories(loaded), *_listeners(loaded, ours)]
    for name, program in loaded.config.programs.items():
        where = ("programs", name)
        found += [*_identity(where, program), *_paths(where, program), *_ports(where, program, ours)]
    problems = [Problem(loaded.positions.at(path), what, hint) for path, what, hint in found]
    return sorted(problems, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0))


def _directories(loaded: LoadedConfig) -> _Found:
    for key in ("log_directory", "state_directory"):
        path: Path | None = getattr(loaded.config.daemon, key)
        if path is None:
            continue
        existing = next(one for one in (path, *path.parents) if one.exists())
        if not existing.is_dir():
            yield ("daemon", key), f"{existing} is not a directory", ""
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield ("daemon", key), f"{existing} is not writable", "grant the rights, or name another directory"


def _listeners(loaded: LoadedConfig, ours: list[Address]) -> _Found:
    for name, listener in loaded.config.listeners.items():
        for index, address in enumerate(listener.bind):
            if not any(overlap(address, held) for held in ours) and (found := obstacle(address)):
                yield ("listeners", name, "bind", index), *found


def _ports(where: Where, program: Program, ours: list[Address]) -> _Found:
    for port, plan in program.ports.items():
        for index, number in enumerate(plan.numbers if isinstance(plan, FixedPorts) else ()):
            address = TcpAddress("127.0.0.1", number)
            if not any(overlap(address, held) for held in ours) and (found := obstacle(address)):
                yield (*where, "ports", port, index), *found


def _identity(where: Where, program: Program) -> _Found:
    # A number stands for a user or group that need not have a name.
    users = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    groups = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
    root = os.geteuid() == 0
    if program.user is not None and not program.user.isdecimal():
        if program.user not in users:
            hint = _near(program.user, users) or f"make it: useradd --system {program.user}"
            yield (*where, "user"), f'there is no user "{program.user}"', hint
        elif not root and users[program.user] != os.geteuid():
            what = f'only root can become the user "{program.user}"'
            yield (*where, "user"), what, "run pinfold as root, or leave `user` out"
    if program.group is not None and not program.group.isdecimal():
        if program.group not in groups:
            hint = _near(program.group, groups) or f"make it: groupadd --system {program.group}"
            yield (*where, "group"), f'there is no group "{program.group}"', hint
        elif not root and groups[program.group] != os.getegid():
            what = f'only root can take on the group "{program.group}"'
            yield (*where, "group"), what, "run pinfold as root, or leave `group` out"


def _near(name: str, known: Collection[str]) -> str:
    hint = close_to(name, known)
    return hint if hint.startswith("did you mean") else ""


def _paths(where: Where, program: Program) -> _Found:
    directory = program.working_directory
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        yield (*where, "working_directory"), f"the working directory {directory} {what}", f"mkdir -p {directory}"
    yield from _command(where, program)
    for index, path in enumerate(program.environment_files):
        if not path.is_file():
            yield (*where, "environment_files", index), f"there is no file {path}", ""
        elif not os.access(path, os.R_OK):
            yield (*where, "environment_files", index), f"{path} cannot be read", "grant the rights"


def _command(where: Where, program: Program) -> _Found:
    word = program.command[0]
    if placeholders(word):
        return
    where = (*where, "command")
    if "/" in word:
        path = program.working_directory / word
        if not program.working_directory.is_dir() and not path.is_absolute():
            return
        if not path.exists():
            yield where, f"there is no command {path}", ""
        elif not path.is_file() or not os.access(path, os.X_OK):
            yield where, f"{path} is not executable", f"chmod +x {path}"
        return
    search = program.environment.get("PATH") or _base_path(program)
    if shutil.which(word, path=search) is None:
        names = {name for one in search.split(":") if Path(one).is_dir() for name in os.listdir(one)}  # noqa: PTH208 - names are wanted
        hint = _near(word, names) or "write its whole path, or install it"
        yield where, f'there is no command "{word}" in PATH={search}', hint


def _base_path(program: Program) -> str:
    try:
        return surround(program)[0].get("PATH", os.defpath)
    except UnknownIdentityError:
        return os.environ.get("PATH", os.defpath)
