"""One program: its instances, and how they are brought from what is to what is wanted.

`instances` holds one instance for each slot; one that is being replaced lives on in `leaving` until it is down.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from typing import Final

from pinfold.base.clock import Clock
from pinfold.base.rng import Rng
from pinfold.config.model import FixedPorts
from pinfold.config.model import Program as ProgramConfig
from pinfold.supervise.ground import Ground
from pinfold.supervise.instance import Instance
from pinfold.supervise.launch import Birth, fingerprint
from pinfold.supervise.machine import Phase
from pinfold.supervise.rollout import Kind, Step, plan
from pinfold.supervise.rules import may_leave

__all__ = ["Program", "RolloutError", "Tell"]

Tell = Callable[[str, str], None]
"""Told what happened: the name of an instance or program, and a sentence."""

_SLACK: Final = 15.0
"""Seconds beyond the deadlines of an instance's own phases until a rollout step is given up."""


class RolloutError(Exception):
    """An instance did not become ready; `instance` is its name, and what ran before runs on."""

    def __init__(self, instance: str, why: str, pid: int | None = None) -> None:
        super().__init__(f"{instance} did not become ready: {why}")
        self.instance = instance
        self.why = why
        self.pid = pid
        """The process that failed, whose last lines of output may tell more; None when there was none."""


class Program:
    """A program with its instances; the `Owner` of each."""

    def __init__(self, config: ProgramConfig, ground: Ground, clock: Clock, rng: Rng, tell: Tell) -> None:
        self.config = config
        self.generation = 1
        self.instances: dict[int, Instance] = {}
        self.leaving: list[Instance] = []
        self.on_standing: Callable[[], None] = lambda: None
        self._ground = ground
        self._clock = clock
        self._rng = rng
        self._tell = tell

    @property
    def name(self) -> str:
        """As in the config."""
        return self._ground.program

    @property
    def everyone(self) -> list[Instance]:
        """All instances, those that are being replaced included."""
        return [*(self.instances[index] for index in sorted(self.instances)), *self.leaving]

    def standing_changed(self, instance: Instance) -> None:
        """Part of `Owner`."""
        self.on_standing()

    def may_leave(self, instance: Instance) -> bool:
        """Part of `Owner`."""
        running = [other for other in self.everyone if other.state.phase is Phase.RUNNING]
        return may_leave(ready=sum(other.ready for other in running), running=len(running))

    def tell(self, instance: Instance, text: str) -> None:
        """Part of `Owner`."""
        self._tell(instance.name, text)

    def adopt(self, birth: Birth, pid: int, age: float) -> None:
        """Take over a process of an earlier daemon; of two for one slot the older one is to leave."""
        instance = self._new(birth.index)
        instance.adopt(birth, pid, age)
        self.generation = max(self.generation, birth.generation)
        before = self.instances.get(birth.index)
        older = before if before is None or (before.birth and before.birth.serial < birth.serial) else instance
        if older is not instance:
            self.instances[birth.index] = instance
        if older is not None:
            self._let_go(older)

    def stale(self, config: ProgramConfig) -> set[int]:
        """The slots whose process was, or would be, started from another configuration than `config`."""
        return {
            index
            for index, instance in self.instances.items()
            if index <= config.instances and instance.wanted and self._origin(instance) != fingerprint(config, index)
        }

    def start_all(self, stopped: Collection[int] = ()) -> None:
        """Want every slot up that has no instance, but those the operator has stopped; does not wait."""
        for index in range(1, self.config.instances + 1):
            if index not in self.instances:
                self.instances[index] = self._new(index)
                if index not in stopped:
                    self.instances[index].start()

    async def first_start(self, stopped: Collection[int] = ()) -> None:
        """Start all but those the operator has stopped, and `settle`."""
        self.start_all(stopped)
        await self.settle()

    async def settle(self) -> None:
        """Wait until each instance that is wanted is ready or has failed once.

        Raises:
            RolloutError: none is ready, so the program as a whole does not run.
        """
        instances = [instance for instance in self.instances.values() if instance.wanted]
        await asyncio.gather(*(instance.wait_tried() for instance in instances))
        if instances and not any(instance.ready for instance in instances):
            raise RolloutError(instances[0].name, failure(instances[0]), instances[0].last_pid)

    async def converge(self, config: ProgramConfig) -> None:
        """Make `config` true: more or fewer instances, and new ones where what they were started from has changed.

        Raises:
            RolloutError: a new instance did not become ready. What was replaced before it stays replaced.
        """
        changed = self.stale(config)
        self.config = config
        if changed:
            self.generation += 1
        steps = plan(up=self.instances.keys(), wanted=config.instances, changed=changed, surge=self._surge)
        await self._together(step for step in steps if step.kind is Kind.START)
        for step in steps:
            if step.kind is not Kind.START:
                await self._carry_out(step)

    async def restart(self, indices: Collection[int]) -> None:
        """Replace these instances one after the other, each ready before the next.

        Raises:
            RolloutError: one did not become ready; those after it are untouched.
        """
        kind = Kind.SURGE if self._surge else Kind.REPLACE
        for index in sorted(indices):
            up = self.instances[index].wanted
            await self._carry_out(Step(kind if up else Kind.START, index))

    async def start(self, indices: Collection[int]) -> None:
        """Start these; RolloutError when one does not become ready (it is tried on)."""
        await self._together(Step(Kind.START, index) for index in indices)

    async def stop(self, indices: Collection[int]) -> None:
        """Drain and stop these; they stay known, as stopped."""
        for index in indices:
            self.instances[index].stop()
        await asyncio.gather(*(self._down(self.instances[index]) for index in indices))

    async def dismiss(self) -> None:
        """Drain and stop all instances for good."""
        for instance in self.everyone:
            instance.stop()
        await asyncio.gather(*(self._down(instance) for instance in self.everyone))
        for instance in self.everyone:
            instance.close()
        self.instances.clear()
        self.leaving.clear()

    @property
    def _surge(self) -> bool:
        return not any(isinstance(port, FixedPorts) for port in self.config.ports.values())

    def _origin(self, instance: Instance) -> str:
        if instance.birth is not None:
            return instance.birth.fingerprint
        return fingerprint(self.config, instance.index) if instance.index <= self.config.instances else ""

    async def _together(self, steps: Iterable[Step]) -> None:
        """Carry out steps side by side; when all have ended, the first failure is raised."""
        outcomes = await asyncio.gather(*(self._carry_out(step) for step in steps), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _new(self, index: int) -> Instance:
        return Instance(self, index, self._ground, self._clock, self._rng)

    async def _carry_out(self, step: Step) -> None:
        match step.kind:
            case Kind.START:
                if step.index not in self.instances:
                    self.instances[step.index] = self._new(step.index)
                instance = self.instances[step.index]
                instance.start()
                await self._up(instance)
            case Kind.SURGE:
                await self._surge_step(step.index)
            case Kind.REPLACE:
                instance = self.instances[step.index]
                instance.stop()
                await self._down(instance)
                instance.start()
                await self._up(instance)
            case Kind.STOP:
                instance = self.instances.pop(step.index)
                await self._let_go(instance)

    async def _surge_step(self, index: int) -> None:
        old, new = self.instances[index], self._new(index)
        self.leaving.append(new)
        new.start()
        try:
            await self._up(new)
        except BaseException:
            await asyncio.shield(self._let_go(new))
            raise
        self.leaving.remove(new)
        self.instances[index] = new
        new.restarts = old.restarts
        await self._let_go(old)

    def _let_go(self, instance: Instance) -> "asyncio.Task[None]":
        """Drain and stop an instance that has no slot any more; it is listed until it is down."""
        if instance not in self.leaving:
            self.leaving.append(instance)
        instance.stop()

        async def follow() -> None:
            await self._down(instance)
            instance.close()
            self.leaving.remove(instance)

        return asyncio.create_task(follow())

    async def _up(self, instance: Instance) -> None:
        failures = instance.failures
        try:
            async with asyncio.timeout(self.config.start_timeout + _SLACK):
                await instance.wait_until(lambda: instance.ready or instance.failures > failures or not instance.wanted)
        except TimeoutError:
            raise RolloutError(instance.name, "not in time", instance.last_pid) from None
        if not instance.ready:
            raise RolloutError(instance.name, failure(instance), instance.last_pid)

    async def _down(self, instance: Instance) -> None:
        try:
            async with asyncio.timeout(self.config.drain + self.config.stop.timeout + _SLACK):
                await instance.wait_until(lambda: instance.down or instance.wanted)
        except TimeoutError:
            instance.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SLACK):
                    await instance.wait_until(lambda: instance.down or instance.wanted)


def failure(instance: Instance) -> str:
    """Why an instance is not ready, in words."""
    return instance.last_exit or instance.probe_failure or "stopped meanwhile"
