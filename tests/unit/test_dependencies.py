"""Every dependency has its reason in docs/decisions/0002-dependencies.md."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def explained() -> set[str]:
    page = (ROOT / "docs/decisions/0002-dependencies.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    return {name.strip() for cell in cells for name in cell.split(",")}


def python_dependencies() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    wanted += (ROOT / "requirements-build.in").read_text(encoding="utf-8").splitlines()
    return (re.split(r"[\[>=<]", line)[0] for line in wanted if not line.startswith("#"))


def rust_dependencies() -> Iterator[str]:
    for path in ROOT.glob("dataplane/*/Cargo.toml"):
        crate = tomllib.loads(path.read_text(encoding="utf-8"))
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            yield from (name for name in crate.get(kind, {}) if not name.startswith("pinfold-"))


def test_every_python_dependency_has_its_reason() -> None:
    assert set(python_dependencies()) - explained() == set()


def test_every_rust_dependency_has_its_reason() -> None:
    assert set(rust_dependencies()) - explained() == set()
