"""One instance: drives the table of `machine` and carries its actions out through the shim.

An event is taken at once, and what concerns the pools happens in the same call: a dead instance has left its pools
before anything is awaited. All else that an event asks for is done in order by one task, so a spawn never overtakes
the sweep before it.
"""

import asyncio
import signal as signals
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from pinfold.base.address import Address
from pinfold.base.clock import Clock
from pinfold.base.rng import Rng
from pinfold.base.seam import SeamLostError
from pinfold.config.model import Program
from pinfold.supervise.backoff import Backoff
from pinfold.supervise.ground import Ground
from pinfold.supervise.launch import Birth, launch
from pinfold.supervise.machine import Action, Event, Phase, State, event_for_exit, step
from pinfold.supervise.probing import Probing
from pinfold.supervise.shim import ShimError
from pinfold.supervise.wire import Exit

__all__ = ["Instance", "Owner", "Standing", "describe_exit"]

Standing = Literal["out", "ready", "drain"]
"""What the proxy is to think of an instance: not there, ready for requests, or to be drained."""


class Owner(Protocol):
    """The program an instance belongs to, as far as the instance needs it."""

    config: Program
    generation: int

    def standing_changed(self, instance: "Instance") -> None:
        """The instance's place in its pools has changed; the proxy must hear of it now."""

    def may_leave(self, instance: "Instance") -> bool:
        """Whether a ready instance may be taken out because its probe fails."""

    def tell(self, instance: "Instance", text: str) -> None:
        """Something an operator wants to read has happened."""


class Instance:
    """One slot of a program and the process in it."""

    def __init__(self, owner: Owner, index: int, ground: Ground, clock: Clock, rng: Rng) -> None:
        self.owner = owner
        self.index = index
        self.wanted = False
        self.state = State()
        self.standing: Standing = "out"
        self.birth: Birth | None = None
        self.pid: int | None = None
        self.failures = 0
        """Processes that ended, or never came to be, before they were ready; since the instance exists."""
        self.restarts = 0
        self.last_exit = ""
        self.last_pid: int | None = None
        """The process in it, or the last one there was."""
        self.retry_at: float | None = None
        self._program = owner.config
        self._ground = ground
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff()
        self._requested = False
        self._ended_key = ""
        self._known = False
        self._was_ready = False
        self._started_at = clock.monotonic()
        self._probing: Probing | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._undrained: set[str] = set()
        self._pulse = asyncio.Event()
        self._jobs: asyncio.Queue[tuple[Action, Birth | None]] = asyncio.Queue()
        self._task: asyncio.Task[None] = asyncio.create_task(self._carry_out())
        self._task.add_done_callback(self._fell)

    @property
    def name(self) -> str:
        """`web.1`."""
        return f"{self._program_name}.{self.index}"

    @property
    def _program_name(self) -> str:
        return self._ground.program

    @property
    def ready(self) -> bool:
        """Whether requests may be sent to it."""
        return self.state == State(Phase.RUNNING, ready=True)

    @property
    def down(self) -> bool:
        """Whether nothing of it is left."""
        return self.state.phase is Phase.STOPPED and self._jobs.empty() and self.birth is None

    @property
    def addresses(self) -> Mapping[str, Address]:
        """Where its process answers, by name of the port."""
        return self.birth.addresses if self.birth else {}

    @property
    def uptime(self) -> float | None:
        """Seconds since its process was started; None without a process."""
        return self._clock.monotonic() - self._started_at if self.pid is not None else None

    @property
    def probe_failure(self) -> str:
        """Why the last failed probe of its process failed."""
        return self._probing.last_failure if self._probing else ""

    def start(self) -> None:
        """Want it up."""
        self.wanted = True
        self._backoff = Backoff()
        self._take(Event.START)

    def stop(self) -> None:
        """Want it down: drained, then stopped."""
        self.wanted = False
        self._requested = True
        self._take(Event.STOP)

    def restart_in_place(self) -> None:
        """Drain and stop it, then start it again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Do not wait for the drain, nor for the process to end by itself."""
        self._later(Action.KILL)

    def adopt(self, birth: Birth, pid: int, age: float) -> None:
        """Take over a process that an earlier daemon started `age` seconds ago."""
        self.wanted = True
        self.birth = birth
        self.pid = self.last_pid = pid
        self._known = True
        self._started_at = self._clock.monotonic() - age
        self.state = State(Phase.STARTING)
        self._take(Event.SPAWNED)
        self._arm(self.owner.config.start_timeout)

    def exited(self, key: str, exit: Exit) -> None:
        """The shim tells that the process of this key has ended."""
        if self.birth is None or self.birth.key != key or self._ended_key == key:
            return
        succeeded = exit.code == 0
        self.last_exit = describe_exit(exit)
        lived = self._clock.monotonic() - self._started_at
        self.pid = None
        self._ended_key = key
        again = self.wanted and self._requested
        policy = "always" if again else self.owner.config.restart
        event = event_for_exit(wanted=self.wanted, restart=policy, succeeded=succeeded)
        if not self._requested:
            self._count_death(lived)
            self.owner.tell(self, f"{self.last_exit} after {lived:.1f} s{self._what_next(event)}")
        else:
            self._backoff = Backoff()
        self._take(event)

    def drained(self, address: str) -> None:
        """The proxy tells that nothing is in flight to this address any more."""
        if self.state.phase is Phase.DRAINING and address in self._undrained:
            self._undrained.discard(address)
            if not self._undrained:
                self._take(Event.DRAINED)

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds`; whoever waits bounds it, the phases of an instance all have deadlines."""
        while not holds():
            await self._pulse.wait()

    async def wait_tried(self) -> None:
        """Return once it is ready, or has failed before it was."""
        await self.wait_until(lambda: self.ready or self.failures > 0)

    async def wait_probed(self) -> None:
        """Return once its process has been found to answer, or not to."""
        await self.wait_until(lambda: self.ready or bool(self.probe_failure))

    def close(self) -> None:
        """Let go of the instance; its process runs on."""
        self._disarm()
        if self._probing:
            self._probing.cancel()
        self._task.cancel()

    def _what_next(self, event: Event) -> str:
        if event is Event.ENDED:
            return ""
        if self._backoff.looping:
            return "; crash loop, trying on at the longest delay"
        return "; starting it again"

    def _count_death(self, lived: float) -> None:
        self.restarts += 1
        self._backoff = self._backoff.died(self._clock.monotonic(), lived)
        if not self._was_ready:
            self.failures += 1

    def _take(self, event: Event) -> None:
        before = self.state
        if event is Event.UNREADY and not self.owner.may_leave(self):
            return
        self.state, actions = step(self.state, event)
        if self.state.phase is not before.phase:
            self._disarm()
        for action in actions:
            self._at_once(action)
        if self.state != before:
            self._announce(before)
        self._notify()

    def _announce(self, before: State) -> None:
        if self.ready:
            self._was_ready = True
            self.owner.tell(self, f"ready after {self.uptime or 0:.1f} s" if not self._known else "ready, taken over")
        elif before.ready and self.state.phase is Phase.RUNNING:
            self.owner.tell(self, f"not ready: {self.probe_failure}")
        elif self.state.phase in (Phase.DRAINING, Phase.STOPPED):
            self.owner.tell(self, self.state.phase.value)

    def _at_once(self, action: Action) -> None:
        match action:
            case Action.ENROL:
                self._stand("ready")
            case Action.LEAVE:
                self._stand("out")
            case Action.DRAIN:
                self._drain()
            case Action.CANCEL:
                self._disarm()
            case _:
                self._later(action)

    def _stand(self, standing: Standing) -> None:
        if self.standing != standing:
            self.standing = standing
            self.owner.standing_changed(self)

    def _drain(self) -> None:
        self._arm(self.owner.config.drain)
        if self.standing == "out" or not self.addresses:
            asyncio.get_running_loop().call_soon(self._take, Event.DRAINED)
            return
        self._undrained = {str(address) for address in self.addresses.values()}
        self._stand("drain")

    def _later(self, action: Action) -> None:
        self._jobs.put_nowait((action, self.birth))

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.retry_at = None

    def _expire(self) -> None:
        match self.state.phase:
            case Phase.STARTING:
                self.failures += 1
                why = self.probe_failure or "no answer"
                self.owner.tell(self, f"not ready within {self.owner.config.start_timeout:g} s: {why}")
            case Phase.DRAINING:
                self.owner.tell(self, "requests still in flight at the end of the drain time are cut")
            case Phase.STOPPING:
                self.owner.tell(self, f"did not end within {self.owner.config.stop.timeout:g} s; killed")
            case _:
                pass
        self._take(Event.DEADLINE)

    def _probed(self, event: Event | None) -> None:
        if event is None:
            self._notify()
        else:
            self._take(event)

    def _notify(self) -> None:
        pulse, self._pulse = self._pulse, asyncio.Event()
        pulse.set()

    async def _carry_out(self) -> None:
        while True:
            action, birth = await self._jobs.get()
            try:
                await self._act(action, birth)
            except (SeamLostError, ShimError) as error:
                if self._ground.shim.lost:
                    return  # The shim is gone, and with it every process; the daemon starts anew.
                self.owner.tell(self, f"{action.value} failed: {error}")
            finally:
                self._notify()

    def _fell(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.owner.tell(self, f"is not looked after any more, a fault of pinfold's: {error!r}")

    async def _act(self, action: Action, birth: Birth | None) -> None:
        shim = self._ground.shim
        match action:
            case Action.SPAWN:
                await self._spawn()
            case Action.PROBE if birth is not None:
                first = self._program.first_port
                address = birth.addresses.get(first) if first else None
                wanted = lambda: self.owner.config.ready  # noqa: E731 - the probe follows the config as it changes
                self._probing = Probing(address, wanted, self._probed, known=self._known)
            case Action.SIGNAL if self.birth is not None:  # It may have been spawned since the signal was asked for.
                self._arm_in(Phase.STOPPING, self.owner.config.stop.timeout)
                await shim.signal(self.birth.key, signals.Signals[f"SIG{self.owner.config.stop.signal}"])
            case Action.KILL if birth is not None:
                await shim.kill_tree(birth.key)
            case Action.SWEEP:
                await self._sweep(birth)
            case Action.BACK_OFF:
                delay = self._backoff.delay(self._rng.uniform(0.5, 1.5))
                if self.state.phase is Phase.BACKOFF:
                    self._arm(delay)
                    self.retry_at = self._clock.monotonic() + delay
            case _:
                pass

    def _arm_in(self, phase: Phase, seconds: float) -> None:
        if self.state.phase is phase:
            self._arm(seconds)

    async def _spawn(self) -> None:
        self._program = self.owner.config
        self._requested = self._known = self._was_ready = False
        birth = self._ground.birth(self._program, self.index, self.owner.generation)
        try:
            self._ground.prepare(self._program, birth)
            process = launch(self._program, birth, self._ground.host(self._program, birth))
            self.birth = birth
            self._started_at = self._clock.monotonic()
            spawned = await self._ground.shim.spawn(process)
        except (ShimError, OSError) as error:
            self.failures += 1
            self._backoff = self._backoff.died(self._clock.monotonic(), 0)
            self.birth = None  # There is nothing to sweep but the directory made for it.
            self._ground.clear(birth)
            self.last_exit = f"cannot be started: {error}"
            self.owner.tell(self, self.last_exit)
            stopping = self.state.phase is Phase.STOPPING
            again = event_for_exit(wanted=self.wanted, restart="always", succeeded=False)
            self._take(again if stopping else Event.SPAWN_FAILED)
            return
        self.last_pid = spawned.pid
        if self._ended_key == birth.key:
            return  # Its exit was told together with its start.
        self.pid = spawned.pid
        self._arm_in(Phase.STARTING, self._program.start_timeout)
        self._take(Event.SPAWNED)

    async def _sweep(self, birth: Birth | None) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        if birth is None:
            return
        try:
            await self._ground.shim.kill_tree(birth.key)
            await self._ground.shim.forget([birth.key])
        finally:
            self._ground.clear(birth)
            if self.birth is birth:
                self.birth = None


def describe_exit(exit: Exit) -> str:
    """How a process ended, in words."""
    if exit.signal is not None:
        try:
            return f"killed by SIG{signals.Signals(exit.signal).name.removeprefix('SIG')}"
        except ValueError:
            return f"killed by signal {exit.signal}"
    return f"exited with status {exit.code}"
