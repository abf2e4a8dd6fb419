"""What a process in the role of the proxy is handed: its control socket, and the listening sockets on its link."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinfold.supervise.shim import Shim, start_shim
from pinfold.supervise.wire import ListenAddress, LogFile, Process

SHIM = Path(sysconfig.get_path("scripts")) / "pinfold-shim"
# Accepts a connection on each of two addresses, then answers on its access log and its control socket.
PROXY = """
import select, socket, os
link = socket.socket(fileno=4)
for _ in range(2):
    json, fds, _, _ = socket.recv_fds(link, 4096, 16)
    print(json.decode(), len(fds), flush=True)
    sockets = [socket.socket(fileno=fd) for fd in fds]
    listening = select.select(sockets, [], [])[0][0]
    accepted, _ = listening.accept(); accepted.sendall(b'hello'); accepted.close()
os.write(5, b'{"line": 1}\\n')
control = socket.socket(fileno=3); control.setblocking(True)
control.accept()[0].sendall(b'control')
"""


@pytest.fixture
def run_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pf-"))
    pid = start_shim(SHIM, directory)
    yield directory
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    shutil.rmtree(directory)


def read_from(family: socket.AddressFamily, address: str | tuple[str, int]) -> bytes:
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)
        return client.recv(64)


def test_sockets_outlive_one_proxy_and_go_to_the_next(run_directory: Path) -> None:
    unix = str(run_directory / "plain.sock")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def log(name: str) -> LogFile:
        return LogFile(path=str(run_directory / name), max_bytes=1 << 20, keep=1)

    async def scene() -> None:
        shim = await Shim.connect(run_directory)
        hearing = asyncio.create_task(shim.run())
        addresses = (f"127.0.0.1:{port}", f"unix:{unix}")
        await shim.listen([ListenAddress(address=address, sockets=2) for address in addresses])
        for key in ("proxy-1", "proxy-2"):
            process = Process(
                key=key, label="", role="proxy", argv=(sys.executable, "-c", PROXY), environment=(),
                working_directory="/", identity=None, umask=0o022, rlimits=(),
                log=log("proxy.log"), access_log=log("access.log"),
            )  # fmt: skip
            # Connected before there is a proxy: the sockets are the shim's, so nothing is refused.
            waiting = asyncio.gather(
                asyncio.to_thread(read_from, socket.AF_INET, ("127.0.0.1", port)),
                asyncio.to_thread(read_from, socket.AF_UNIX, unix),
            )
            await shim.spawn(process)
            assert await waiting == [b"hello", b"hello"]
            control = str(run_directory / "proxy.sock")
            assert await asyncio.to_thread(read_from, socket.AF_UNIX, control) == b"control"
        while not (run_directory / "access.log").exists() or (run_directory / "access.log").read_text().count("\n") < 2:
            await asyncio.sleep(0.01)
        hearing.cancel()
        shim.close()

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(bounded())
    assert (run_directory / "access.log").read_text() == '{"line": 1}\n' * 2
    told = [line.split(" ", 3)[3] for line in (run_directory / "proxy.log").read_text().splitlines()]
    assert told[0] == f'{{"type":"sockets","address":"127.0.0.1:{port}","count":2}} 2'
