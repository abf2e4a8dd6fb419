"""HTTP/1.1 read byte by byte from a socket, by rules of our own: what came is kept exactly as it came.

Used on both ends of a proxy under test: by clients that send what no library would, and by scripted endpoints.
"""

import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from support.client import Target

__all__ = ["Message", "TruncatedError", "Wire", "dial", "talk"]


class TruncatedError(Exception):
    """The peer closed in the middle of a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: the head exactly as it came, its empty line included, and the body without framing."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        """The request line or the status line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.line.split(" ")[1])

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields in order, names as they came."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def values(self, name: str) -> list[str]:
        """The values of every field of this name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def json(self) -> Any:  # noqa: ANN401 - a test knows what it asked for
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """One end of a connection; `received` is every byte that ever came. Reads raise TimeoutError in silence."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.received = bytearray()
        self._taken = 0

    def send(self, *pieces: bytes) -> Self:
        """Write the pieces, each by a call of its own."""
        for piece in pieces:
            self.raw.sendall(piece)
        return self

    def end_sending(self) -> None:
        """Close the direction away from here."""
        self.raw.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it in both directions, also while another thread reads from it."""
        with contextlib.suppress(OSError):
            self.raw.shutdown(socket.SHUT_RDWR)
        self.raw.close()

    def reset(self) -> None:
        """Close it by a reset where the family has one; a unix socket with unread bytes resets by itself."""
        with contextlib.suppress(OSError):
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _more(self) -> bool:
        piece = self.raw.recv(262_144)
        self.received += piece
        return bool(piece)

    def _take(self, count: int) -> bytes:
        taken = bytes(self.received[self._taken : self._taken + count])
        self._taken += count
        return taken

    @property
    def pending(self) -> bytes:
        """What came and was not asked for yet."""
        return bytes(self.received[self._taken :])

    def take_pending(self) -> bytes:
        """What came and was not asked for yet, which is asked for now."""
        return self._take(len(self.received) - self._taken)

    def read_through(self, mark: bytes) -> bytes:
        """Everything through the mark; empty when the peer closed before the first byte.

        Raises:
            TruncatedError: the peer closed before the mark.
        """
        while (at := self.received.find(mark, self._taken)) < 0:
            if not self._more():
                if self.pending:
                    raise TruncatedError(self.pending)
                return b""
        return self._take(at + len(mark) - self._taken)

    def read_exactly(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            TruncatedError: the peer closed before.
        """
        while len(self.received) - self._taken < count:
            if not self._more():
                raise TruncatedError(self.pending)
        return self._take(count)

    def read_rest(self) -> bytes:
        """Everything until the peer closes; a reset is an end too."""
        with contextlib.suppress(ConnectionResetError):
            while self._more():
                pass
        return self._take(len(self.received) - self._taken)

    def read_head(self) -> bytes:
        """The next head, its empty line included; empty when the peer closed instead."""
        return self.read_through(b"\r\n\r\n")

    def read_request(self) -> Message | None:
        """The next request; None when the peer closed instead."""
        head = self.read_head()
        return Message(head, self.read_body(Message(head))) if head else None

    def read_body(self, message: Message) -> bytes:
        """The body of a message whose end its head announces; none when it announces none."""
        if "chunked" in [value.lower() for value in message.values("transfer-encoding")]:
            return self._chunks()
        return self.read_exactly(sum(int(value) for value in message.values("content-length")))

    def read_answer(self, method: str = "GET") -> Message:
        """The next answer, be it an interim one; an unannounced body goes on until the peer closes.

        Raises:
            TruncatedError: the peer closed before the end of it, or instead of it.
        """
        head = self.read_head()
        if not head:
            raise TruncatedError(b"")
        answer = Message(head)
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return answer
        framed = answer.values("content-length") or answer.values("transfer-encoding")
        return Message(head, self.read_body(answer) if framed else self.read_rest())

    def _chunks(self) -> bytes:
        pieces = []
        while size := int(self.read_through(b"\r\n").partition(b";")[0], 16):
            pieces.append(self.read_exactly(size))
            assert self.read_exactly(2) == b"\r\n"
        while self.read_through(b"\r\n") != b"\r\n":
            pass
        return b"".join(pieces)

    def closed_within(self, seconds: float) -> bool:
        """Whether the peer closes within so many seconds; what it sends until then is kept."""
        until, before = time.monotonic() + seconds, self.raw.gettimeout()
        try:
            while (left := until - time.monotonic()) > 0:
                self.raw.settimeout(left)
                if not self._more():
                    return True
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self.raw.settimeout(before)
        return False


def dial(target: Target, deadline: float = 10.0) -> Wire:
    """A connection to a target."""
    return Wire(target.connect(deadline))


def talk(target: Target, sent: bytes, method: str = "GET") -> Message:
    """Send bytes on a connection of their own and read one answer."""
    with dial(target) as wire:
        return wire.send(sent).read_answer(method)
