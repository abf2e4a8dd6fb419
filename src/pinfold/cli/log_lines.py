"""Lines of logs: parsed, merged by their time stamps, written for people or programs. Pure."""

import heapq
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Line", "merge", "parse_line", "render_line"]

_LINE: Final = re.compile(r"(?P<time>\S+Z) (?P<pid>[0-9]+) (?P<stream>out|err)(?P<more>\+?) (?P<text>.*)", re.DOTALL)
_COLOURS: Final = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log of `name`."""

    name: str
    time: str
    pid: int | None
    stream: str
    text: str


def parse_line(name: str, line: str, before: str = "") -> Line:
    """A line of the log of `name`; one without a stamp, as of the access log, has that in it or the one `before` it."""
    found = _LINE.fullmatch(line)
    if found is not None:
        return Line(name, found["time"], int(found["pid"]), found["stream"], found["text"])
    return Line(name, _time_in(line) or before, None, "", line)


def _time_in(line: str) -> str:
    """The field `time` of a JSON line, which is how an access log says it."""
    if not line.startswith("{"):
        return ""
    try:
        time = json.loads(line).get("time", "")
    except ValueError:
        return ""
    return time if isinstance(time, str) else ""


def merge(logs: Iterable[Sequence[Line]], count: int) -> list[Line]:
    """The last `count` lines of all logs together, in the order of their stamps; each log is in order already."""
    merged = list(heapq.merge(*logs, key=lambda line: line.time))
    return merged[max(0, len(merged) - count) :]


def render_line(line: Line, names: Sequence[str], *, coloured: bool) -> str:
    """Name, time and text; the name only when there are several. Control characters a terminal would obey are shown."""
    text = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", line.text)
    if not coloured:
        text = text.replace("\x1b", "\\x1b")
    stamp = f"{line.time} " if line.pid is not None else ""
    if len(names) == 1:
        return f"{stamp}{text}"
    name = line.name.ljust(max(map(len, names)))
    if coloured:
        name = f"\x1b[{_COLOURS[names.index(line.name) % len(_COLOURS)]}m{name}\x1b[0m"
        text = f"{text}\x1b[0m" if "\x1b" in text else text
    return f"{name} {stamp}{text}"
