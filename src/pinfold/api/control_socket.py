"""The control API on its unix socket: uvicorn's HTTP connections without uvicorn's main loop.

That loop wakes ten times a second to keep the date of a header, and an idle pinfold does not wake
(docs/decisions/0007). Only our own user and root are let in.
"""

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

__all__ = ["ControlSocket"]

_CONNECTIONS_MOST: Final = 64
_REQUEST_BYTES_MOST: Final = 1024 * 1024
"""Bytes a connection may send in all; a client that wants to say more opens another."""
_FIRST_BYTE: Final = 10.0
_KEEP_ALIVE: Final = 5
_CLOSE_DEADLINE: Final = 2.0


class _Connection(H11Protocol):
    """One client."""

    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        if not _allowed(transport.get_extra_info("socket")) or len(self.connections) >= _CONNECTIONS_MOST:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(_FIRST_BYTE, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > _REQUEST_BYTES_MOST:
            self.transport.abort()
        else:
            super().data_received(data)


class ControlSocket:
    """Listens at `path` from `open` to `close`."""

    def __init__(self, path: Path, application: FastAPI) -> None:
        self._path = path
        self._config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        self._state = ServerState()
        self._listening: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Listen; a socket that a killed daemon left is replaced. The caller holds the run directory's lock."""
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listening.bind(str(self._path))
        self._path.chmod(0o600)
        self._listening = await asyncio.get_running_loop().create_unix_server(
            lambda: _Connection(self._config, self._state, {}), sock=listening, backlog=_CONNECTIONS_MOST
        )

    async def close(self) -> None:
        """Accept no more, give answers under way a moment to end, and cut the rest."""
        if self._listening is None:
            return
        self._listening.close()
        self._path.unlink(missing_ok=True)
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=_CLOSE_DEADLINE)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        self._listening = None


def _allowed(connection: socket.socket) -> bool:
    form = struct.Struct("3i")
    _, uid, _ = form.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
    return uid in (0, os.geteuid())
