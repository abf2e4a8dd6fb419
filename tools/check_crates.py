"""Holds the Rust crates to their places: what core may use, where unsafe and serde may be, one version everywhere."""

import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

from findings import ROOT, Finding, conclude, rust_files
from rust_source import scrub

__all__ = ["CORE_MAY_USE", "core_findings", "main_findings", "serde_findings", "unsafe_findings", "version_findings"]

CORE_MAY_USE = frozenset({"httparse", "memchr", "pinfold-core", "pinfold-wire"})
"""Crates that decisions may be made with; those below pinfold-wire are the wire's own affair."""
SAFE = ("dataplane/core/src/lib.rs", "dataplane/wire/src/lib.rs")
"""Roots of the crates that must forbid unsafe code."""
MAIN_LINES = 120
"""A main is a table of contents."""


def core_findings(tree: str) -> list[Finding]:
    """Crates in the output of `cargo tree -p pinfold-core --prefix none -f {p}` that are not on the list."""
    names = {line.split()[0] for line in tree.splitlines() if line.strip()}
    return [
        Finding("dataplane/core/Cargo.toml", 1, f"core may not depend on {name}; CORE_MAY_USE lists what it may")
        for name in sorted(names - CORE_MAY_USE)
    ]


def unsafe_findings(path: str, text: str) -> list[Finding]:
    """A crate root that does not forbid unsafe code."""
    if "#![forbid(unsafe_code)]" in scrub(text):
        return []
    return [Finding(path, 1, "#![forbid(unsafe_code)] is missing")]


def serde_findings(path: str, text: str) -> list[Finding]:
    """Uses of serde outside the crate of the messages."""
    if path.startswith("dataplane/wire/"):
        return []
    uses = ((number, line) for number, line in enumerate(scrub(text).splitlines(), start=1))
    return [
        Finding(path, number, "serde is for dataplane/wire only: domain types know no wire format")
        for number, line in uses
        if re.search(r"\bserde(_json)?\b|\b(De)?[Ss]erialize\b", line)
    ]


def main_findings(path: str, text: str) -> list[Finding]:
    """A main that does more than list the steps."""
    lines = text.count("\n")
    return [Finding(path, 1, f"main has {lines} lines, at most {MAIN_LINES}")] if lines > MAIN_LINES else []


def version_findings(root: Path) -> list[Finding]:
    """The version is written in src/pinfold/__init__.py; Cargo.toml must say the same."""
    text = (root / "src/pinfold/__init__.py").read_text(encoding="utf-8")
    python = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    cargo = tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]
    if python is not None and python[1] == cargo:
        return []
    return [Finding("Cargo.toml", 1, f"version {cargo}, but src/pinfold/__init__.py says {python and python[1]}")]


def _tree() -> str:
    # What wire brings (serde, to speak on the seam) is its own affair.
    command = ["cargo", "tree", "--locked", "-p", "pinfold-core", "-e", "normal,build", "--prefix", "none", "-f", "{p}"]
    ended = subprocess.run([*command, "--prune", "pinfold-wire"], cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"cargo tree failed:\n{ended.stderr}")
    return ended.stdout


def _all(files: Iterable[tuple[str, str]]) -> list[Finding]:
    found = core_findings(_tree()) + version_findings(ROOT)
    for path, text in files:
        found += serde_findings(path, text)
        if path in SAFE:
            found += unsafe_findings(path, text)
        if path.endswith("/src/main.rs"):
            found += main_findings(path, text)
    return found


if __name__ == "__main__":
    conclude("check_crates", _all(rust_files("dataplane")))
