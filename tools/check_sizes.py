"""Holds files and functions small: lines, parameters, nesting. Limits: CONTRIBUTING.md.

A file that must be larger says so on its first line, with a reason of three words or more:
`# oversize file, parameters: why` (`// oversize ...` in Rust). What is exempt: file, function, parameters, nesting.
An exemption that is not needed is a finding too.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from findings import Finding, conclude, python_files, rust_files
from rust_source import functions, scrub, without_tests

__all__ = ["PYTHON", "RUST", "TESTS", "Limits", "python_findings", "rust_findings"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Lines of a file and of a function, parameters without self, control blocks inside one another."""

    file: int
    function: int
    parameters: int
    nesting: int


PYTHON = Limits(file=450, function=50, parameters=5, nesting=3)
TESTS = Limits(file=450, function=50, parameters=6, nesting=4)
"""A test may walk through every combination, and asks for many fixtures."""
RUST = Limits(file=500, function=60, parameters=6, nesting=3)

_EXEMPTION = re.compile(r"(?:#|//)\s*oversize\s+(?P<kinds>[a-z, ]+):(?P<reason>.*)")
_Block = ast.If | ast.For | ast.AsyncFor | ast.While | ast.Try | ast.TryStar | ast.Match
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Breach = tuple[str, int, str]
"""What is too large (`file`, `function` ...), on which line, in words."""


def python_findings(path: str, text: str, limits: Limits = PYTHON) -> list[Finding]:
    """Breaches of the limits in one Python file."""
    return _judged(path, text, list(_python_breaches(text, limits)))


def rust_findings(path: str, text: str, limits: Limits = RUST) -> list[Finding]:
    """Breaches of the limits in one Rust file; its test modules do not count."""
    return _judged(path, text, list(_rust_breaches(text, limits)))


def _judged(path: str, text: str, breaches: list[_Breach]) -> list[Finding]:
    """The breaches without those that the first line exempts, with those of the first line itself."""
    first = text.partition("\n")[0]
    exemption = _EXEMPTION.match(first)
    if exemption is None:
        return [Finding(path, line, what) for _, line, what in breaches]
    exempt = {kind.strip() for kind in exemption["kinds"].split(",")}
    unneeded = exempt - {kind for kind, _, _ in breaches}
    found = [Finding(path, line, what) for kind, line, what in breaches if kind not in exempt]
    if len(exemption["reason"].split()) < 3:
        found.append(Finding(path, 1, "an exemption without a reason"))
    return found + [Finding(path, 1, f"nothing here needs the exemption {kind!r}") for kind in sorted(unneeded)]


def _python_breaches(text: str, limits: Limits) -> Iterator[_Breach]:
    yield from _over("file", 1, "the file", text.count("\n"), limits.file, "lines")
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, _Function):
            name, line = f"{function.name}()", function.lineno
            length = (function.end_lineno or line) - line + 1
            yield from _over("function", line, name, length, limits.function, "lines")
            yield from _over("parameters", line, name, _parameters(function), limits.parameters, "parameters")
            yield from _over("nesting", line, name, _depth(function.body), limits.nesting, "blocks in one another")


def _rust_breaches(text: str, limits: Limits) -> Iterator[_Breach]:
    code = without_tests(scrub(text))
    yield from _over("file", 1, "the file", code.count("\n"), limits.file, "lines")
    for function in functions(code):
        name, line = f"{function.name}()", function.line
        yield from _over("function", line, name, function.lines, limits.function, "lines")
        yield from _over("parameters", line, name, function.parameters, limits.parameters, "parameters")
        yield from _over("nesting", line, name, function.nesting, limits.nesting, "blocks in one another")


def _over(kind: str, line: int, name: str, *count: int | str) -> Iterator[_Breach]:
    size, limit, unit = count
    if int(size) > int(limit):
        yield kind, line, f"{name} has {size} {unit}, at most {limit} are allowed"


def _parameters(function: _Function) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    names += [argument.arg for argument in (function.args.vararg, function.args.kwarg) if argument]
    return len([name for name in names if name not in ("self", "cls")])


def _depth(body: list[ast.stmt]) -> int:
    """Most control blocks inside one another; functions and classes within start anew, `elif` stands beside `if`."""
    return max((_depth_of(statement) for statement in body), default=0)


def _depth_of(statement: ast.stmt) -> int:
    if isinstance(statement, _Function | ast.ClassDef):
        return 0
    own = int(isinstance(statement, _Block))
    inner = [_depth(branch) for branch in _branches(statement)]
    beside = [_depth_of(statement.orelse[0]) - 1] if _is_elif(statement) else []  # type: ignore[attr-defined]  # If
    return own + max([0, *inner, *beside])


def _is_elif(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and len(statement.orelse) == 1 and isinstance(statement.orelse[0], ast.If)


def _branches(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "finalbody") if _is_elif(statement) else ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for name in ("handlers", "cases"):
        for part in getattr(statement, name, []):
            yield part.body


if __name__ == "__main__":
    found = [one for file in python_files("src", "tools", "bench") for one in python_findings(*file)]
    found += [one for file in python_files("tests") for one in python_findings(*file, TESTS)]
    found += [one for file in rust_files("dataplane", "bench") for one in rust_findings(*file)]
    conclude("check_sizes", found)
