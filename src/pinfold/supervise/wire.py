"""Messages between the daemon and the shim (protocol/PROTOCOL.md; the Rust side is `dataplane/wire`).

Pure. A process is known by its key, which the daemon chooses and never uses twice.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pinfold.base.messages import Message, ProblemReport

__all__ = [
    "Done",
    "Dropped",
    "Exit",
    "Exited",
    "Failed",
    "Forget",
    "FromShim",
    "Hello",
    "Identity",
    "Listen",
    "ListenAddress",
    "LogFile",
    "Process",
    "ProcessReport",
    "Rlimit",
    "ShimHello",
    "Signal",
    "Spawn",
    "Spawned",
    "Stop",
    "ToShim",
    "decode_from_shim",
    "decode_to_shim",
]


class Hello(Message):
    """First message of the connection."""

    type: Literal["hello"] = "hello"
    protocol: int
    version: str


class ListenAddress(Message):
    """One address to listen on, and how many sockets to bind there."""

    address: str
    sockets: int


class Listen(Message):
    """The whole set of addresses to listen on."""

    type: Literal["listen"] = "listen"
    serial: int
    addresses: tuple[ListenAddress, ...]


class Identity(Message):
    """User and groups, as numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Rlimit(Message):
    """One resource limit, hard and soft alike."""

    resource: Literal["core", "open_files", "processes"]
    value: int


class LogFile(Message):
    """A log file and its rotation."""

    path: str
    max_bytes: int
    keep: int


class Process(Message):
    """Everything about a process to start."""

    key: str
    label: str
    role: Literal["program", "proxy"]
    argv: tuple[str, ...]
    environment: tuple[str, ...] = Field(repr=False)
    working_directory: str
    identity: Identity | None
    umask: int
    rlimits: tuple[Rlimit, ...]
    log: LogFile
    access_log: LogFile | None


class Spawn(Message):
    """Start a process."""

    type: Literal["spawn"] = "spawn"
    serial: int
    process: Process


class Signal(Message):
    """Signal a process or its whole tree."""

    type: Literal["signal"] = "signal"
    serial: int
    key: str
    signal: int
    scope: Literal["process", "tree"]


class Forget(Message):
    """Forget processes whose exit has been dealt with."""

    type: Literal["forget"] = "forget"
    serial: int
    keys: tuple[str, ...]


class Stop(Message):
    """Kill every tree, close every socket, exit."""

    type: Literal["stop"] = "stop"


class Exit(Message):
    """How a process ended; exactly one is present."""

    code: int | None
    signal: int | None


class ProcessReport(Message):
    """What the shim knows of a process."""

    key: str
    label: str
    role: Literal["program", "proxy"]
    pid: int
    start_ticks: int
    exit: Exit | None


class ShimHello(Message):
    """Answer to `hello`: all that a daemon which comes back must know."""

    type: Literal["hello"] = "hello"
    protocol: int
    version: str
    pid: int
    addresses: tuple[ListenAddress, ...]
    processes: tuple[ProcessReport, ...]


class Done(Message):
    """The request of this serial is carried out."""

    type: Literal["done"] = "done"
    serial: int


class Failed(Message):
    """The request of this serial failed."""

    type: Literal["failed"] = "failed"
    serial: int
    problems: tuple[ProblemReport, ...]


class Spawned(Message):
    """The process runs: its program has been executed."""

    type: Literal["spawned"] = "spawned"
    serial: int
    key: str
    pid: int
    start_ticks: int


class Exited(Message):
    """A process has ended."""

    type: Literal["exited"] = "exited"
    key: str
    pid: int
    exit: Exit


class Dropped(Message):
    """Lines of a log could not be written since the last report."""

    type: Literal["dropped"] = "dropped"
    path: str
    lines: int
    errno: int | None


ToShim = Hello | Listen | Spawn | Signal | Forget | Stop
FromShim = ShimHello | Done | Failed | Spawned | Exited | Dropped

_TO_SHIM: TypeAdapter[ToShim] = TypeAdapter(Annotated[ToShim, Field(discriminator="type")])
_FROM_SHIM: TypeAdapter[FromShim] = TypeAdapter(Annotated[FromShim, Field(discriminator="type")])


def decode_to_shim(json_bytes: bytes) -> ToShim:
    """The message in the JSON of a frame; ValueError (pydantic) for anything else."""
    return _TO_SHIM.validate_json(json_bytes)


def decode_from_shim(json_bytes: bytes) -> FromShim:
    """The message in the JSON of a frame; ValueError (pydantic) for anything else."""
    return _FROM_SHIM.validate_json(json_bytes)
