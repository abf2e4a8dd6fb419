"""All programs: whom an exit or a drained endpoint concerns, and the taking over of what an earlier daemon left."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pinfold.base.clock import Clock
from pinfold.base.rng import Rng
from pinfold.config.model import PortPlan, SocketPort
from pinfold.config.model import Program as ProgramConfig
from pinfold.supervise.ground import Grounds
from pinfold.supervise.instance import Instance, describe_exit
from pinfold.supervise.launch import Birth
from pinfold.supervise.program import Program, Tell
from pinfold.supervise.wire import Exited, ProcessReport

__all__ = ["Supervisor"]

_EARLY_MOST = 10_000
"""Exits that are kept until it is known what runs."""


class Supervisor:
    """The programs that run, by name."""

    def __init__(self, grounds: Grounds, clock: Clock, rng: Rng, tell: Tell) -> None:
        self.programs: dict[str, Program] = {}
        self.on_standing: Callable[[], None] = lambda: None
        self._early: deque[Exited] | None = deque(maxlen=_EARLY_MOST)
        self._grounds = grounds
        self._clock = clock
        self._rng = rng
        self._tell = tell

    def add(self, name: str, config: ProgramConfig) -> Program:
        """A program that is not known yet, without instances."""
        program = Program(config, self._grounds.for_program(name), self._clock, self._rng, self._tell)
        program.on_standing = self._standing_changed
        self.programs[name] = program
        return program

    async def remove(self, name: str) -> None:
        """Drain and stop a program and forget it."""
        await self.programs[name].dismiss()
        del self.programs[name]

    def instances(self) -> Iterator[Instance]:
        """Every instance of every program."""
        for program in self.programs.values():
            yield from program.everyone

    def exited(self, exited: Exited) -> None:
        """The shim tells of an exit; one that comes before `adopt` has taken over the process is kept until then."""
        if self._early is not None:
            self._early.append(exited)
        for instance in self.instances():
            if instance.birth is not None and instance.birth.key == exited.key:
                instance.exited(exited.key, exited.exit)
                return

    def drained(self, pool: str, address: str) -> None:
        """The proxy tells of a drained endpoint."""
        for instance in list(self.instances()):
            instance.drained(address)

    async def adopt(self, reports: Sequence[ProcessReport], programs: Mapping[str, ProgramConfig]) -> list[str]:
        """Take over what runs, and clear away what has ended; the names of programs not configured any more.

        Those are taken over like the others, so that the proxy can be told to drain them before they are removed.
        Returns once each adopted instance has been probed, so that the first snapshot has those that answer.
        """
        now = self._clock.now().timestamp()
        strangers: dict[str, ProgramConfig] = {}
        for report in reports:
            birth = Birth.from_label(report.label)
            self._grounds.serials_from(max(birth.serial + 1, self._grounds.next_serial()))
            if report.exit is not None:
                await self._clear(birth, report)
                continue
            config = programs.get(birth.program) or strangers.setdefault(birth.program, _left_behind(birth))
            program = self.programs.get(birth.program) or self.add(birth.program, config)
            program.adopt(birth, report.pid, max(0.0, now - birth.born))
        early, self._early = self._early or (), None
        for exited in early:
            self.exited(exited)
        adopted = list(self.instances())
        patience = 2 * max((instance.owner.config.ready.timeout for instance in adopted), default=0.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(instance.wait_probed() for instance in adopted))
        return list(strangers)

    async def stop(self) -> None:
        """Stop every instance; the proxy has already been told to end."""
        await asyncio.gather(*(program.dismiss() for program in self.programs.values()))
        self.programs.clear()

    def close(self) -> None:
        """Let go of everything; the processes run on."""
        for instance in self.instances():
            instance.close()

    async def _clear(self, birth: Birth, report: ProcessReport) -> None:
        how = describe_exit(report.exit) if report.exit else "ended"
        self._tell(birth.instance, f"{how} while no daemon ran")
        await self._grounds.shim.kill_tree(birth.key)
        await self._grounds.shim.forget([birth.key])
        self._grounds.for_program(birth.program).clear(birth)

    def _standing_changed(self) -> None:
        self.on_standing()


def _left_behind(birth: Birth) -> ProgramConfig:
    """A configuration for a program whose own is gone: enough to drain and stop it."""
    ports: dict[str, PortPlan] = {name: SocketPort() for name in birth.addresses}
    return ProgramConfig(command=(birth.program,), instances=0, ports=ports, working_directory=Path("/"))
