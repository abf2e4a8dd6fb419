"""The Rust crates keep to their places."""

from pathlib import Path

import pytest

from check_crates import core_findings, main_findings, serde_findings, unsafe_findings, version_findings


def test_a_crate_that_core_may_not_use_is_found() -> None:
    tree = "pinfold-core v0.1.0 (/x)\nmemchr v2.8.3\ntokio v1.50.0\n"
    assert [finding.what.partition(";")[0] for finding in core_findings(tree)] == ["core may not depend on tokio"]


def test_the_crates_that_core_may_use_are_clean() -> None:
    assert core_findings("pinfold-core v0.1.0 (/x)\nhttparse v1.10.1\n\npinfold-wire v0.1.0 (/y)\n") == []


@pytest.mark.parametrize(("text", "count"), [("#![forbid(unsafe_code)]\n", 0), ("// #![forbid(unsafe_code)]\n", 1)])
def test_a_crate_that_does_not_forbid_unsafe_code_is_found(text: str, count: int) -> None:
    assert len(unsafe_findings("dataplane/core/src/lib.rs", text)) == count


@pytest.mark.parametrize("line", ["use serde::Deserialize;", "#[derive(Serialize)]", "serde_json::to_string(&a)"])
def test_serde_is_found_everywhere_but_in_wire(line: str) -> None:
    assert len(serde_findings("dataplane/core/src/a.rs", line)) == 1
    assert serde_findings("dataplane/wire/src/a.rs", line) == []


def test_a_main_that_is_no_table_of_contents_is_found() -> None:
    assert main_findings("dataplane/shim/src/main.rs", "\n" * 120) == []
    assert len(main_findings("dataplane/shim/src/main.rs", "\n" * 121)) == 1


@pytest.mark.parametrize(("cargo", "count"), [("1.2.3", 0), ("1.2.4", 1)])
def test_two_versions_are_found(cargo: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "src/pinfold").mkdir(parents=True)
    (tmp_path / "src/pinfold/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "Cargo.toml").write_text(f'[workspace.package]\nversion = "{cargo}"\n')
    assert len(version_findings(tmp_path)) == count
