"""The check of sizes sees what is too large, and what is said to be."""

import pytest

from check_sizes import Limits, python_findings, rust_findings

SMALL = Limits(file=12, function=4, parameters=2, nesting=1)

LONG = "def long() -> None:\n" + "    a = 1\n" * 4
MANY = "def many(self, a, b, *, c):\n    pass\n"
DEEP = "def deep():\n    for a in b:\n        if a:\n            pass\n"
LADDER = "def ladder():\n    if a:\n        pass\n    elif b:\n        pass\n"


def found(text: str) -> list[str]:
    return [finding.what for finding in python_findings("a.py", text, SMALL)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a = 1\n" * 13, "the file has 13 lines"),
        (LONG, "long() has 5 lines"),
        (MANY, "many() has 3 parameters"),
        (DEEP, "deep() has 2 blocks in one another"),
    ],
)
def test_python_over_a_limit_is_found(text: str, what: str) -> None:
    assert [one.partition(",")[0] for one in found(text)] == [what]


def test_python_within_the_limits_is_clean() -> None:
    assert found("def small(a):\n    if a:\n        return\n") == []


def test_elif_stands_beside_its_if() -> None:
    assert found(LADDER) == ["ladder() has 5 lines, at most 4 are allowed"]


def test_a_function_within_starts_anew() -> None:
    assert found("def a():\n    if b:\n        def c():\n            if d: pass\n") == []


def test_an_exemption_with_a_reason_is_taken() -> None:
    assert found("# oversize function: one long table\n" + LONG) == []


def test_an_exemption_without_a_reason_is_found() -> None:
    assert found("# oversize function: because\n" + LONG) == ["an exemption without a reason"]


def test_an_exemption_of_something_else_does_not_help() -> None:
    what = found("# oversize nesting: one long table\n" + LONG)
    assert what == ["long() has 5 lines, at most 4 are allowed", "nothing here needs the exemption 'nesting'"]


RUST_LONG = "fn long() {\n    a();\n    b();\n    c();\n}\n"
RUST_MANY = "impl X {\n    fn many(&mut self, a: Map<A, B>, b: (u8, u8), c: fn(u8, u8) -> u8) {}\n}\n"
RUST_DEEP = "fn deep() {\n    for a in b {\n        if a {}\n    }\n}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("// a\n" * 13, "the file has 13 lines"),
        (RUST_LONG, "long() has 5 lines"),
        (RUST_MANY, "many() has 3 parameters"),
        (RUST_DEEP, "deep() has 5 lines"),
        (RUST_DEEP, "deep() has 2 blocks in one another"),
    ],
)
def test_rust_over_a_limit_is_found(text: str, what: str) -> None:
    assert what in [one.what.partition(",")[0] for one in rust_findings("a.rs", text, SMALL)]


@pytest.mark.parametrize(
    "text",
    [
        'fn text() { let a = "if { if { if {"; }',
        "fn plain() { let c = '{'; let d: &'a str = e; } // } if {",
        'fn raw() { let a = r#"" { { "#; /* if { /* if { */ */ }',
        "fn ladder() {\n    if a { } else if b { } else { }\n}\n",
        "trait T {\n    fn declared(&self);\n}\n",
    ],
)
def test_rust_within_the_limits_is_clean(text: str) -> None:
    assert rust_findings("a.rs", text, SMALL) == []


def test_a_test_module_of_rust_does_not_count() -> None:
    assert rust_findings("a.rs", "#[cfg(test)]\nmod tests {\n" + RUST_LONG * 4 + "}\n", SMALL) == []
