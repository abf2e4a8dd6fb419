"""Operations of the daemon as commands: progress as it comes, then the verdict and its exit code."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from pinfold.api.client import Client
from pinfold.api.models import Progress, Report, Verdict
from pinfold.cli.render import render_verdict

__all__ = ["Operation", "Wishes", "carry_out"]

Operation = Literal["apply", "restart", "start", "stop"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the operator wants to hear of it."""

    run_directory: Path
    as_json: bool
    no_wait: bool


def carry_out(operation: Operation, names: Sequence[str], wishes: Wishes) -> None:
    """Have it done, tell how it goes, and end with the exit code of the verdict."""
    for report in Client(wishes.run_directory).run(operation, names):
        _tell(report, as_json=wishes.as_json)
        if isinstance(report, Verdict):
            raise typer.Exit(report.exit_code)
        if wishes.no_wait:
            return  # The daemon goes on; pinfold status tells how.


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(), flush=True)
    elif isinstance(report, Progress):
        print(f"{report.name}: {report.text}", flush=True)
    else:
        print(render_verdict(report), file=sys.stdout if report.ok else sys.stderr)
