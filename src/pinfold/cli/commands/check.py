"""`pinfold check`."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from pinfold.base.clock import SystemClock
from pinfold.base.errors import ConfigError, Problem
from pinfold.certs.store import check_certificates
from pinfold.cli.holdings import held_addresses
from pinfold.cli.options import (
    AsJson,
    ConfigFile,
    RunDirectory,
    chosen_config,
    chosen_run_directory,
    command_app,
)
from pinfold.config.read import load
from pinfold.daemon.checks import check_machine
from pinfold.daemon.paths import path_problems
from pinfold.daemon.surroundings import with_environment_files

__all__ = ["app"]

app = command_app()


@app.command()
def check(config: ConfigFile = None, as_json: AsJson = False, run_dir: RunDirectory = None) -> None:
    """Tell every problem of a config; start nothing.

    All are told at once, each with file:line:column. Also looked at: users, commands, directories, certificates, and
    whether addresses are free; those that the pinfold of the same run directory holds itself are.

    Exit code 0 when there is no problem, 2 when there is.
    """
    path = chosen_config(config)
    problems = _problems(path, chosen_run_directory(run_dir))
    if as_json:
        print(json.dumps({"version": 1, "config": str(path), "problems": [_as_json(one) for one in problems]}))
    elif not problems:
        print(f"{path}: no problems")
    if problems and not as_json:
        raise ConfigError(problems)
    raise typer.Exit(2 if problems else 0)


def _problems(path: Path, run_directory: Path) -> Sequence[Problem]:
    try:
        loaded = load(path)
    except ConfigError as error:
        return error.problems
    found = path_problems(run_directory, loaded.config)
    found += check_machine(loaded, held=held_addresses(run_directory))
    found += check_certificates(loaded, SystemClock().now())
    try:
        with_environment_files(loaded)
    except ConfigError as error:
        told = {one.place for one in found}
        found += [one for one in error.problems if one.place not in told]
    return sorted(found, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0))


def _as_json(problem: Problem) -> dict[str, object]:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else None
    return {"place": where, "what": problem.what, "hint": problem.hint}
