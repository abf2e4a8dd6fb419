"""The check of words takes its law from the page and judges the names that code gives."""

import pytest

from check_lexicon import Law, parse_law, python_findings, rust_findings
from findings import ROOT

PAGE = """
## Not used

| word | instead |
|---|---|
| `server`, `data` | endpoint |
| `get_*` | the noun |

## Allowed all the same

| name | reason |
|---|---|
| `server_name` | RFC 6066 |
| `src/tree/:data` | the library's word |

## Abbreviations
"""


@pytest.fixture
def law() -> Law:
    return parse_law(PAGE)


@pytest.mark.parametrize(
    "text",
    [
        "class HTTPServer: ...",
        "def get_size(): ...",
        "def start(servers): ...",
        "data = 1",
        "for data in a: ...",
        "self.body_data = 1",
        "import a as server",
        "class A:\n    data: int",
        "with a as data: ...",
        "try: ...\nexcept A as data: ...",
    ],
)
def test_python_that_gives_a_banned_name_is_found(text: str, law: Law) -> None:
    assert len(python_findings("a.py", text, law)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "uvicorn.Server(a.data, server=b)",
        "def size(): return a.get_size()",
        "server_name = 1",
        "class Dataplane: ...",
        "getter = 1",
        "get_size = 1",
        "'a server'  # a server",
    ],
)
def test_python_that_only_uses_a_name_is_clean(text: str, law: Law) -> None:
    assert python_findings("a.py", text, law) == []


@pytest.mark.parametrize(
    "text",
    [
        "struct Server;",
        "fn get_size() {}",
        "fn a(data: u8) {}",
        "struct A {\n    data: u8,\n}",
        "enum A {\n    Server,\n}",
        "enum A {\n    Data(u8),\n}",
        "let mut data = 1;",
        "for data in a {}",
        "use a::B as Server;",
        "a.map(|data| 1)",
    ],
)
def test_rust_that_gives_a_banned_name_is_found(text: str, law: Law) -> None:
    assert len(rust_findings("a.rs", text, law)) == 1


@pytest.mark.parametrize(
    "text",
    ["use rustls::Server;", "a.get_size(b.data)", "// struct Server", 'a("struct Server")', "server::new(data::X)"],
)
def test_rust_that_only_uses_a_name_is_clean(text: str, law: Law) -> None:
    assert rust_findings("a.rs", text, law) == []


@pytest.mark.parametrize("path", ["a/server.py", "a/data.py"])
def test_a_module_has_a_name_too(path: str, law: Law) -> None:
    assert len(python_findings(path, "", law)) == 1


@pytest.mark.parametrize(("path", "count"), [("src/tree/a.py", 0), ("src/other/a.py", 1)])
def test_a_name_allowed_in_one_place_is_found_elsewhere(path: str, count: int, law: Law) -> None:
    assert len(python_findings(path, "data = 1", law)) == count


def test_a_page_without_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        parse_law("# Words\n")


def test_a_name_allowed_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        parse_law(PAGE.replace("RFC 6066", ""))


def test_the_page_of_this_project_bans_what_it_should() -> None:
    law = parse_law((ROOT / "LEXICON.md").read_text(encoding="utf-8"))
    assert {"backend", "context", "ctx", "manager", "server", "upstream", "worker"} <= law.words
    assert {"do", "get", "process"} <= law.verbs
