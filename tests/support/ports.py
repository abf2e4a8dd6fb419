"""Free TCP ports, never given twice on this machine while the test process that asked for them lives."""

import contextlib
import random
import socket
from typing import Final

__all__ = ["free_port", "free_ports"]

PORTS: Final = range(10000, 32000)
"""Below the range from which the kernel takes the ports of outgoing connections."""

_claims: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens, and that no other test is given."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many ports in a row, for programs whose instances count up from the first.

    Raises:
        RuntimeError: there is no such row.
    """
    for _ in range(1000):
        first = random.randrange(PORTS.start, PORTS.stop - count)
        row = list(range(first, first + count))
        if _claim(row):
            return row
    raise RuntimeError(f"no {count} free ports in a row")


def _claim(row: list[int]) -> bool:
    """Claim a row by an abstract unix socket for each port: it needs no file and goes with the process."""
    with contextlib.ExitStack() as undo:
        taken = []
        for port in row:
            claim = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            try:
                claim.bind(f"\0pinfold-test-port-{port}")
                _bind_once(port)
            except OSError:
                return False
            taken.append(claim)
        undo.pop_all()
        _claims.extend(taken)
    return True


def _bind_once(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", port))
