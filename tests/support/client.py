"""HTTP clients for tests: one request, one connection with many, or raw bytes; over TCP, TLS or a unix socket."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Answer", "Connection", "Target", "exchange", "fetch"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: a port of `host`, or a unix socket; `tls` makes it TLS with the given settings."""

    port: int | None = None
    path: Path | None = None
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    name: str = "localhost"
    """The name asked for in TLS, and the default of `Host`."""

    def connect(self, deadline: float = 10.0) -> socket.socket:
        """A connected socket; every read and write on it must go on within `deadline` seconds.

        Raises:
            OSError: nobody listens there, or TLS failed.
        """
        raw = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET, socket.SOCK_STREAM)
        try:
            raw.settimeout(deadline)
            raw.connect(str(self.path) if self.path else (self.host, self.port or 0))
            if self.path is None:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.tls.wrap_socket(raw, server_hostname=self.name) if self.tls else raw
        except BaseException:
            raw.close()
            raise


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """All values of a header joined by commas; None when it did not come."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def json(self) -> Any:  # noqa: ANN401 - a test knows what it asked for
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def seen(self) -> list[tuple[str, str]]:
        """The headers that the demo program saw, names in lower case."""
        return [(name.lower(), value) for name, value in self.json["headers"]]


class _Wire(http.client.HTTPConnection):
    """http.client on top of any target."""

    def __init__(self, target: Target, deadline: float) -> None:
        super().__init__(target.name, timeout=deadline)
        self._target, self._deadline = target, deadline

    def connect(self) -> None:
        self.sock = self._target.connect(self._deadline)


class Connection:
    """A client connection that is kept alive; it connects by itself, also after the peer has closed it."""

    def __init__(self, target: Target, deadline: float = 10.0) -> None:
        self._wire = _Wire(target, deadline)

    def fetch(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """Send one request and read the answer; a body that is not bytes is sent in chunks.

        Raises:
            OSError, http.client.HTTPException: the exchange failed; the connection is closed.
        """
        names = {name.lower() for name, _ in headers}
        chunked = body is not None and not isinstance(body, bytes)
        try:
            self._wire.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
            for name, value in headers:
                self._wire.putheader(name, value)
            if chunked:
                self._wire.putheader("Transfer-Encoding", "chunked")
            elif isinstance(body, bytes) and "content-length" not in names:
                self._wire.putheader("Content-Length", str(len(body)))
            self._wire.endheaders(body, encode_chunked=chunked)
            answer = self._wire.getresponse()
            return Answer(answer.status, tuple(answer.getheaders()), answer.read())
        except BaseException:
            self._wire.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def fetch(
    target: Target,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes | Iterable[bytes] | None = None,
) -> Answer:
    """One request on a connection of its own; see `Connection.fetch`."""
    with Connection(target) as connection:
        return connection.fetch(path, method=method, headers=headers, body=body)


def exchange(target: Target, sent: bytes, *, deadline: float = 10.0, half_close: bool = False) -> bytes:
    """Send bytes as they are and return all that comes back until the peer closes.

    Raises:
        TimeoutError: the peer fell silent for `deadline` seconds; it carries what came until then.
    """
    received = b""
    with target.connect(deadline) as raw:
        raw.sendall(sent)
        if half_close:
            raw.shutdown(socket.SHUT_WR)
        try:
            while piece := raw.recv(65536):
                received += piece
        except TimeoutError:
            raise TimeoutError(f"silence after {received!r}") from None
        except ConnectionResetError:
            pass  # a peer that refuses may reset behind its answer
    return received
