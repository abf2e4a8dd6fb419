"""One connection to the proxy, after `hello`: apply a snapshot, ask for the counters, hear of drained endpoints."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, NoReturn

from pinfold import __version__
from pinfold.base.messages import PROTOCOL, ProblemReport, demand_same_version
from pinfold.base.seam import Seam, SeamLostError
from pinfold.proxy.wire import (
    Applied,
    Apply,
    Drained,
    FromProxy,
    Hello,
    ProxyHello,
    Rejected,
    Snapshot,
    Stats,
    StatsQuery,
    Stop,
    decode_from_proxy,
)

__all__ = ["ProxyLink", "RejectedError"]

_HELLO_DEADLINE: Final = 5.0
_APPLY_DEADLINE: Final = 10.0
_STATS_DEADLINE: Final = 2.0


class RejectedError(Exception):
    """The proxy refuses a snapshot; the one before it serves on."""

    def __init__(self, problems: Sequence[ProblemReport]) -> None:
        super().__init__("; ".join(f"{problem.place}: {problem.what}" for problem in problems))
        self.problems = tuple(problems)


class ProxyLink:
    """A connection to the proxy."""

    def __init__(self, seam: Seam[FromProxy], hello: ProxyHello) -> None:
        self._seam = seam
        self._serials = count(1)
        self._generation = hello.generation
        self.hello = hello
        self.on_drained: Callable[[str, str], None] = lambda _pool, _address: None

    @classmethod
    async def connect(cls, path: str) -> "ProxyLink":
        """Connect and greet.

        Raises:
            SeamLostError: no proxy answers there in time.
            VersionMismatchError: it is of another build.
        """
        seam = await Seam.connect(path, decode_from_proxy, deadline=_HELLO_DEADLINE)
        seam.send(Hello(protocol=PROTOCOL, version=__version__))
        try:
            async with asyncio.timeout(_HELLO_DEADLINE):
                answer = await seam.receive()
        except TimeoutError:
            raise SeamLostError("the proxy did not greet in time") from None
        if not isinstance(answer, ProxyHello):
            raise SeamLostError(f"the proxy began with {answer.type!r} instead of hello")
        demand_same_version("the running proxy", answer.protocol, answer.version)
        return cls(seam, answer)

    async def run(self) -> NoReturn:
        """Hear what the proxy says until the connection ends.

        Raises:
            SeamLostError: always, in the end.
        """
        try:
            while True:
                match await self._seam.receive():
                    case Drained(pool=pool, address=address):
                        self.on_drained(pool, address)
                    case Applied() | Rejected() as answer:
                        self._seam.answer(("apply", answer.generation), answer)
                    case Stats() as answer:
                        self._seam.answer(("stats", answer.serial), answer)
                    case ProxyHello():
                        raise SeamLostError("the proxy greeted twice")
        except SeamLostError as error:
            self._seam.close(f"the proxy is gone: {error}")
            raise

    async def apply(self, snapshot: Snapshot) -> int:
        """Put `snapshot` in force on every core; returns its generation.

        Raises:
            RejectedError: with the problems; nothing has changed.
            SeamLostError: the proxy went away meanwhile.
        """
        self._generation += 1
        generation = self._generation
        message = Apply(generation=generation, snapshot=snapshot)
        answer = await self._seam.ask(message, ("apply", generation), deadline=_APPLY_DEADLINE)
        if isinstance(answer, Rejected):
            raise RejectedError(answer.problems)
        return generation

    async def stats(self) -> Stats:
        """The counters as they are now; SeamLostError when the proxy does not answer."""
        serial = next(self._serials)
        answer = await self._seam.ask(StatsQuery(serial=serial), ("stats", serial), deadline=_STATS_DEADLINE)
        if not isinstance(answer, Stats):
            raise SeamLostError("the proxy answered a query for counters with something else")
        return answer

    def stop(self, timeout: float) -> None:
        """Have it accept no more and end once what is in flight has ended, at the latest after `timeout` seconds."""
        self._seam.send(Stop(timeout_ms=round(timeout * 1000)))

    def close(self) -> None:
        """Let go of the proxy, which serves on."""
        self._seam.close()
