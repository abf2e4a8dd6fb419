"""Fixtures that every folder of tests may ask for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.endpoints import Endpoint, Script, StartEndpoint
from support.proxy import Rig
from support.running import Pinfold


@pytest.fixture
def start_pinfold() -> Iterator[Callable[[str], Pinfold]]:
    """Start a pinfold with this config and return once it is ready; it is cleared away at the end of the test."""
    started: list[Pinfold] = []

    def start(config: str) -> Pinfold:
        pinfold = Pinfold(config)
        started.append(pinfold)
        return pinfold.start()

    yield start
    for pinfold in started:
        pinfold.clear()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for unix sockets, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def rig(short_path: Path) -> Iterator[Rig]:
    """A proxy on its own, at generation 0."""
    with Rig(short_path) as rig:
        yield rig


@pytest.fixture
def endpoint(short_path: Path) -> Iterator[StartEndpoint]:
    """Start an endpoint on a unix socket, named `e1`, `e2` and so on unless a name is given; closed at the end."""
    with ExitStack() as started:
        count = iter(range(1, 1000))

        def start(script: Script, name: str = "") -> Endpoint:
            name = name or f"e{next(count)}"
            return started.enter_context(Endpoint(script, path=short_path / f"{name}.sock", name=name))

        yield start
