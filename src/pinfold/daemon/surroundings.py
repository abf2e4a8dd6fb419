"""What this machine adds to programs: users as numbers, their environment, and the files it is read from."""

import grp
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pinfold.base.errors import ConfigError, Problem
from pinfold.config.model import Program
from pinfold.config.read import LoadedConfig
from pinfold.daemon.environment import base_environment, escape, parse_environment
from pinfold.supervise.wire import Identity

__all__ = ["UnknownIdentityError", "identify", "surround", "with_environment_files"]

_FILE_BYTES_MOST: Final = 1024 * 1024


class UnknownIdentityError(OSError):
    """This machine has no such user or group."""


def identify(program: Program) -> Identity | None:
    """The user and groups of a program as numbers; None when it runs as whoever runs the daemon.

    Raises:
        UnknownIdentityError: there is no such user or group.
    """
    if program.user is None and program.group is None:
        return None
    user = _user(program.user) if program.user is not None else None
    uid = user.pw_uid if user else os.geteuid()
    gid = _group(program.group) if program.group is not None else user.pw_gid if user else os.getegid()
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return None  # Nothing to change, and only root may set groups.
    groups = os.getgrouplist(user.pw_name, gid) if user else [gid]
    return Identity(uid=uid, gid=gid, groups=tuple(dict.fromkeys(groups)))


def surround(program: Program) -> tuple[Mapping[str, str], Identity | None]:
    """Base environment and identity of a program.

    Raises:
        UnknownIdentityError: there is no such user or group.
    """
    identity = identify(program)
    user, home = _named(identity.uid if identity else os.geteuid())
    clean = os.geteuid() == 0 or identity is not None
    return base_environment(os.environ, user=user, home=home, clean=clean), identity


def with_environment_files(loaded: LoadedConfig) -> LoadedConfig:
    """The config with the variables of all environment files read in, below those the config itself gives.

    Read once for each load, so that a process started again gets what the check has seen, and a change of the files
    is a change of the program.

    Raises:
        ConfigError: with every problem of every file.
    """
    programs: dict[str, Program] = {}
    problems: list[Problem] = []
    for name, program in loaded.config.programs.items():
        variables: dict[str, str] = {}
        for index, path in enumerate(program.environment_files):
            place = loaded.positions.at(("programs", name, "environment_files", index))
            try:
                variables.update(parse_environment(_text(path), str(path)))
            except ConfigError as error:
                problems += error.problems
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                problems.append(Problem(place, f"cannot read {path}: {why}", "mend the file, or name another"))
        escaped = {key: escape(value) for key, value in variables.items()}
        programs[name] = program.model_copy(update={"environment": {**escaped, **program.environment}})
    if problems:
        raise ConfigError(problems)
    return LoadedConfig(loaded.config.model_copy(update={"programs": programs}), loaded.positions)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES_MOST + 1)
    if len(content) > _FILE_BYTES_MOST:
        raise ValueError("it is larger than any environment")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise UnknownIdentityError(f'there is no user "{name}" on this machine') from None


def _group(name: str) -> int:
    try:
        return grp.getgrgid(int(name)).gr_gid if name.isdecimal() else grp.getgrnam(name).gr_gid
    except (KeyError, OverflowError):
        raise UnknownIdentityError(f'there is no group "{name}" on this machine') from None


def _named(uid: int) -> tuple[str, str]:
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), os.environ.get("HOME", "/")
    return found.pw_name, found.pw_dir
