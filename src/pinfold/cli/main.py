"""Entry point: finds the command, runs it, and turns what went wrong into a message and an exit code."""

import importlib
import sys
from typing import Annotated, Any, Final

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from pinfold import __version__
from pinfold.base.errors import ConfigError, PinfoldError

__all__ = ["COMMANDS", "main"]

COMMANDS: Final = {
    "run": "Run programs behind their front door, in the foreground.",
    "check": "Tell every problem of a config; start nothing.",
    "apply": "Make the config on disk true; what did not change is left alone.",
    "status": "Show what runs, and what does not.",
    "start": "Start programs, instances or groups; wait until they are ready.",
    "stop": "Drain programs, instances or groups, then stop them.",
    "restart": "Replace instances one by one, without losing a request.",
    "logs": "Show what instances wrote, merged by time.",
    "cert": "Make a certificate, or look at one.",
    "demo": "Try it: four instances of a small program behind HTTPS.",
}
QUICK_START: Final = """\
pinfold: N copies of any HTTP program behind one secure front door. Nothing runs here yet.

  pinfold demo                                 see it work
  pinfold run -n 4 -- ./app --socket {socket}  your program, behind HTTP on 8080 and HTTPS on 8443
  pinfold run -c pinfold.toml                  with a config; `pinfold check` tells its problems
  pinfold --help                               everything else
"""


class LazyGroup(TyperGroup):
    """The commands by name and summary; a command's file is imported when it is called."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - arguments of typer, handed on
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name=name, help=summary) for name, summary in COMMANDS.items()}

    def resolve_command(self, called: Any, args: list[str]) -> Any:  # noqa: ANN401 - types that typer hides
        """Part of `TyperGroup`."""
        name, stub, rest = super().resolve_command(called, args)
        return name, _load(name) if name else stub, rest


def _load(name: str) -> Any:  # noqa: ANN401 - a type that typer hides
    return typer.main.get_command(importlib.import_module(f"pinfold.cli.commands.{name}").app)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"pinfold {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def pinfold(
    called: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """N copies of any HTTP program behind one secure, fast front door.

    Exit codes: 0 ok, 1 failed, 2 usage or config, 3 not running, 4 unknown name, 5 rolled back, 6 degraded.
    """
    if called.invoked_subcommand is not None:
        return
    status = importlib.import_module("pinfold.cli.commands.status")
    if not status.show_if_running():
        print(QUICK_START, end="")


def main() -> None:
    """Run the command of the command line; never a traceback for what an operator can mend."""
    try:
        typer.main.get_command(app).main(prog_name="pinfold")
    except PinfoldError as error:
        sys.exit(_tell(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"pinfold: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


def _tell(error: PinfoldError) -> int:
    """Say what went wrong and what to do next; the exit code."""
    if isinstance(error, ConfigError):
        count = len(error.problems)
        print(error.summary, file=sys.stderr)
        print(f"pinfold: {count} problem{'s' if count != 1 else ''}; nothing was started or changed", file=sys.stderr)
    else:
        print(f"pinfold: {error.summary}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
    return error.exit_code
