"""Every problem of a config file at once: of its text, of what its parts say of each other, of this machine."""

from collections.abc import Sequence
from pathlib import Path

from pinfold.base.clock import SystemClock
from pinfold.base.errors import ConfigError, Problem
from pinfold.certs.store import check_certificates
from pinfold.cli.holdings import held_addresses
from pinfold.config.read import LoadedConfig, read_text, survey
from pinfold.daemon.checks import check_machine
from pinfold.daemon.paths import path_problems
from pinfold.daemon.surroundings import with_environment_files

__all__ = ["all_problems"]


def all_problems(path: Path, run_directory: Path) -> Sequence[Problem]:
    """The problems in the order of the file, each place once."""
    try:
        found = survey(read_text(path), str(path), path.resolve().parent)
    except ConfigError as error:
        return error.problems
    problems = list(found.problems)
    told = {one.place for one in problems}
    if found.loaded is not None:
        surroundings = _surroundings(found.loaded, run_directory)
        problems += [one for one in surroundings if one.place is None or one.place not in told]
    return sorted(problems, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0))


def _surroundings(loaded: LoadedConfig, run_directory: Path) -> list[Problem]:
    found = path_problems(run_directory, loaded.config)
    found += check_machine(loaded, held=held_addresses(run_directory))
    found += check_certificates(loaded, SystemClock().now())
    try:
        with_environment_files(loaded)
    except ConfigError as error:
        told = {one.place for one in found}
        found += [one for one in error.problems if one.place not in told]
    return found
