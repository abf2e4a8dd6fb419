"""Options that several commands share, and what stands for them when they are absent."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from pinfold.base.errors import UsageError
from pinfold.daemon.paths import choose_run_directory

__all__ = [
    "DEFAULT_CONFIG",
    "AsJson",
    "ConfigFile",
    "Names",
    "NoWait",
    "RunDirectory",
    "chosen_config",
    "chosen_run_directory",
    "command_app",
]

DEFAULT_CONFIG: Final = Path("pinfold.toml")

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs; stable within a version.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The config; by default ./pinfold.toml.")
]
Names = Annotated[list[str], typer.Argument(metavar="NAME", help="Programs, instances (web.1) or groups.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once, without a verdict.")]
RunDirectory = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        metavar="DIR",
        help="Directory of the control sockets; by default $PINFOLD_RUN_DIR, else /run/pinfold as root.",
    ),
]


def command_app() -> typer.Typer:
    """The app of one command."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def chosen_run_directory(named: Path | None) -> Path:
    """The absolute run directory."""
    return choose_run_directory(named, os.environ, os.geteuid()).absolute()


def chosen_config(named: Path | None) -> Path:
    """The config file; UsageError when none is named and there is no ./pinfold.toml."""
    if named is None and not DEFAULT_CONFIG.exists():
        raise UsageError(
            "there is no pinfold.toml here", "name a config with -c FILE, or a command: pinfold run -- CMD {socket}"
        )
    return named or DEFAULT_CONFIG
