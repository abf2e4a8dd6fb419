"""Connections that are closed at the end of a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support.client import Target
from support.wire import Wire, dial

Connect = Callable[[Target, bytes], Wire]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect and send bytes; the connections are closed at the end, if not before."""
    with ExitStack() as opened:
        yield lambda target, sent: opened.enter_context(dial(target)).send(sent)
