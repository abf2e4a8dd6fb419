"""The whole configuration, typed; after reading, nothing is left to ask whether it is valid."""

from typing import Literal

from pydantic import Field

from pinfold.config.fields import Hosts, Model, PathField, PathPrefixes, Size, Whole, Words
from pinfold.config.listeners import Listener, ListenerLimits, ListenerTimeouts, Tls
from pinfold.config.pools import Balance, Pool, PoolEndpoint, PoolSettings, PoolTimeouts
from pinfold.config.programs import (
    AutoPort,
    FixedPorts,
    PortPlan,
    Program,
    ProgramLimits,
    ReadyProbe,
    SocketPort,
    Stop,
)

__all__ = [
    "AccessLogSettings",
    "AutoPort",
    "Balance",
    "Config",
    "DaemonSettings",
    "FixedPorts",
    "Listener",
    "ListenerLimits",
    "ListenerTimeouts",
    "LogRotation",
    "Match",
    "Pool",
    "PoolEndpoint",
    "PoolSettings",
    "PoolTimeouts",
    "PortPlan",
    "Program",
    "ProgramLimits",
    "ReadyProbe",
    "Route",
    "SocketPort",
    "Stop",
    "Tls",
]


class Match(Model):
    """Which requests a route takes; both must hold, an absent one always does."""

    host: Hosts = Field((), description='Hosts without port; "*.example.org" is any name below it.')
    path: PathPrefixes = Field((), description='Path prefixes by whole segments: "/api" is "/api" and "/api/x".')


class Route(Model):
    """Which requests go where; the first that matches decides."""

    listeners: Words = Field((), description="Listeners it holds for; all if absent.")
    pool: str = Field(description="The pool they go to.")
    match: Match = Field(default_factory=Match, description="Which requests; all if absent.")
    trailers: bool = Field(default=False, description="Trailers of chunked bodies pass, in both directions.")


class AccessLogSettings(Model):
    """The log of requests."""

    format: Literal["json", "off"] = Field("json", description="One JSON line a request, or none.")
    path: str = Field("access.log", description="File in the log directory.")


class LogRotation(Model):
    """When logs are rotated."""

    max_bytes: Size = Field(50 * 1024**2, ge=4096, description="Rotated before it grows past this.")
    keep: Whole = Field(10, ge=1, le=1000, description="Rotated files to keep.")


class DaemonSettings(Model):
    """pinfold itself."""

    log_directory: PathField | None = Field(None, description="Where logs go; /var/log/pinfold as root.")
    state_directory: PathField | None = Field(None, description="What outlives a run; /var/lib/pinfold as root.")
    proxy_threads: Whole = Field(0, ge=0, le=256, description="Cores of the proxy; 0 is all. At the next start.")
    access_log: AccessLogSettings = Field(default_factory=AccessLogSettings, description="The log of requests.")
    log_rotation: LogRotation = Field(default_factory=LogRotation, description="When logs are rotated.")


class Config(Model):
    """Everything."""

    listeners: dict[str, Listener] = Field(description="Where clients are accepted.", min_length=1)
    programs: dict[str, Program] = Field(default_factory=dict, description="What to keep running.")
    pools: dict[str, Pool] = Field(default_factory=dict, description="Remote endpoints.")
    routes: tuple[Route, ...] = Field((), description="In order; the first that matches decides.")
    daemon: DaemonSettings = Field(default_factory=DaemonSettings, description="pinfold itself.")

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Every pool by its one true name."""
        ports = (self.resolve_pool(f"{name}.{port}") for name, one in self.programs.items() for port in one.ports)
        return (*ports, *self.pools)

    def resolve_pool(self, name: str) -> str:
        """The one true name of a pool: a program with one port may be called with or without the port."""
        program_name, _, port = name.partition(".")
        program = self.programs.get(program_name)
        if program is None or len(program.ports) != 1 or port not in ("", *program.ports):
            return name
        return program_name

    @property
    def resolved_routes(self) -> tuple[Route, ...]:
        """The routes; with none and a single pool, everything goes there."""
        if self.routes or len(self.pool_names) != 1:
            return self.routes
        return (Route(pool=self.pool_names[0]),)
