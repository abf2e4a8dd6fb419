"""What a check found, how it is printed, and which files the checks read. Shared by the check_*.py scripts."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Finding", "conclude", "python_files", "rust_files"]

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One breach of a rule; `path` is relative to the checkout, `line` counts from 1."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def python_files(*folders: str, root: Path = ROOT) -> list[tuple[str, str]]:
    """Path (relative to `root`) and text of each Python file below the folders."""
    return _files("*.py", folders, root)


def rust_files(*folders: str, root: Path = ROOT) -> list[tuple[str, str]]:
    """Path (relative to `root`) and text of each Rust file below the folders, without build results."""
    return _files("*.rs", folders, root)


def _files(pattern: str, folders: Iterable[str], root: Path) -> list[tuple[str, str]]:
    paths = sorted(path for folder in folders for path in (root / folder).rglob(pattern) if "target" not in path.parts)
    return [(str(path.relative_to(root)), path.read_text(encoding="utf-8")) for path in paths]


def conclude(name: str, findings: Iterable[Finding]) -> None:
    """Print the findings and end the script: exit 1 if there are any, else 0."""
    listed = sorted(findings)
    for finding in listed:
        print(finding)
    print(f"{name}: {f'{len(listed)} found' if listed else 'clean'}")
    sys.exit(1 if listed else 0)
