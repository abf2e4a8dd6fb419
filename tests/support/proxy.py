"""The installed `pinfold-proxy` on its own: the test plays the daemon and the shim (protocol/PROTOCOL.md).

`Ground` is the shim's part, which outlives a proxy: listening sockets, the control socket and the pipe of the access
log. `Proxy` is one process on that ground, with the daemon's connection to it.
"""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import signal
import socket
import sysconfig
import threading
from collections import deque
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from support.client import Target
from support.endpoints import Endpoint
from support.ports import free_port
from support.snapshots import Snapshot, listener, pool, snapshot
from support.waiting import wait_for

__all__ = ["EXECUTABLE", "Ground", "Proxy", "Rig", "target_of"]

EXECUTABLE: Final = Path(sysconfig.get_path("scripts")) / "pinfold-proxy"
PROTOCOL: Final = 1
DEADLINE: Final = 10.0
"""Seconds within which the proxy must answer a message."""


class Ground:
    """What a proxy is handed, in a directory with a short path; `threads` sockets for each TCP address."""

    def __init__(self, directory: Path, threads: int = 1, environment: Mapping[str, str] | None = None) -> None:
        self.directory, self.threads = directory, threads
        self.environment = {"PATH": os.environ["PATH"], "RUST_BACKTRACE": "1", **(environment or {})}
        self.sockets: dict[str, list[socket.socket]] = {}
        self.lines: list[dict[str, Any]] = []
        """The access log of all proxies on this ground."""
        self.reading = threading.Event()
        """Cleared, nobody reads the access log: the pipe fills up."""
        self.reading.set()
        self.control_path = directory / "proxy.sock"
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.bind(str(self.control_path))
        self.control.listen(16)
        read_end, self.access_log = os.pipe()
        self._reader = threading.Thread(target=self._read_log, args=(read_end,), daemon=True)
        self._reader.start()

    def bind(self, path: Path | None = None) -> str:
        """Listen on a unix socket or on a free port; the address as a snapshot names it."""
        if path is not None:
            only = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            only.bind(str(path))
            only.listen(1024)
            self.sockets[f"unix:{path}"] = [only]
            return f"unix:{path}"
        address = f"127.0.0.1:{free_port()}"
        self.bind_again(address)
        return address

    def bind_again(self, address: str) -> None:
        """Listen on a TCP address, be it for the first time or once more."""
        port, bound = int(address.rpartition(":")[2]), []
        for _ in range(self.threads):
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
            bound.append(one)
        for one in bound:
            one.listen(1024)
        self.sockets[address] = bound

    def give_up(self, address: str) -> None:
        """Listen there no more; the proxy may still hold copies."""
        for one in self.sockets.pop(address):
            one.close()

    def descriptors(self, address: str) -> list[int]:
        """The descriptors of an address, in the number that the shim would send; none once it was given up."""
        held = self.sockets.get(address)
        if not held:
            return []
        return [held[number % len(held)].fileno() for number in range(self.threads)]

    def wait_lines(self, number: int, deadline: float = 5.0) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        wait_for(lambda: len(self.lines) >= number, deadline, f"{number} lines in the access log")
        return self.lines

    def close(self) -> None:
        """Close everything; no proxy runs any more."""
        os.close(self.access_log)
        self.reading.set()
        self._reader.join(5.0)
        self.control.close()
        for sockets in self.sockets.values():
            for one in sockets:
                one.close()

    def _read_log(self, read_end: int) -> None:
        with os.fdopen(read_end, encoding="utf-8") as stream:
            for line in stream:
                self.reading.wait()
                self.lines.append(json.loads(line))


class Proxy:
    """One process of the proxy, connected to; it has been sent all sockets of the ground, and has said hello."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.journal = ground.directory / "proxy.log"
        self._link, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._code: int | None = None
        self.pid = self._spawn(its_end)
        its_end.close()
        self._received, self._heard = b"", deque[dict[str, Any]]()
        self._control = self._connect()
        try:
            for address in ground.sockets:
                self.hand_over(address)
            self.hello = self._greet()
        except BaseException:
            self.close()
            raise

    def _spawn(self, link: socket.socket) -> int:
        ground = self._ground
        # Copies with high numbers, lest one be overwritten at 3, 4 or 5 before it is copied there.
        given = [ground.control.fileno(), link.fileno(), ground.access_log]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.journal), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, fd, 3 + place) for place, fd in enumerate(high)),
        ]
        words = [str(EXECUTABLE), "--threads", str(ground.threads)]
        try:
            return os.posix_spawn(EXECUTABLE, words, ground.environment, file_actions=actions)
        finally:
            for fd in high:
                os.close(fd)

    def _connect(self) -> socket.socket:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.settimeout(DEADLINE)
        control.connect(str(self._ground.control_path))
        return control

    def reconnect(self) -> dict[str, Any]:
        """A new connection, as after a restart of the daemon; the answer to its hello."""
        self._control.close()
        self._control, self._received = self._connect(), b""
        self._heard.clear()
        self.hello = self._greet()
        return self.hello

    def _greet(self) -> dict[str, Any]:
        self.say({"type": "hello", "protocol": PROTOCOL, "version": importlib.metadata.version("pinfold")})
        return self.hear("hello")

    def hand_over(self, address: str) -> None:
        """Send the sockets of an address on the link, as the shim does."""
        descriptors = self._ground.descriptors(address)
        message = {"type": "sockets", "address": address, "count": len(descriptors)}
        socket.send_fds(self._link, [json.dumps(message).encode()], descriptors)

    def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        text = json.dumps(message).encode()
        self.say_bytes(len(text).to_bytes(4, "big") + text)

    def say_bytes(self, sent: bytes) -> None:
        """Send bytes that may be no message."""
        self._control.sendall(sent)

    def hear(self, *kinds: str, deadline: float = DEADLINE) -> dict[str, Any]:
        """The next message of one of these types; others are kept for later.

        Raises:
            AssertionError: it did not come, or the proxy closed the connection.
        """
        for message in self._heard:
            if message["type"] in kinds:
                self._heard.remove(message)
                return message
        self._control.settimeout(deadline)
        while True:
            try:
                message = self._read_message()
            except (OSError, EOFError) as error:
                raise AssertionError(f"no {kinds}: {error!r}; it said:\n{self.said}") from None
            if message["type"] in kinds:
                return message
            self._heard.append(message)

    def _read_message(self) -> dict[str, Any]:
        size = int.from_bytes(self._read(4), "big")
        message: dict[str, Any] = json.loads(self._read(size))
        return message

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            piece = self._control.recv(65536)
            if not piece:
                raise EOFError("the proxy closed the control connection")
            self._received += piece
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    @property
    def said(self) -> str:
        """What it wrote to its standard error."""
        return self.journal.read_text(encoding="utf-8", errors="replace") if self.journal.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._poll() is None

    def _poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, deadline: float = DEADLINE) -> int:
        """Its exit code, negative for a signal."""
        wait_for(lambda: self._poll() is not None, deadline, "the end of the proxy")
        assert self._code is not None
        return self._code

    def kill(self) -> None:
        """Kill it."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it, however it fares."""
        self.kill()
        self._control.close()
        self._link.close()


class Rig:
    """A ground with a proxy on it, and the words a test needs; for `with`. It fails if the proxy died by itself."""

    def __init__(self, directory: Path, threads: int = 1, environment: Mapping[str, str] | None = None) -> None:
        self.ground = Ground(directory, threads, environment)
        self._generations = count(1)
        self._serials = count(1)
        self.generation = 0
        self.proxy = Proxy(self.ground)

    def bind(self, path: Path | None = None) -> str:
        """A new listening address, handed over."""
        address = self.ground.bind(path)
        self.proxy.hand_over(address)
        return address

    def give_up(self, address: str) -> None:
        """Listen there no more, and tell the proxy so."""
        self.ground.give_up(address)
        self.proxy.hand_over(address)

    def propose(self, wanted: Snapshot) -> dict[str, Any]:
        """Apply a snapshot as the next generation; the proxy's verdict, `applied` or `rejected`."""
        self.generation = next(self._generations)
        self.proxy.say({"type": "apply", "generation": self.generation, "snapshot": wanted})
        verdict = self.proxy.hear("applied", "rejected")
        assert verdict["generation"] == self.generation
        return verdict

    def apply(self, wanted: Snapshot) -> None:
        """Apply a snapshot that must be accepted."""
        verdict = self.propose(wanted)
        assert verdict["type"] == "applied", verdict

    def refuse(self, wanted: Snapshot) -> list[dict[str, Any]]:
        """Apply a snapshot that must be rejected; its problems."""
        verdict = self.propose(wanted)
        assert verdict["type"] == "rejected", verdict
        problems: list[dict[str, Any]] = verdict["problems"]
        assert problems
        return problems

    def serve(self, *endpoints: Endpoint, **changes: Any) -> Target:  # noqa: ANN401 - as in snapshots
        """One listener `front` before one pool `web`; `listener` and `pool` change their defaults."""
        address = self.bind()
        front = listener(address, **changes.get("listener", {}))
        web = pool(*(endpoint.entry for endpoint in endpoints), **changes.get("pool", {}))
        self.apply(snapshot([front], [web]))
        return target_of(address)

    def stats(self) -> dict[str, Any]:
        """The counters."""
        serial = next(self._serials)
        self.proxy.say({"type": "stats", "serial": serial})
        answer = self.proxy.hear("stats")
        assert answer["serial"] == serial
        return answer

    def endpoint_stats(self, pool: str = "web") -> dict[str, dict[str, int]]:
        """The counters of a pool's endpoints, by their name."""
        found = next(one for one in self.stats()["pools"] if one["name"] == pool)
        return {endpoint["name"]: endpoint for endpoint in found["endpoints"]}

    def wait_endpoint(self, name: str, deadline: float = 5.0, **wanted: int) -> None:
        """Return once these counters of an endpoint have these values."""

        def reached() -> bool:
            counters = self.endpoint_stats()[name]
            return all(counters[key] == value for key, value in wanted.items())

        wait_for(reached, deadline, f"{wanted} at {name}")

    def wait_log(self, number: int = 1) -> list[dict[str, Any]]:
        """The access log once it has so many lines."""
        return self.ground.wait_lines(number)

    def replace(self) -> None:
        """Kill the proxy and start another on the same ground, at generation 0."""
        self.proxy.close()
        self.proxy = Proxy(self.ground)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        alive, said = self.proxy.running, self.proxy.said
        clean = self.proxy.wait() == 0 if not alive else True
        self.proxy.close()
        with contextlib.suppress(OSError):
            self.ground.close()
        assert clean, f"the proxy died:\n{said}"
        assert "panicked" not in said, said


def target_of(address: str, **how: Any) -> Target:  # noqa: ANN401 - fields of Target
    """Where to connect for an address of a snapshot."""
    if address.startswith("unix:"):
        return Target(path=Path(address.removeprefix("unix:")), **how)
    return Target(port=int(address.rpartition(":")[2]), **how)
