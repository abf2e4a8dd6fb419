"""Load from many keep-alive connections, bounded in requests and time; each request's fate is kept."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from support.client import Connection, Target
from support.waiting import wait_for

__all__ = ["Load", "Outcome", "generate", "loading"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: `status` 0 and the error if it failed, who answered, when it began and how long it took (s)."""

    status: int
    instance: str
    began: float
    took: float
    error: str = ""


@dataclass(slots=True)
class Load:
    """What became of the requests; complete once the load has ended."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        """Requests that were not answered, or with 400 and above."""
        return [outcome for outcome in self.outcomes if not 200 <= outcome.status < 400]

    @property
    def by_instance(self) -> Counter[str]:
        """Requests answered by each instance."""
        return Counter(outcome.instance for outcome in self.outcomes if outcome.instance)

    @property
    def longest(self) -> float:
        """Seconds the slowest request took."""
        return max((outcome.took for outcome in self.outcomes), default=0.0)

    def __str__(self) -> str:
        causes = Counter(outcome.error or str(outcome.status) for outcome in self.failed)
        return f"{len(self.outcomes)} requests, {len(self.failed)} failed {dict(causes)}, by {dict(self.by_instance)}"


@contextmanager
def loading(
    target: Target,
    *,
    connections: int = 8,
    requests: int = 100_000,
    seconds: float = 30.0,
    path: str = "/",
) -> Iterator[Load]:
    """Load while the block runs, and on until a request that is under way has ended.

    It stops by itself after so many requests or seconds. The load is read after the block.
    """
    load, ending, numbers = Load(), threading.Event(), count()
    until = time.monotonic() + seconds

    def client() -> None:
        with Connection(target) as connection:
            # next() of count() is atomic, so that all clients together send so many requests and no more.
            while not ending.is_set() and time.monotonic() < until and next(numbers) < requests:
                load.outcomes.append(_one(connection, path))

    threads = [threading.Thread(target=client, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        ending.set()
        _join(threads, until)


def generate(
    target: Target, *, connections: int = 8, requests: int = 1000, seconds: float = 60.0, path: str = "/"
) -> Load:
    """Send so many requests, all of them unless the seconds run out, and tell what became of them."""
    with loading(target, connections=connections, requests=requests, seconds=seconds, path=path) as load:
        wait_for(lambda: len(load.outcomes) >= requests, seconds, f"{requests} requests")
    return load


def _join(threads: list[threading.Thread], until: float) -> None:
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + 15.0)
        assert not thread.is_alive(), "a request of the load hangs"


def _one(connection: Connection, path: str) -> Outcome:
    began = time.monotonic()
    try:
        answer = connection.fetch(path)
    except (OSError, http.client.HTTPException) as error:
        took = time.monotonic() - began
        return Outcome(0, "", began, took, f"{type(error).__name__}: {error}")
    took = time.monotonic() - began
    known = answer.header("content-type") == "application/json" and answer.status == 200
    return Outcome(answer.status, str(answer.json.get("instance", "")) if known else "", began, took)
