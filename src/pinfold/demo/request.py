"""Requests of the demo program: heads as they came, bodies as checksum and length.

It owns the reading of HTTP/1.1 from a buffered file and keeps no body. It knows nothing of sockets, paths or answers.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, urlsplit

__all__ = ["MalformedRequestError", "Request", "read_request"]

LINE_BYTES: Final = 65536
"""Longest request line, header line or chunk size line."""
HEADERS: Final = 1000
"""Most header lines of a request."""
PIECE_BYTES: Final = 65536
"""Most bytes of a body held at a time."""

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}\Z")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")


class MalformedRequestError(Exception):
    """What came is no request; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read to the end."""

    method: str
    target: str
    """As it stood on the request line."""
    version: str
    """`HTTP/1.1` or `HTTP/1.0`."""
    headers: tuple[tuple[str, str], ...]
    """As they came: order, case and repetitions kept."""
    body_bytes: int
    body_sha256: str

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the target's query; the last of a name counts."""
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the answer; never in HTTP/1.0."""
        return self.version != "HTTP/1.0" and "close" not in find(self.headers, "connection").lower()


def read_request(reader: BinaryIO, send: Callable[[bytes], None]) -> Request | None:
    """The next request, or None when the peer is done; `send` carries a `100 Continue` that the peer waits for.

    Raises:
        MalformedRequestError: it is none, or it ends too early.
        OSError: the connection broke.
    """
    line = _line(reader, ends=True)
    if line is None:
        return None
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise MalformedRequestError(f"no request line: {line[:80]!r}")
    headers = tuple(_headers(reader))
    if find(headers, "expect").lower() == "100-continue":
        send(b"HTTP/1.1 100 Continue\r\n\r\n")
    length, digest = 0, hashlib.sha256()
    for piece in _body(reader, headers):
        length += len(piece)
        digest.update(piece)
    return Request(words[0], words[1], words[2], headers, length, digest.hexdigest())


def find(headers: tuple[tuple[str, str], ...], name: str) -> str:
    """All values of a header joined by commas; empty when it did not come."""
    return ", ".join(value for key, value in headers if key.lower() == name)


def _line(reader: BinaryIO, *, ends: bool = False) -> bytes | None:
    """The next line without its end; None at the end of input, if input may `end` here."""
    line = reader.readline(LINE_BYTES)
    if not line and ends:
        return None
    if not line.endswith(b"\r\n"):
        raise MalformedRequestError(f"a line without its end: {line[:80]!r}")
    return line[:-2]


def _headers(reader: BinaryIO) -> Iterator[tuple[str, str]]:
    for _ in range(HEADERS):
        line = _line(reader)
        if not line:
            return
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise MalformedRequestError(f"no header: {line[:80]!r}")
        yield name, value.strip(" \t")
    raise MalformedRequestError(f"more than {HEADERS} headers")


def _body(reader: BinaryIO, headers: tuple[tuple[str, str], ...]) -> Iterator[bytes]:
    coding, length = find(headers, "transfer-encoding"), find(headers, "content-length")
    if coding:
        if coding.lower() != "chunked" or length:
            raise MalformedRequestError(f"body with transfer-encoding {coding!r} and content-length {length!r}")
        yield from _chunks(reader)
    elif length:
        if not _LENGTH.match(length):
            raise MalformedRequestError(f"content-length {length!r}")
        yield from _exactly(reader, int(length))


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while True:
        line = _line(reader) or b""
        size = line.split(b";")[0].strip()
        if not _CHUNK_SIZE.match(size):
            raise MalformedRequestError(f"chunk size {line[:80]!r}")
        if int(size, 16) == 0:
            for _ in _headers(reader):
                pass
            return
        yield from _exactly(reader, int(size, 16))
        if _line(reader) != b"":
            raise MalformedRequestError("a chunk longer than its size")


def _exactly(reader: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0:
        piece = reader.read(min(length, PIECE_BYTES))
        if not piece:
            raise MalformedRequestError(f"the body ended {length} bytes early")
        length -= len(piece)
        yield piece
