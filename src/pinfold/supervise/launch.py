"""From a program as configured to the process of one of its instances: what the shim is told. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pinfold.base.address import Address, TcpAddress, UnixAddress, parse_address
from pinfold.config.model import FixedPorts, Program
from pinfold.config.template import expand
from pinfold.supervise.wire import Identity, LogFile, Process, Rlimit

__all__ = ["Birth", "Host", "fingerprint", "launch", "template_values"]


Resource = Literal["core", "open_files", "processes"]


@dataclass(frozen=True, slots=True)
class Birth:
    """What identifies one process of an instance; travels as the label, so that a daemon which comes back knows it."""

    program: str
    index: int
    serial: int
    """Counts the processes of this pinfold; never used twice."""
    generation: int
    """Version of the program's instances."""
    fingerprint: str
    addresses: Mapping[str, Address]
    """By name of the port."""
    born: float
    """Wall clock, seconds since 1970, for people only."""

    @property
    def instance(self) -> str:
        """Name of the instance: `web.1`."""
        return f"{self.program}.{self.index}"

    @property
    def key(self) -> str:
        """Key of the process at the shim: `web.1-7`."""
        return f"{self.instance}-{self.serial}"

    def label(self) -> str:
        """This birth as the text the shim keeps."""
        return json.dumps(
            {
                "program": self.program,
                "index": self.index,
                "serial": self.serial,
                "generation": self.generation,
                "fingerprint": self.fingerprint,
                "addresses": {port: str(address) for port, address in self.addresses.items()},
                "born": self.born,
            }
        )

    @classmethod
    def from_label(cls, label: str) -> "Birth":
        """The birth a label was made from.

        Raises:
            ValueError: the label is not one of ours.
        """
        try:
            fields = json.loads(label)
            addresses = {port: parse_address(text) for port, text in fields.pop("addresses").items()}
            return cls(addresses=addresses, **fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not the label of an instance: {error}") from error


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine adds to a program's configuration."""

    environment: Mapping[str, str]
    identity: Identity | None
    log: LogFile


def fingerprint(program: Program, index: int) -> str:
    """A digest of everything a running process was started from; another digest means it must be replaced."""
    ports = {
        name: str(port.numbers[index - 1]) if isinstance(port, FixedPorts) else type(port).__name__
        for name, port in program.ports.items()
    }
    facts = {
        "command": program.command,
        "ports": ports,
        "working_directory": str(program.working_directory),
        "identity": [program.user, program.group, program.groups],
        "environment": sorted(program.environment.items()),
        "environment_files": [str(path) for path in program.environment_files],
        "limits": program.limits.model_dump(mode="json"),
        "umask": program.umask,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def template_values(birth: Birth) -> dict[str, str]:
    """What the placeholders of a program's command and environment stand for."""
    values = {"instance": birth.instance, "index": str(birth.index), "generation": str(birth.generation)}
    for name, address in birth.addresses.items():
        match address:
            case TcpAddress(port=number):
                values[f"port.{name}"] = str(number)
            case UnixAddress(path=path):
                values[f"socket.{name}"] = path
    for kind in ("port", "socket"):
        named = [value for key, value in values.items() if key.startswith(f"{kind}.")]
        if len(named) == 1:
            values[kind] = named[0]
    return values


def launch(program: Program, birth: Birth, host: Host) -> Process:
    """What the shim is to start for this birth."""
    values = template_values(birth)
    environment = dict(host.environment)
    environment.update({name: expand(text, values) for name, text in program.environment.items()})
    environment["PINFOLD_INSTANCE"] = birth.instance
    environment["PINFOLD_GENERATION"] = str(birth.generation)
    if "port" in values:
        environment.setdefault("PORT", values["port"])
    return Process(
        key=birth.key,
        label=birth.label(),
        role="program",
        argv=tuple(expand(word, values) for word in program.command),
        environment=tuple(f"{name}={value}" for name, value in sorted(environment.items())),
        working_directory=str(program.working_directory),
        identity=host.identity,
        umask=program.umask,
        rlimits=_rlimits(program),
        log=host.log,
        access_log=None,
    )


def _rlimits(program: Program) -> tuple[Rlimit, ...]:
    limits = program.limits
    named: dict[Resource, int | None] = {
        "core": limits.core,
        "open_files": limits.open_files,
        "processes": limits.processes,
    }
    return tuple(Rlimit(resource=resource, value=value) for resource, value in named.items() if value is not None)
