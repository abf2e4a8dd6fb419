"""Errors say whose fault it is and what to do next; one place maps them to exit codes and HTTP statuses."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ConfigError",
    "DegradedError",
    "FailedError",
    "NotRunningError",
    "PinfoldError",
    "Place",
    "Problem",
    "RolledBackError",
    "UnknownNameError",
    "UsageError",
]


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file, counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a config or its surroundings: where, what, and the mend."""

    place: Place | None
    what: str
    hint: str = ""

    def render(self) -> str:
        """One or two lines for a person."""
        where = f"{self.place}: " if self.place else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{where}{self.what}{hint}"


class PinfoldError(Exception):
    """The base of all errors an operator is shown; `summary` says what, `hint` what to do next."""

    code = "failed"
    exit_code = 1
    http_status = 500

    def __init__(self, summary: str, hint: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.hint = hint


class ConfigError(PinfoldError):
    """The operator's config has problems; nothing was started or changed."""

    code = "config"
    exit_code = 2
    http_status = 422

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problem.render() for problem in problems))
        self.problems = tuple(problems)


class UsageError(PinfoldError):
    """A command was called wrongly."""

    code = "usage"
    exit_code = 2
    http_status = 400


class FailedError(PinfoldError):
    """What was asked for was tried and failed."""


class NotRunningError(PinfoldError):
    """No daemon runs there."""

    code = "not-running"
    exit_code = 3
    http_status = 503


class UnknownNameError(PinfoldError):
    """No program or instance has that name."""

    code = "unknown-name"
    exit_code = 4
    http_status = 404


class RolledBackError(PinfoldError):
    """A change failed and what ran before runs on."""

    code = "rolled-back"
    exit_code = 5
    http_status = 409


class DegradedError(PinfoldError):
    """It runs, but not all of it."""

    code = "degraded"
    exit_code = 6
    http_status = 409
