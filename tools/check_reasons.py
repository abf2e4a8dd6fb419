"""Refuses relaxations without a reason, and work put off: bare noqa, type: ignore, allow, and notes to do it later.

Wanted: the code, then a reason: after a dash for ruff, in a second comment for mypy, as `reason = "why"` or a comment
on the line before for an attribute in Rust.
"""

import re
from collections.abc import Iterator

from findings import Finding, conclude, python_files, rust_files

__all__ = ["python_findings", "rust_findings"]

_LATER = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
_NOQA = re.compile(r"#\s*no" + r"qa\b(?P<rest>.*)", re.IGNORECASE)
_NOQA_REASON = re.compile(r":\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*\s*[-—:,(#]*\s*[A-Za-z]\w*\s+\w+")
_IGNORE = re.compile(r"#\s*type:\s*ig" + r"nore(?P<rest>.*)")
_IGNORE_REASON = re.compile(r"\[[\w, -]+\]\s*#\s*\w+")
_ALLOW = re.compile(r"^\s*#!?\[(?:cfg_attr\(.*)?(?:allow|expect)\(")


def python_findings(path: str, text: str) -> list[Finding]:
    """Bare relaxations and notes in one Python file."""
    return [Finding(path, number, what) for number, line in _lines(text) for what in _python_faults(line)]


def _python_faults(line: str) -> Iterator[str]:
    if _LATER.search(line):
        yield "work put off: do it, or file it as an issue"
    if (bare := _NOQA.search(line)) and not _NOQA_REASON.match(bare["rest"]):
        yield "a relaxation of ruff without code and reason"
    if (bare := _IGNORE.search(line)) and not _IGNORE_REASON.match(bare["rest"]):
        yield "a relaxation of mypy without code and reason"


def rust_findings(path: str, text: str) -> list[Finding]:
    """Bare relaxations and notes in one Rust file."""
    found: list[Finding] = []
    before = ""
    lines = text.splitlines()
    for number, line in _lines(text):
        if _LATER.search(line):
            found.append(Finding(path, number, "work put off: do it, or file it as an issue"))
        if _ALLOW.match(line) and not _has_reason(lines[number - 1 :], before):
            found.append(Finding(path, number, "a relaxation of a lint without a reason"))
        before = line
    return found


def _has_reason(rest: list[str], before: str) -> bool:
    """Whether the attribute that begins with `rest` says why, or the line before it does."""
    attribute = ""
    for line in rest:
        attribute += line
        if "]" in line:
            break
    comment = before.strip().startswith("//") and not before.strip().startswith(("///", "//!"))
    return "reason =" in attribute or "//" in attribute or comment


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.splitlines(), start=1)


if __name__ == "__main__":
    found = [one for file in python_files("src", "tests", "tools", "bench") for one in python_findings(*file)]
    found += [one for file in rust_files("dataplane", "bench") for one in rust_findings(*file)]
    conclude("check_reasons", found)
