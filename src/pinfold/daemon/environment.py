"""Variables of programs: what of the daemon's own environment they get, and files of NAME=value lines. Pure.

Run by root, a program gets a clean environment: the daemon's own is whatever an init system or an administrator's
shell left there. Run by anybody else in the foreground it gets theirs, as with foreman or honcho: who types
`pinfold run` in an activated virtual environment expects it to be used. See docs/decisions/0008.
"""

import re
from collections.abc import Mapping
from typing import Final

from pinfold.base.errors import ConfigError, Place, Problem

__all__ = ["base_environment", "escape", "parse_environment"]

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_CLEAN_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT_CLEAN: Final = ("LANG", "LANGUAGE", "LC_ALL", "TZ")
_PREFIXES_NEVER: Final = ("LISTEN_", "PINFOLD_")
_NEVER: Final = ("NOTIFY_SOCKET", "MAINPID", "WATCHDOG_PID", "WATCHDOG_USEC", "PORT")
"""Words of whoever started the daemon to the daemon alone."""
_ALWAYS: Final = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
"""Output reaches the log at once, and a crash of the interpreter tells where."""


def base_environment(own: Mapping[str, str], *, user: str, home: str, clean: bool) -> dict[str, str]:
    """What every program of `user` gets before its own variables.

    Args:
        own: the daemon's environment.
        user: name of the user the program runs as.
        home: their home directory.
        clean: take nothing from the daemon's but language and time zone.
    """
    if clean:
        kept = {name: own[name] for name in _KEPT_CLEAN if name in own}
        named = {"PATH": _CLEAN_PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
        return {**named, **kept, **_ALWAYS}
    kept = {name: value for name, value in own.items() if name not in _NEVER and not name.startswith(_PREFIXES_NEVER)}
    return {"HOME": home, "USER": user, "LOGNAME": user, "PATH": _CLEAN_PATH, **_ALWAYS, **kept}


def parse_environment(text: str, file: str) -> dict[str, str]:
    """The variables in a file of NAME=value lines; `#` begins a comment line, a value may stand in quotes.

    Raises:
        ConfigError: with a problem for each line that is none.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for number, written in enumerate(text.splitlines(), start=1):
        line = written.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        value = _value(match[2]) if match else None
        if match is None or value is None:
            place = Place(file, number, len(written) - len(written.lstrip()) + 1)
            what = "a value that ends without its quote" if match else "expected NAME=value"
            problems.append(Problem(place, what, "one variable a line, no spaces around ="))
        elif "\0" in value:
            problems.append(Problem(Place(file, number, 1), f"{match[1]} holds a NUL byte"))
        else:
            found[match[1]] = value
    if problems:
        raise ConfigError(problems)
    return found


def escape(value: str) -> str:
    """A value in which braces stand for themselves, where placeholders are expanded."""
    return value.replace("{", "{{").replace("}", "}}")


def _value(written: str) -> str | None:
    """A value without its quotes; None when a quote is left open."""
    quote = written[:1]
    if quote not in ("'", '"'):
        return written
    if len(written) < 2 or written[-1] != quote:
        return None
    return written[1:-1]
