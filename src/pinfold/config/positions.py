"""Where each key of a TOML text stands. `tomllib` gives values without positions; tree-sitter gives the positions."""

from collections.abc import Iterator

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from pinfold.base.errors import Place

__all__ = ["Path", "Positions"]

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the config."""


class Positions:
    """The place of every key, and of every element of a list of tables."""

    def __init__(self, file: str, text: str) -> None:
        """Read the positions of `text`, which is valid TOML; without a file nothing has a place."""
        self._file = file
        self._lines = text.encode().split(b"\n")
        self._places: dict[Path, Place] = {}
        tree = Parser(Language(tree_sitter_toml.language())).parse(text.encode())
        counts: dict[Path, int] = {}
        for node in tree.root_node.children:
            match node.type:
                case "pair":
                    self._pair((), node)
                case "table":
                    self._table(_key(node.children[1]), node)
                case "table_array_element":
                    key = _key(node.children[1])
                    index = counts[key] = counts.get(key, -1) + 1
                    self._table((*key, index), node)

    def at(self, path: Path) -> Place | None:
        """The place of `path`, or of the nearest part above it that is written down; None without a file."""
        if not self._file:
            return None
        for end in range(len(path), 0, -1):
            if (place := self._places.get(path[:end])) is not None:
                return place
        return Place(self._file, 1, 1)

    def _table(self, path: Path, node: Node) -> None:
        self._note(path, node.children[1])
        for child in node.children:
            if child.type == "pair":
                self._pair(path, child)

    def _pair(self, above: Path, node: Node) -> None:
        path = (*above, *_key(node.children[0]))
        self._note(path, node.children[0])
        self._value(path, node.children[-1])

    def _value(self, path: Path, node: Node) -> None:
        if node.type == "inline_table":
            for child in node.children:
                if child.type == "pair":
                    self._pair(path, child)
        elif node.type == "array":
            for index, child in enumerate(_elements(node)):
                self._note((*path, index), child)
                self._value((*path, index), child)

    def _note(self, path: Path, node: Node) -> None:
        row, byte = node.start_point
        column = len(self._lines[row][:byte].decode(errors="replace"))
        for end in range(1, len(path) + 1):
            self._places.setdefault(path[:end], Place(self._file, row + 1, column + 1))


def _elements(array: Node) -> Iterator[Node]:
    return (child for child in array.children if child.is_named and child.type != "comment")


def _key(node: Node) -> tuple[str, ...]:
    if node.type == "dotted_key":
        return tuple(part for child in node.children if child.is_named for part in _key(child))
    text = (node.text or b"").decode()
    return (text[1:-1] if node.type == "quoted_key" else text,)
