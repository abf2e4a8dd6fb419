# oversize parameters: the options of a command are its parameters
"""`pinfold run`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pinfold.base.errors import ConfigError, UsageError
from pinfold.cli.flags import Wanted
from pinfold.cli.foreground import compose, front_door, serve, urls
from pinfold.cli.options import ConfigFile, RunDirectory, chosen_config, chosen_run_directory, command_app
from pinfold.cli.problems import all_problems
from pinfold.config.read import LoadedConfig, load

__all__ = ["app"]

app = command_app()
Address = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Host and port, or a port; with a command.")]


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="CMD", help="A command, to run without a config; write it behind --.")
    ] = None,
    config: ConfigFile = None,
    instances: Annotated[
        int | None, typer.Option("--instances", "-n", min=1, max=1000, help="How many; with a command.")
    ] = None,
    http: Address = None,
    https: Address = None,
    run_dir: RunDirectory = None,
) -> None:
    """Run programs behind their front door, in the foreground.

    Ctrl-C drains and stops everything; a second one at once.

    pinfold run -c pinfold.toml runs what the config says; without -c it is ./pinfold.toml.

    pinfold run -n 4 -- ./app --socket {socket} needs no config: HTTP on 127.0.0.1:8080, HTTPS with a self-signed
    certificate on 8443; {port} instead of {socket} is a free port, and with neither it is in the variable PORT.
    """
    directory = chosen_run_directory(run_dir)
    if command is None:
        if (instances, http, https) != (None, None, None):
            raise UsageError("-n, --http and --https are for a command", "write it behind --, or change the config")
        raise typer.Exit(_run_config(chosen_config(config), directory))
    if config is not None:
        raise UsageError("there is a config and a command", "leave -c out, or the command")
    wanted = Wanted(command, instances or 1)
    loaded = compose(wanted, front_door(http, https, directory), Path.cwd(), {})
    raise typer.Exit(serve(lambda: loaded, directory, None, lambda: _invite(loaded)))


def _run_config(path: Path, directory: Path) -> int:
    try:
        return serve(lambda: load(path), directory, path.absolute(), lambda: None)
    except ConfigError as error:
        # The first kind of problem that is found ends a start; whoever mends them wants to see all kinds.
        raise ConfigError(all_problems(path, directory) or error.problems) from None


def _invite(loaded: LoadedConfig) -> None:
    to_try = urls(loaded)
    print(f"  {to_try.https}/\n  {to_try.http}/\n  logs in {to_try.logs}", file=sys.stderr)
