"""`[programs.NAME]`: something to keep running."""

import signal
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from pinfold.config.fields import Command, Duration, Kind, Model, PathField, Whole, Words
from pinfold.config.pools import PoolSettings
from pinfold.config.template import placeholders

__all__ = [
    "AutoPort",
    "FixedPorts",
    "PortPlan",
    "Program",
    "ProgramLimits",
    "ReadyProbe",
    "SignalName",
    "SocketPort",
    "Stop",
    "Umask",
]


@dataclass(frozen=True, slots=True)
class SocketPort:
    """A unix socket, chosen anew for each process."""


@dataclass(frozen=True, slots=True)
class AutoPort:
    """A free loopback port, chosen anew for each process."""


@dataclass(frozen=True, slots=True)
class FixedPorts:
    """Loopback ports by instance."""

    numbers: tuple[int, ...]


PortPlan = SocketPort | AutoPort | FixedPorts


def _port(plan: object, validation: ValidationInfo) -> object:
    """What is written for one port; `instances` stands before `ports` in the model, so it is known here."""
    if isinstance(plan, PortPlan):
        return plan
    if plan in ("auto", "socket"):
        return AutoPort() if plan == "auto" else SocketPort()
    count: int = validation.data.get("instances", 0)
    numbers = list(range(plan, plan + count)) if type(plan) is int else plan
    if not isinstance(numbers, list) or not all(type(n) is int and 0 < n < 65536 for n in numbers):
        raise ValueError(f'expected a port number, a list of them, "auto" or "socket", found {plan!r}')
    if "instances" in validation.data and (len(numbers) != count or len(set(numbers)) != len(numbers)):
        raise ValueError(f"{count} instances need {count} different ports, found {len(set(numbers))}")
    return FixedPorts(tuple(numbers))


class ReadyProbe(Model):
    """What proves that an instance is ready."""

    kind: Literal["http", "tcp"] = Field(
        "http",
        description="A connection alone is proof.",
        json_schema_extra={"key": "tcp", "kind": "true or false", "default": "-"},
    )
    path: str = Field(
        "/",
        description="An answer of 200 to 399 to a GET of this path is proof. With neither, any answer to `/` is.",
        json_schema_extra={"key": "http", "kind": "path", "default": "-"},
    )
    host: str | None = Field(None, description="Host header of the probe.")
    statuses: tuple[int, int] = Field((100, 599), description="Lowest and highest status that pass.")
    port: str | None = Field(None, description="Name of the port that is probed; the first if absent.")
    timeout: Duration = Field(2.0, description="For connection and answer together.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        written = dict(value)
        if "http" in written and "tcp" in written:
            raise ValueError("give either http or tcp")
        if isinstance(path := written.pop("http", None), str):
            if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
                raise ValueError('http takes a path such as "/health"')
            written = {"kind": "http", "path": path, "statuses": (200, 399), **written}
        if written.pop("tcp", False):
            written["kind"] = "tcp"
        return written


def _signal_name(value: object) -> object:
    name = str(value).removeprefix("SIG").upper()
    if f"SIG{name}" not in signal.Signals.__members__:
        raise ValueError(f'"{value}" is no signal; write a name such as "TERM"')
    return name


SignalName = Annotated[str, BeforeValidator(_signal_name), Kind("signal")]


class Stop(Model):
    """How an instance is stopped once it is drained."""

    signal: SignalName = Field("TERM", description="Signal that asks it to end.")
    timeout: Duration = Field(10.0, description="After this its whole tree is killed.")


class ProgramLimits(Model):
    """Resource limits of an instance."""

    open_files: Whole | None = Field(None, ge=16, description="Open descriptors.")
    core: Whole | None = Field(None, ge=0, description="Bytes of a core file.")
    processes: Whole | None = Field(None, ge=1, description="Processes of its user.")


def _umask(value: object) -> object:
    if isinstance(value, str):
        try:
            return int(value, 8)
        except ValueError:
            raise ValueError(f'expected an octal mask such as "022", found "{value}"') from None
    return value


Umask = Annotated[int, BeforeValidator(_umask), Kind("octal mask")]


class Program(Model):
    """One program."""

    command: Command = Field(description="Split like a shell would, no shell; or a list.", min_length=1)
    instances: Whole = Field(1, ge=0, le=1000, description="How many to keep running.")
    ports: dict[str, Annotated[PortPlan, BeforeValidator(_port)]] = Field(
        description='Name = first of a run, a list, "auto" or "socket"; by default what the command asks for.',
        json_schema_extra={"kind": "table", "default": '`http = "socket"` or `"auto"`'},
    )
    working_directory: PathField = Field(
        description="Where it runs.", json_schema_extra={"default": "the config file's directory"}
    )
    user: str | None = Field(None, description="Whose rights it gets.")
    group: str | None = Field(None, description="Its group; by default the user's.")
    groups: Words = Field((), description="Names under which commands reach this program too.")
    environment: dict[str, str] = Field(default_factory=dict, description="Variables, placeholders allowed.")
    environment_files: tuple[PathField, ...] = Field((), description="Files of NAME=value lines.")
    ready: ReadyProbe = Field(default_factory=ReadyProbe, description="What proves it ready; by default any answer.")
    restart: Literal["always", "on-failure", "never"] = Field("always", description="When it is started again.")
    stop: Stop = Field(default_factory=Stop, description="How it is stopped.")
    drain: Duration = Field(30.0, description="Longest wait for requests in flight before it is stopped.")
    start_timeout: Duration = Field(60.0, description="Longest time until it is ready.")
    limits: ProgramLimits = Field(default_factory=ProgramLimits, description="Resource limits.")
    umask: Umask = Field(0o022, ge=0, le=0o777, description="File mode mask.")
    pool: PoolSettings = Field(default_factory=PoolSettings, description="How its instances share requests.")

    @property
    def first_port(self) -> str | None:
        """Name of the port that is probed."""
        return self.ready.port or next(iter(self.ports), None)

    @model_validator(mode="before")
    @classmethod
    def _ports(cls, value: object) -> object:
        if not isinstance(value, dict) or "ports" in value:
            return value
        text = f"{value.get('command')} {value.get('environment')}"
        return {**value, "ports": {"http": SocketPort() if "socket" in placeholders(text) else AutoPort()}}
