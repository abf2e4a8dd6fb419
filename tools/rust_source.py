"""Just enough of Rust to count: text without comments and strings, functions, blocks, names that are given.

It is no parser: it finds its way by keywords and brackets in formatted code, which rustfmt guarantees.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Function", "functions", "given_names", "line_of", "matching", "scrub", "without_tests"]

_TOKEN = re.compile(
    r"""
      (?P<comment>//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>\bb?r(?P<hashes>\#*)")
    | (?P<string>b?"(?:\\.|[^"\\])*")
    | (?P<char>b?'(?:\\(?:u\{[0-9a-fA-F_]+\}|x[0-9a-fA-F]{2}|.)|[^'\\\n])')
    """,
    re.VERBOSE | re.DOTALL,
)
_FUNCTION = re.compile(r"\bfn\s+(?P<name>\w+)")
_TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{")
_CONTROL = re.compile(r"\b(?:if|for|while|loop|match)\b")
_OPENERS = {"(": ")", "{": "}", "[": "]"}
_GIVEN = re.compile(
    r"\b(?:struct|enum|union|trait|type|mod|const|static|macro_rules!)\s+(?:mut\s+)?(?P<item>\w+)"
    r"|\bfn\s+(?P<function>\w+)"
    r"|\blet\s+(?:mut\s+)?(?P<variable>[a-z_]\w*)"
    r"|\bfor\s+(?P<turn>[a-z_]\w*)\s+in\b"
    r"|\bas\s+(?P<alias>\w+)\s*[;,}]"
    r"|(?<![\w:.])(?P<field>[a-z_]\w*)\s*:(?!:)"
    r"|\|(?:&|mut\s)*(?P<closure>[a-z_]\w*)\|"
    r"|^\s+(?P<variant>[A-Z]\w*)\s*(?:[,{=]|\([^()]*\),$)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a body; `nesting` counts control blocks inside one another, `parameters` leaves self out."""

    name: str
    line: int
    lines: int
    parameters: int
    nesting: int


def scrub(text: str) -> str:
    """The text with comments, strings and characters blanked; every line break and position stays."""
    pieces: list[str] = []
    position = 0
    while token := _TOKEN.search(text, position):
        end = _end(text, token)
        pieces += [text[position : token.start()], re.sub(r"[^\n]", " ", text[token.start() : end])]
        position = end
    return "".join([*pieces, text[position:]])


def _end(text: str, token: re.Match[str]) -> int:
    if token["raw"]:
        closing = text.find('"' + token["hashes"], token.end())
        return len(text) if closing < 0 else closing + 1 + len(token["hashes"])
    if not token["block"]:
        return token.end()
    depth = 0
    for edge in re.compile(r"/\*|\*/").finditer(text, token.start()):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def without_tests(text: str) -> str:
    """Scrubbed text with the bodies of `#[cfg(test)]` modules taken out; positions before them stay."""
    while found := _TEST_MODULE.search(text):
        text = text[: found.start()] + text[matching(text, found.end() - 1) + 1 :]
    return text


def matching(text: str, opener: int) -> int:
    """Position of the bracket that closes the one at `opener`; the end of the text if none does."""
    depth = 0
    closer = _OPENERS[text[opener]]
    for position in range(opener, len(text)):
        if text[position] == text[opener]:
            depth += 1
        elif text[position] == closer:
            depth -= 1
            if depth == 0:
                return position
    return len(text)


def line_of(text: str, position: int) -> int:
    """Number of the line a position is on, from 1."""
    return text.count("\n", 0, position) + 1


def functions(text: str) -> Iterator[Function]:
    """Every function with a body in scrubbed text."""
    for found in _FUNCTION.finditer(text):
        opener = text.find("(", found.end())
        closer = matching(text, opener) if opener >= 0 else len(text)
        body = re.compile(r"[{;]").search(text, closer)
        if body is None or body[0] == ";":
            continue
        end = matching(text, body.start())
        first = line_of(text, found.start())
        yield Function(
            name=found["name"],
            line=first,
            lines=line_of(text, end) - first + 1,
            parameters=_parameters(text[opener + 1 : closer]),
            nesting=_nesting(text[body.start() + 1 : end]),
        )


def _parameters(inside: str) -> int:
    """Parameters in the text between the parentheses, by the commas outside of inner brackets."""
    depth, count, word = 0, 0, ""
    for sign in inside.replace("->", "  ") + ",":
        if sign == "," and depth == 0:
            count += bool(word.strip()) and not re.fullmatch(r"\s*&?\s*('\w+\s+)?(mut\s+)?self\b.*", word, re.DOTALL)
            word = ""
            continue
        depth += (sign in "([{<") - (sign in ")]}>")
        word += sign
    return count


def _nesting(body: str) -> int:
    """Most control blocks inside one another; an `else` stands beside its `if`."""
    deepest, start = 0, 0
    blocks: list[bool] = []
    for position, sign in enumerate(body):
        if sign == "{":
            blocks.append(bool(_CONTROL.search(body, start, position)) or body[start:position].strip() == "else")
            deepest = max(deepest, sum(blocks))
        elif sign == "}" and blocks:
            blocks.pop()
        if sign in "{};,":
            start = position + 1
    return deepest


def given_names(text: str) -> Iterator[tuple[str, str, int]]:
    """Names that scrubbed text gives (not those it merely uses): kind of the name, the name, its line."""
    for found in _GIVEN.finditer(text):
        kind = str(found.lastgroup)
        yield kind, found[kind], line_of(text, found.start(kind))
