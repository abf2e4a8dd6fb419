"""Endpoints that answer by script, each script named by its fault, and keep every byte they were sent.

An endpoint listens; every connection to it is played by its script in a thread of its own. A script is a function of
the connection and the endpoint; when it returns, the connection is closed.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from support.ports import free_port
from support.waiting import wait_for
from support.wire import Message, TruncatedError, Wire

__all__ = [
    "OK",
    "Endpoint",
    "Script",
    "StartEndpoint",
    "answering",
    "answering_early",
    "answering_slowly",
    "closing_after",
    "closing_at_once",
    "closing_without_answer",
    "echoing_upgrades",
    "head_and_body",
    "held",
    "naming_itself",
    "refused_address",
    "resetting_after",
    "silent",
    "telling_digest",
]

DEADLINE: Final = 20.0
"""Seconds after which a script gives a silent peer up."""


class Endpoint:
    """An endpoint on a unix socket or, without a path, on a TCP port; for `with`.

    `requests` are those that came in whole, `heads` those whose head came, `connections` every connection ever made.
    """

    def __init__(self, script: "Script", *, path: Path | None = None, name: str = "") -> None:
        self.requests: list[Message] = []
        self.heads: list[bytes] = []
        self.connections: list[Wire] = []
        self.gate = threading.Event()
        """What `held` scripts wait for."""
        self._script = script
        self._open = 0
        self._count = threading.Lock()
        if path is None:
            self._listening = socket.create_server(("127.0.0.1", free_port()), backlog=512)
            self.address = "127.0.0.1:{1}".format(*self._listening.getsockname())
        else:
            self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listening.bind(str(path))
            self._listening.listen(512)
            self.address = f"unix:{path}"
        self.name = name or self.address
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def entry(self) -> dict[str, Any]:
        """How a snapshot names it."""
        return {"name": self.name, "address": self.address, "weight": 1, "mode": "ready"}

    @property
    def open_connections(self) -> int:
        """Connections whose script has not ended."""
        with self._count:
            return self._open

    @property
    def received(self) -> bytes:
        """Every byte of every connection, one after the other."""
        return b"".join(bytes(wire.received) for wire in list(self.connections))

    def wait_requests(self, count: int, deadline: float = 5.0) -> list[Message]:
        """The requests, once so many have come in whole."""
        wait_for(lambda: len(self.requests) >= count, deadline, f"{count} requests at {self.name}")
        return self.requests

    def wait_heads(self, count: int, deadline: float = 5.0) -> list[bytes]:
        """The heads, once so many have come."""
        wait_for(lambda: len(self.heads) >= count, deadline, f"{count} heads at {self.name}")
        return self.heads

    def wait_closed(self, deadline: float = 5.0) -> None:
        """Return once no connection is open."""
        wait_for(lambda: not self.open_connections, deadline, f"the end of all connections of {self.name}")

    def take_head(self, wire: Wire) -> Message | None:
        """The head of the next request on a connection, noted."""
        head = wire.read_head()
        if not head:
            return None
        self.heads.append(head)
        return Message(head)

    def take(self, wire: Wire) -> Message | None:
        """The next whole request on a connection, noted; None when the peer closed."""
        begun = self.take_head(wire)
        if begun is None:
            return None
        request = Message(begun.head, wire.read_body(begun))
        self.requests.append(request)
        return request

    def close(self) -> None:
        """Stop listening and cut every connection; whoever connects from now on is refused."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)
        self._listening.close()
        self.gate.set()
        for wire in self.connections:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            raw.settimeout(DEADLINE)
            wire = Wire(raw)
            self.connections.append(wire)
            with self._count:
                self._open += 1
            threading.Thread(target=self._play, args=(wire,), daemon=True).start()

    def _play(self, wire: Wire) -> None:
        try:
            self._script(wire, self)
        except (OSError, TruncatedError, ValueError):
            pass  # the peer has gone or talks nonsense, which tests see in what was received
        finally:
            wire.close()
            with self._count:
                self._open -= 1


Script = Callable[[Wire, Endpoint], None]
StartEndpoint = Callable[..., Endpoint]
"""The fixture `endpoint`: a script, and a name if it matters."""


def head_and_body(body: bytes = b"ok", *fields: str, status: str = "200 OK") -> bytes:
    """An answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


OK: Final = head_and_body()


def answering(*answers: bytes) -> Script:
    """The answers in turn, the last for ever; the connection is kept open."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        turn = iter(answers)
        answer = b""
        while endpoint.take(wire):
            answer = next(turn, answer)
            wire.send(answer)

    return script


def naming_itself(wire: Wire, endpoint: Endpoint) -> None:
    """200 with the name of the endpoint as body."""
    while endpoint.take(wire):
        wire.send(head_and_body(endpoint.name.encode()))


def telling_digest(wire: Wire, endpoint: Endpoint) -> None:
    """200 with length and SHA-256 of the body, which is not kept, so that it may be large."""
    import hashlib  # noqa: PLC0415 - of this script only, and slow to load

    while head := endpoint.take_head(wire):
        total, early = int(head.values("content-length")[0]), wire.take_pending()
        digest, left = hashlib.sha256(early), total - len(early)
        while left:
            piece = wire.raw.recv(min(left, 262_144))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        wire.send(head_and_body(f"{total} {digest.hexdigest()}".encode()))


def answering_slowly(*pieces: bytes, pause: float) -> Script:
    """One answer in pieces, with a pause before each."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire):
            for piece in pieces:
                time.sleep(pause)
                wire.send(piece)

    return script


def held(answer: bytes = OK) -> Script:
    """The answer, once the gate of the endpoint is open."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire):
            endpoint.gate.wait(DEADLINE)
            wire.send(answer)

    return script


def answering_early(answer: bytes) -> Script:
    """The answer as soon as the head is there, the body unread; then the connection is held open."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take_head(wire):
            wire.send(answer)
            wire.read_rest()

    return script


def closing_after(answer: bytes = OK) -> Script:
    """One answer, be it whole, truncated or malformed; then it closes."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take(wire):
            wire.send(answer)

    return script


def closing_without_answer(wire: Wire, endpoint: Endpoint) -> None:
    """Closes when the request has come."""
    endpoint.take(wire)


def closing_at_once(_wire: Wire, _endpoint: Endpoint) -> None:
    """Closes as soon as it has accepted."""


def resetting_after(sent: bytes = b"") -> Script:
    """Sends part of an answer when the request has come, then resets."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take(wire):
            if sent:
                wire.send(sent)
                time.sleep(0.05)  # a reset may overtake bytes that were not read yet
            wire.reset()

    return script


def silent(wire: Wire, endpoint: Endpoint) -> None:
    """Reads and never answers."""
    while endpoint.take(wire):
        pass


def echoing_upgrades(*, behind: bytes = b"") -> Script:
    """Switches to a protocol that sends every byte back; `behind` follows the 101 in the same write."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        if not endpoint.take(wire):
            return
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + behind)
        if pending := wire.pending:
            wire.send(pending)
        while piece := wire.raw.recv(65536):
            wire.received += piece
            wire.send(piece)

    return script


def refused_address() -> str:
    """An address at which nobody listens."""
    return f"127.0.0.1:{free_port()}"
