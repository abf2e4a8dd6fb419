"""One connection to the proxy or the shim: frames in and out, answers matched with their questions.

It owns the socket and the table of open questions. What the messages mean is the business of `proxy.link` and
`supervise.shim`, which hand in how a message is decoded and which question it answers.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Generic, TypeVar

from pinfold.base.frames import HEADER_BYTES, FrameError, decode_header, encode_frame
from pinfold.base.messages import Message

__all__ = ["Seam", "SeamLostError"]

M = TypeVar("M", bound=Message)


class SeamLostError(Exception):
    """The connection ended, or an answer did not come in time."""


class Seam(Generic[M]):
    """A connection over which `Message`s are exchanged; `M` is the union of what the peer may send."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decode: Callable[[bytes], M],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = decode
        self._questions: dict[object, asyncio.Future[M]] = {}
        self._lost: str | None = None

    @classmethod
    async def connect(cls, path: str, decode: Callable[[bytes], M], *, deadline: float) -> "Seam[M]":
        """Connect to the unix socket at `path` within `deadline` seconds.

        Raises:
            SeamLostError: nobody listens there, or not in time.
        """
        try:
            async with asyncio.timeout(deadline):
                reader, writer = await asyncio.open_unix_connection(path)
        except (OSError, TimeoutError) as error:
            raise SeamLostError(f"cannot connect to {path}: {error}") from error
        return cls(reader, writer, decode)

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._lost is not None

    def send(self, message: Message) -> None:
        """Queue a message; the transport writes it at once when the socket takes it."""
        if self._lost is None:
            self._writer.write(encode_frame(message.encode()))

    async def receive(self) -> M:
        """The next message.

        Raises:
            SeamLostError: the peer closed the connection or sent what is no message.
        """
        try:
            header = await self._reader.readexactly(HEADER_BYTES)
            return self._decode(await self._reader.readexactly(decode_header(header)))
        except (OSError, EOFError, FrameError, ValueError) as error:
            raise SeamLostError(str(error) or type(error).__name__) from error

    async def ask(self, message: Message, key: object, *, deadline: float) -> M:
        """Send `message` and wait for the answer that bears `key`.

        Raises:
            SeamLostError: the connection ended, or `deadline` seconds passed.
        """
        if self._lost is not None:
            raise SeamLostError(self._lost)
        answer: asyncio.Future[M] = asyncio.get_running_loop().create_future()
        self._questions[key] = answer
        self.send(message)
        try:
            async with asyncio.timeout(deadline):
                return await answer
        except TimeoutError:
            raise SeamLostError(f"no answer within {deadline:g} s") from None
        finally:
            self._questions.pop(key, None)

    def answer(self, key: object, message: M) -> bool:
        """Hand an answer to whoever asked under `key`; false when nobody waits for it any more."""
        waiting = self._questions.pop(key, None)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(message)
        return True

    def close(self, why: str = "closed") -> None:
        """End the connection; whoever waits for an answer is told `why`."""
        self._lost = self._lost or why
        for waiting in self._questions.values():
            if not waiting.done():
                waiting.set_exception(SeamLostError(why))
        self._questions.clear()
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()
