"""The control API and its client against each other, with a daemon that is played."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from pinfold.api.application import Operation, create_application
from pinfold.api.client import Client
from pinfold.api.control_socket import ControlSocket
from pinfold.api.models import Progress, Status, Verdict
from pinfold.base.errors import FailedError, NotRunningError

DONE = Verdict(ok=True, code="ok", exit_code=0, summary="done")


async def status() -> Status:
    raise FailedError("pinfold is starting", "ask again in a moment")


async def operate(operation: Operation, names: Sequence[str]) -> AsyncIterator[Progress | Verdict | None]:
    yield None
    yield Progress(name=names[0] if names else "pinfold", text=operation)
    if operation != "stop":
        yield DONE


@contextlib.contextmanager
def served(directory: Path) -> Iterator[Client]:
    """The API at a socket of the directory, in a thread of its own for as long as the block lasts."""
    loop, opened, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        listening = ControlSocket(directory / "pinfold.sock", create_application(status, operate))
        await listening.open()
        opened.set()
        await ended.wait()
        await listening.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert opened.wait(10.0)
    try:
        yield Client(directory)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10.0)
        loop.close()


def test_reports_come_in_order_and_end_with_the_verdict(short_path: Path) -> None:
    with served(short_path) as client:
        assert list(client.run("restart", ["web"])) == [Progress(name="web", text="restart"), DONE]
        assert list(client.run("apply")) == [Progress(name="pinfold", text="apply"), DONE]
    assert not (short_path / "pinfold.sock").exists()


def test_a_stream_without_a_verdict_is_a_failure(short_path: Path) -> None:
    with served(short_path) as client, pytest.raises(FailedError, match="before it said how the stop ended"):
        list(client.run("stop", ["web"]))


def test_what_the_daemon_cannot_do_is_told_in_its_words(short_path: Path) -> None:
    with served(short_path) as client, pytest.raises(FailedError) as raised:
        client.status()
    assert (raised.value.summary, raised.value.hint) == ("pinfold is starting", "ask again in a moment")


def test_no_socket_and_a_stale_one_are_not_running(short_path: Path) -> None:
    with pytest.raises(NotRunningError):
        Client(short_path).status()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(short_path / "pinfold.sock"))
    with pytest.raises(NotRunningError) as raised:
        Client(short_path).status()
    assert "pinfold run" in raised.value.hint


def test_the_socket_is_for_its_owner_and_replaces_a_stale_one(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(short_path / "pinfold.sock"))
    with served(short_path):
        assert (short_path / "pinfold.sock").stat().st_mode & 0o777 == 0o600


def test_a_client_that_sends_without_end_is_cut_off(short_path: Path) -> None:
    with served(short_path), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10.0)
        client.connect(str(short_path / "pinfold.sock"))
        client.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            client.sendall(b"x" * 9999999)
