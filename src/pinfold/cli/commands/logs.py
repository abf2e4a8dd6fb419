# oversize parameters: the options of a command are its parameters
"""`pinfold logs`."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pinfold.api.client import Client
from pinfold.api.models import Status
from pinfold.base.errors import NotRunningError, UnknownNameError
from pinfold.cli.log_files import Follower, watch
from pinfold.cli.log_lines import Line, merge, render_line
from pinfold.cli.log_names import logs_of
from pinfold.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, RunDirectory, chosen_run_directory, command_app
from pinfold.cli.output import paper
from pinfold.config.read import load
from pinfold.daemon.paths import choose_log_directory

__all__ = ["app"]

app = command_app()


@app.command()
def logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Programs, instances, groups, `proxy`, `access`; all instances."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many of the last lines.")] = 50,
    as_json: AsJson = False,
    log_dir: Annotated[Path | None, typer.Option("--log-dir", metavar="DIR", help="Directory of the logs.")] = None,
    config: ConfigFile = None,
    run_dir: RunDirectory = None,
) -> None:
    """Show what instances wrote, merged by time.

    Also when pinfold does not run: then from the log directory of --log-dir, or of the config.

    `proxy` is what the proxy says, `access` who asked for what.
    """
    status = _status(run_dir)
    directory = log_dir or (Path(status.log_directory) if status else _configured(config))
    found = logs_of(directory, status, names or [])
    if found.unknown is not None:
        raise UnknownNameError(f'there is no log of "{found.unknown}" in {directory}', found.hint)
    paths = [(name, directory / f"{name}.log") for name in found.names]
    followers = [Follower(name, path) for name, path in paths]
    _show(merge([one.last(count) for one in followers], count), found.names, as_json=as_json)
    if follow:
        _follow(directory, followers, found.names, as_json=as_json)


def _follow(directory: Path, followers: Sequence[Follower], names: Sequence[str], *, as_json: bool) -> None:
    try:
        for lines in watch(directory, followers):
            _show(lines, names, as_json=as_json)
    except KeyboardInterrupt:
        return  # which is how one stops looking
    finally:
        for follower in followers:
            follower.close()


def _show(lines: Sequence[Line], names: Sequence[str], *, as_json: bool) -> None:
    coloured = paper().coloured
    for line in lines:
        shown = json.dumps(dataclasses.asdict(line)) if as_json else render_line(line, names, coloured=coloured)
        print(shown.encode(errors="replace").decode())
    if lines:
        print(end="", flush=True)


def _status(run_dir: Path | None) -> Status | None:
    try:
        return Client(chosen_run_directory(run_dir)).status()
    except NotRunningError:
        return None


def _configured(config: Path | None) -> Path:
    """Where a pinfold that does not run has its logs."""
    named = None
    if config is not None or DEFAULT_CONFIG.exists():
        named = load(config or DEFAULT_CONFIG).config.daemon.log_directory
    return choose_log_directory(named, os.environ, os.geteuid())
