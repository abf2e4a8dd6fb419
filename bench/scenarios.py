"""What is measured and which bars pinfold has to meet; no I/O."""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "BODY_BYTES",
    "IDLE_BAR",
    "IDLE_CONNECTIONS",
    "INSTALLED_BAR",
    "NAMES",
    "SCENARIOS",
    "THREADS_BAR",
    "Scenario",
]

BODY_BYTES: Final = 16 << 10
INSTALLED_BAR: Final = 0.68
"""pinfold on unix sockets, as it is installed, over the best peer on TCP, as peers commonly are."""
IDLE_BAR: Final = 2.0
"""KiB a connection that is idle."""
IDLE_CONNECTIONS: Final = 2000
THREADS_BAR: Final = 1.8
"""What two threads give over one, at least."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request; the bar is CPU per request over that of the better of HAProxy and nginx, at most."""

    name: str
    title: str
    bar: float
    order: str
    """For the load: what its requests are."""
    rate: int
    """Requests a second at which latency is measured: about a third of what one core can do."""
    transport: Literal["tcp", "unix"] = "tcp"
    log: bool = False


SCENARIOS: Final = (
    Scenario("small", "small answer, keep-alive, TCP endpoints", 0.82, "target=/small", 8000),
    Scenario("unix", "small answer, keep-alive, unix endpoints", 0.82, "target=/small", 8000, transport="unix"),
    Scenario("16k", "16 KiB answers, TCP endpoints", 0.80, "target=/16k", 5000),
    Scenario("1m", "1 MiB answers, TCP endpoints", 0.50, "target=/1m", 200),
    Scenario("post", "POST 16 KiB, TCP endpoints", 0.85, f"target=/small body={BODY_BYTES}", 4000),
    Scenario("close", "connection per request, TCP endpoints", 0.95, "target=/small close=1", 3000),
    Scenario("log", "small answer, access log on, TCP endpoints", 0.85, "target=/small", 6000, log=True),
)
NAMES: Final = (*(scenario.name for scenario in SCENARIOS), "installed", "idle", "threads")
"""`installed` is computed from `small` and `unix`."""
