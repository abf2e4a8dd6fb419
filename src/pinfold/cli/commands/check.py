"""`pinfold check`."""

import json

import typer

from pinfold.base.errors import ConfigError, Problem
from pinfold.cli.options import (
    AsJson,
    ConfigFile,
    RunDirectory,
    chosen_config,
    chosen_run_directory,
    command_app,
)
from pinfold.cli.problems import all_problems

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
    problems = all_problems(path, chosen_run_directory(run_dir))
    if as_json:
        print(json.dumps({"version": 1, "config": str(path), "problems": [_as_json(one) for one in problems]}))
    elif not problems:
        print(f"{path}: no problems")
    if problems and not as_json:
        raise ConfigError(problems)
    raise typer.Exit(2 if problems else 0)


def _as_json(problem: Problem) -> dict[str, object]:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else None
    return {"place": where, "what": problem.what, "hint": problem.hint}
