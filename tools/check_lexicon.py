"""Refuses names that LEXICON.md bans. The tables of that page are the only list: this file holds none.

Judged are the names the code gives, in src and in dataplane, not those it uses: what a library calls its own is its
own affair. Names that must be given all the same stand in the page's second table, with a reason.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from findings import ROOT, Finding, conclude, python_files, rust_files
from rust_source import given_names, scrub, without_tests

__all__ = ["Law", "parse_law", "python_findings", "rust_findings"]

_CELL = re.compile(r"^\|(?P<first>[^|]+)\|(?P<second>[^|]*)")
_NAME = re.compile(r"`([^`]+)`")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class Law:
    """Words banned anywhere, words banned as a function's first, and names allowed all the same.

    An allowed name may stand behind a path and a colon: then it is allowed in files whose path begins so.
    """

    words: frozenset[str]
    verbs: frozenset[str]
    allowed: frozenset[str]

    def breach(self, name: str, path: str, *, function: bool) -> str | None:
        """The banned word in a name that the file at `path` gives, if there is one."""
        if self._allows(name, path):
            return None
        parts = [part.lower() for part in _PART.findall(name)]
        if function and len(parts) > 1 and parts[0] in self.verbs:
            return f"{parts[0]}_*"
        return next((part for part in parts if part in self.words or part.removesuffix("s") in self.words), None)

    def _allows(self, name: str, path: str) -> bool:
        places = (entry.rpartition(":") for entry in self.allowed)
        return any(name == allowed and path.startswith(place) for place, _, allowed in places)


def parse_law(page: str) -> Law:
    """The law in the text of LEXICON.md.

    Raises:
        ValueError: a table is missing or empty, or a name is allowed without a reason.
    """
    banned = {name for names, _ in _rows(page, "Not used") for name in names}
    allowed = _rows(page, "Allowed all the same")
    if bare := [names for names, reason in allowed if not reason]:
        raise ValueError(f"allowed without a reason: {bare}")
    return Law(
        words=frozenset(word for word in banned if not word.endswith("_*")),
        verbs=frozenset(word.removesuffix("_*") for word in banned if word.endswith("_*")),
        allowed=frozenset(name for names, _ in allowed for name in names),
    )


def _rows(page: str, heading: str) -> list[tuple[list[str], str]]:
    """The names in the first cells of the table below a heading, each row with its second cell."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [cell for line in section.splitlines() if (cell := _CELL.match(line))]
    rows = [(names, cell["second"].strip()) for cell in cells if (names := _NAME.findall(cell["first"]))]
    if not rows:
        raise ValueError(f"LEXICON.md has no table under {heading!r}")
    return rows


def python_findings(path: str, text: str, law: Law) -> list[Finding]:
    """Banned names that one Python file gives, its own among them."""
    names = [("module", PurePath(path).stem, 1), *_given(ast.parse(text))]
    return _judged(path, names, law)


def rust_findings(path: str, text: str, law: Law) -> list[Finding]:
    """Banned names that one Rust file gives, its own among them; test modules do not count."""
    names = [("module", PurePath(path).stem, 1), *given_names(without_tests(scrub(text)))]
    return _judged(path, names, law)


def _judged(path: str, names: list[tuple[str, str, int]], law: Law) -> list[Finding]:
    found = set()
    for kind, name, line in names:
        if word := law.breach(name, path, function=kind == "function"):
            found.add(Finding(path, line, f"{kind} {name!r}: {word!r} is not a word of ours, see LEXICON.md"))
    return sorted(found)


def _given(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield "function", name, node.lineno
            case ast.ClassDef(name=name):
                yield "class", name, node.lineno
            case ast.arg(arg=name):
                yield "parameter", name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()):
                yield "variable", name, node.lineno
            case ast.Attribute(attr=name, value=ast.Name(id="self"), ctx=ast.Store()):
                yield "field", name, node.lineno
            case ast.alias(asname=str(name)):
                yield "alias", name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield "variable", name, node.lineno
            case _:
                continue


if __name__ == "__main__":
    law = parse_law((ROOT / "LEXICON.md").read_text(encoding="utf-8"))
    found = [one for file in python_files("src", "tests/support", "bench") for one in python_findings(*file, law)]
    found += [one for file in rust_files("dataplane", "bench") for one in rust_findings(*file, law)]
    conclude("check_lexicon", found)
