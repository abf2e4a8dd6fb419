"""What the control API says, and what `--json` prints: one shape for both, versioned by `version`. Pure.

Durations are seconds, times ISO 8601 in UTC. A field may be added within a version, never taken away or changed.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "API_VERSION",
    "CertificateStatus",
    "EndpointStatus",
    "InstanceStatus",
    "ListenerStatus",
    "NamesRequest",
    "PoolStatus",
    "ProgramStatus",
    "Progress",
    "ProxyStatus",
    "Report",
    "Status",
    "Verdict",
]

API_VERSION: Final = 1


class ApiModel(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProxyStatus(ApiModel):
    """The proxy, as the daemon sees it."""

    pid: int | None
    generation: int
    threads: int
    state: Literal["serving", "starting"]


class CertificateStatus(ApiModel):
    """A certificate a listener answers with."""

    names: tuple[str, ...]
    not_after: datetime
    path: str


class ListenerStatus(ApiModel):
    """A listener with its counters since the proxy started."""

    name: str
    addresses: tuple[str, ...]
    tls: bool
    certificates: tuple[CertificateStatus, ...]
    connections: int
    accepted: int
    refused: int
    requests: int
    handshake_failures: int


class EndpointStatus(ApiModel):
    """An endpoint of a pool with its counters."""

    name: str
    address: str
    requests: int
    errors: int
    server_errors: int
    in_flight: int
    connects: int
    connections: int
    ejected: bool = False
    """Whether traffic has set it aside."""
    ejections: int = 0
    latency: float | None = None
    """Average time to the first byte of an answer; None when it is not known."""


class PoolStatus(ApiModel):
    """A pool and the endpoints that are ready or draining."""

    name: str
    unavailable: int
    queued: int = 0
    """Requests that wait for an endpoint now."""
    overflowed: int = 0
    """Requests refused because the queue was full, or their wait in it too long."""
    retries: int = 0
    retries_denied: int = 0
    endpoints: tuple[EndpointStatus, ...]


class InstanceStatus(ApiModel):
    """One instance. `wanted`, `phase` and `ready` are three facts; see the table in supervise/machine.py."""

    name: str
    wanted: bool
    phase: Literal["stopped", "starting", "running", "draining", "stopping", "backoff"]
    ready: bool
    pid: int | None
    generation: int | None
    uptime: float | None
    restarts: int
    in_flight: int
    requests: int
    addresses: dict[str, str]
    retry_in: float | None
    note: str
    """Why it is not ready, or how its last process ended; empty when there is nothing to say."""


class ProgramStatus(ApiModel):
    """A program and its instances."""

    name: str
    groups: tuple[str, ...]
    wanted: int
    ready: int
    instances: tuple[InstanceStatus, ...]


class Status(ApiModel):
    """Everything, in one answer."""

    version: Literal[1] = 1
    pinfold: str
    pid: int
    config: str
    """Path of the config file; empty when pinfold runs without one."""
    log_directory: str
    state: Literal["ok", "degraded", "stopping"]
    uptime: float
    proxy: ProxyStatus
    listeners: tuple[ListenerStatus, ...]
    programs: tuple[ProgramStatus, ...]
    pools: tuple[PoolStatus, ...]


class NamesRequest(ApiModel):
    """Which programs, instances or groups a command is for."""

    names: tuple[str, ...] = Field(min_length=1)


class Progress(ApiModel):
    """Something happened on the way to the verdict."""

    kind: Literal["progress"] = "progress"
    name: str
    text: str


class Verdict(ApiModel):
    """How a command ended; the last line of every answer that is a stream of reports."""

    kind: Literal["verdict"] = "verdict"
    ok: bool
    code: str
    """That of the error (`pinfold.base.errors`), or `ok`."""
    exit_code: int
    summary: str
    hint: str = ""
    problems: tuple[str, ...] = ()
    """Each as `Problem.render()` writes it."""


Report = Annotated[Progress | Verdict, Field(discriminator="kind")]
