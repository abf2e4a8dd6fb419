"""Fixtures that every folder of tests may ask for."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
