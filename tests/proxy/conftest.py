"""A rig for each test, and endpoints that are closed at its end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.client import Target
from support.endpoints import Endpoint, Script, StartEndpoint
from support.proxy import Rig
from support.wire import Wire, dial

Connect = Callable[[Target, bytes], Wire]


@pytest.fixture
def rig(short_path: Path) -> Iterator[Rig]:
    with Rig(short_path) as rig:
        yield rig


@pytest.fixture
def endpoint(short_path: Path) -> Iterator[StartEndpoint]:
    """Start an endpoint on a unix socket, named `e1`, `e2` and so on unless a name is given."""
    with ExitStack() as started:
        count = iter(range(1, 1000))

        def start(script: Script, name: str = "") -> Endpoint:
            name = name or f"e{next(count)}"
            return started.enter_context(Endpoint(script, path=short_path / f"{name}.sock", name=name))

        yield start


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect and send bytes; the connections are closed at the end, if not before."""
    with ExitStack() as opened:
        yield lambda target, sent: opened.enter_context(dial(target)).send(sent)
