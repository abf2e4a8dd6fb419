"""What instances stand on: the shim, the directories of their sockets and logs, free ports, serial numbers.

The edge of `supervise`: it touches files and sockets, and decides nothing.
"""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from pinfold.base.address import Address, TcpAddress, UnixAddress
from pinfold.base.clock import Clock
from pinfold.config.model import FixedPorts, Program, SocketPort
from pinfold.supervise.launch import Birth, Host, fingerprint
from pinfold.supervise.shim import Shim
from pinfold.supervise.wire import Identity, LogFile

__all__ = ["Ground", "Grounds"]

Surroundings = Callable[[Program], tuple[Mapping[str, str], Identity | None]]
"""The base environment and the identity of a program on this machine."""


class Grounds:
    """Shared by all programs; `for_program` gives each its own view."""

    def __init__(self, shim: Shim, run_directory: Path, clock: Clock, surroundings: Surroundings) -> None:
        self.shim = shim
        self.clock = clock
        self.surroundings = surroundings
        self.log: Callable[[str], LogFile]
        self.sockets = run_directory / "sockets"
        self._serials = count(1)

    def serials_from(self, first: int) -> None:
        """Number processes from `first` on: an earlier daemon has used those before."""
        self._serials = count(first)

    def next_serial(self) -> int:
        """A number no process had before."""
        return next(self._serials)

    def for_program(self, program: str) -> "Ground":
        """The view of one program."""
        return Ground(self, program)


class Ground:
    """What the instances of one program stand on."""

    def __init__(self, grounds: Grounds, program: str) -> None:
        self._grounds = grounds
        self.program = program

    @property
    def shim(self) -> Shim:
        """The connection to the shim."""
        return self._grounds.shim

    def birth(self, program: Program, index: int, generation: int) -> Birth:
        """Choose the serial number and the addresses of a new process."""
        serial = self._grounds.next_serial()
        directory = self._grounds.sockets / f"{self.program}.{index}-{serial}"
        addresses: dict[str, Address] = {}
        for name, port in program.ports.items():
            if isinstance(port, SocketPort):
                addresses[name] = UnixAddress(str(directory / f"{name}.sock"))
            elif isinstance(port, FixedPorts):
                addresses[name] = TcpAddress("127.0.0.1", port.numbers[index - 1])
            else:
                addresses[name] = TcpAddress("127.0.0.1", _free_port())
        return Birth(
            program=self.program,
            index=index,
            serial=serial,
            generation=generation,
            fingerprint=fingerprint(program, index),
            addresses=addresses,
            born=self._grounds.clock.now().timestamp(),
        )

    def host(self, program: Program, birth: Birth) -> Host:
        """What this machine adds to the program."""
        environment, identity = self._grounds.surroundings(program)
        return Host(environment=environment, identity=identity, log=self._grounds.log(birth.instance))

    def prepare(self, program: Program, birth: Birth) -> None:
        """Make the directory of the sockets, which only the program's user (and root) may enter.

        For a program of another user the directories above may be passed through, not listed: what else is in the
        run directory is 0600, and control sockets ask for the peer's user besides.
        """
        directory = self._directory(birth)
        if directory is None:
            return
        directory.mkdir(mode=0o700, parents=True)
        _, identity = self._grounds.surroundings(program)
        if identity is not None and os.geteuid() == 0:
            for above in (self._grounds.sockets.parent, self._grounds.sockets):
                above.chmod(0o711)
            os.chown(directory, identity.uid, identity.gid)

    def clear(self, birth: Birth) -> None:
        """Remove the sockets of a process that has ended."""
        directory = self._directory(birth)
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def _directory(self, birth: Birth) -> Path | None:
        paths = [address.path for address in birth.addresses.values() if isinstance(address, UnixAddress)]
        return Path(paths[0]).parent if paths else None


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number
