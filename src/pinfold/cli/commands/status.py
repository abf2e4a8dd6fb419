"""`pinfold status`."""

from typing import Annotated

import typer

from pinfold.api.client import Client
from pinfold.api.models import Status
from pinfold.base.clock import SystemClock
from pinfold.base.errors import NotRunningError, UnknownNameError
from pinfold.cli.options import AsJson, RunDirectory, chosen_run_directory, command_app
from pinfold.cli.output import paper
from pinfold.cli.render import fold_status, render_status, unknown_name

__all__ = ["app", "show_if_running"]

app = command_app()
DEGRADED = 6


@app.command()
def status(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Only these.")] = None,
    as_json: AsJson = False,
    run_dir: RunDirectory = None,
) -> None:
    """Show what runs, and what does not.

    Exit code 0 when all that is wanted is ready, 3 when no pinfold runs, 4 for an unknown name, 6 when something is not
    ready.
    """
    whole = Client(chosen_run_directory(run_dir)).status()
    if unknown := unknown_name(whole, names or ()):
        raise UnknownNameError(f'there is no program, instance or group "{unknown[0]}"', unknown[1])
    shown = fold_status(whole, names or ())
    if as_json:
        print(shown.model_dump_json())
    else:
        print(render_status(shown, SystemClock().now(), paper()), end="")
    raise typer.Exit(DEGRADED if _degraded(shown, named=bool(names)) else 0)


def show_if_running() -> bool:
    """Show the status, as long as there is something to show."""
    try:
        shown = Client(chosen_run_directory(None)).status()
    except NotRunningError:
        return False
    print(render_status(shown, SystemClock().now(), paper()), end="")
    return True


def _degraded(shown: Status, *, named: bool) -> bool:
    if named:
        return any(one.wanted and not one.ready for program in shown.programs for one in program.instances)
    return shown.state == "degraded"
