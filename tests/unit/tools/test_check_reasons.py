"""Relaxations need a reason, and nothing is put off."""

import pytest

from check_reasons import python_findings, rust_findings


@pytest.mark.parametrize(
    "line",
    [
        "a = 1  # no" + "qa",
        "a = 1  # no" + "qa: E501",
        "a = 1  # type: ig" + "nore",
        "a = 1  # type: ig" + "nore[assignment]",
        "# TO" + "DO: later",
        "# FIX" + "ME",
    ],
)
def test_a_bare_relaxation_in_python_is_found(line: str) -> None:
    assert len(python_findings("a.py", line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "a = 1  # no" + "qa: E501 - the table is wider",
        "a = 1  # no" + "qa: E501, S101 - the table is wider",
        "a = 1  # type: ig" + "nore[assignment]  # the stub is wrong",
        "todo = 1",
    ],
)
def test_a_relaxation_with_a_reason_in_python_is_clean(line: str) -> None:
    assert python_findings("a.py", line) == []


@pytest.mark.parametrize(
    "text",
    [
        "#[allow(dead_code)]",
        "#![allow(clippy::panic)]",
        "    #[expect(clippy::panic)]",
        "#[allow(\n    dead_code,\n)]",
        "/// What it is.\n#[allow(dead_code)]",
        "// TO" + "DO: later",
    ],
)
def test_a_bare_relaxation_in_rust_is_found(text: str) -> None:
    assert len(rust_findings("a.rs", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '#[allow(dead_code, reason = "read by the tests")]',
        '#[allow(\n    dead_code,\n    reason = "read by the tests"\n)]',
        "// Read by the tests.\n#[allow(dead_code)]",
        "#[allow(dead_code)] // read by the tests",
        "#[derive(Debug)]",
    ],
)
def test_a_relaxation_with_a_reason_in_rust_is_clean(text: str) -> None:
    assert rust_findings("a.rs", text) == []
