"""The composition root: `run` builds all that a pinfold is made of, serves until told to stop, and leaves nothing.

The CLI hands in a `RunRequest`; all else that touches the outside world is made here.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pinfold.api.application import Operation, create_application
from pinfold.api.control_socket import ControlSocket
from pinfold.api.models import Progress, Status, Verdict
from pinfold.base.clock import Clock, SystemClock
from pinfold.base.errors import ConfigError, FailedError, PinfoldError, Problem, UnknownNameError
from pinfold.base.rng import SystemRng
from pinfold.base.seam import SeamLostError
from pinfold.certs.store import check_certificates, load_certificates
from pinfold.config.model import DaemonSettings
from pinfold.config.read import LoadedConfig
from pinfold.daemon import operations, reload, status
from pinfold.daemon.checks import check_machine
from pinfold.daemon.events import Events, announce_on_stderr
from pinfold.daemon.listening import addresses_of
from pinfold.daemon.parts import InForce, Outside, Parts, Site
from pinfold.daemon.paths import choose_log_directory, choose_state_directory, path_problems
from pinfold.daemon.reports import Commands
from pinfold.daemon.run_directory import RunDirectory
from pinfold.daemon.shim_process import ShimProcess, executable
from pinfold.daemon.start import bring_up, explain
from pinfold.daemon.stop import wind_down
from pinfold.daemon.surroundings import with_environment_files
from pinfold.supervise.launch import Birth
from pinfold.supervise.wire import ShimHello

__all__ = ["RunRequest", "run"]

_LOSSES_MOST: Final = 5
"""A shim that ends so often within `_LOSSES_WINDOW` seconds is not started again."""
_LOSSES_WINDOW: Final = 60.0
_LOSS_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `pinfold run` is asked for."""

    load: Callable[[], LoadedConfig]
    """Reads the config, or makes one, anew at each apply; ConfigError with all problems."""
    run_directory: Path
    """As `daemon.paths.choose_run_directory` says."""
    config_path: Path | None = None
    """The config file, for status; None when pinfold runs without one."""
    announce: Callable[[str], None] = field(default=announce_on_stderr)
    """Shows a line to whoever started it; must not block."""
    on_ready: Callable[[], None] = field(default=lambda: None)
    """Called once, after the line `pinfold: ready`."""


def run(request: RunRequest) -> int:
    """Serve until told to stop; the exit code.

    Raises:
        ConfigError: with every problem; nothing was started.
        FailedError: something failed at the start, and what was started is stopped; or later, beyond mending.
    """
    return asyncio.run(_Daemon(request, SystemClock()).run())


class _Daemon:
    """One daemon, from its first line to its last."""

    def __init__(self, request: RunRequest, clock: Clock) -> None:
        self._request = request
        self._clock = clock
        self._events = Events(clock, request.announce)
        self._outside = Outside(clock, SystemRng(), self._events)
        self._directory = RunDirectory(request.run_directory)
        self._commands = Commands(self._events)
        self._socket = ControlSocket(self._directory.socket, create_application(self._status, self._operate))
        self._started_at = clock.monotonic()
        self._settings = DaemonSettings()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._lost = asyncio.Event()
        self._ending = False
        self._parts: Parts | None = None
        self._served = False
        self._aside: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """See `run` of the module."""
        self._catch_signals()
        self._settings = (await asyncio.to_thread(self._request.load)).config.daemon
        self._directory.claim(os.getpid())
        losses: deque[float] = deque(maxlen=_LOSSES_MOST)
        force: InForce | None = None
        try:
            while (lost := await self._live_with_a_shim(force)) is not None:
                force = lost
                losses.append(self._clock.monotonic())
                if len(losses) == _LOSSES_MOST and losses[-1] - losses[0] < _LOSSES_WINDOW:
                    raise FailedError(f"the shim ended {_LOSSES_MOST} times within a minute", "see its log, shim.log")
                self._events.tell("shim", "it ended, and with it all it had started; starting everything anew")
                await asyncio.sleep(_LOSS_PAUSE)
            return 0
        finally:
            self._directory.release()

    def _load(self, held: Collection[str]) -> InForce:
        """The config read anew, and what belongs to it.

        Args:
            held: addresses that this pinfold and its instances have.

        Raises:
            ConfigError: with every problem.
        """
        loaded = self._request.load()
        now = self._clock.now()
        problems = path_problems(self._directory.path, loaded.config)
        problems += [*check_machine(loaded, held=held), *check_certificates(loaded, now)]
        if problems:
            raise ConfigError(problems)
        loaded = with_environment_files(loaded)
        state = choose_state_directory(self._settings.state_directory, os.environ, os.geteuid())
        return InForce(loaded, load_certificates(loaded, state, now))

    def _site_of(self, force: InForce) -> Site:
        logs = choose_log_directory(self._settings.log_directory, os.environ, os.geteuid())
        try:
            logs.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            place = force.loaded.positions.at(("daemon", "log_directory"))
            what = f"cannot make the log directory {logs}: {error.strerror}"
            raise ConfigError([Problem(place, what, "name another as daemon.log_directory")]) from None
        threads = self._settings.proxy_threads or len(os.sched_getaffinity(0))
        return Site(self._directory, logs.absolute(), executable("pinfold-proxy"), threads)

    async def _shim_for(self, force: InForce | None) -> tuple[ShimProcess, InForce]:
        """A shim, and what is to be in force with it: `force`, or the config read anew."""
        process = await ShimProcess.find(self._directory)
        try:
            held = _held(process.shim.hello) if process else ()
            if force is None:
                force = await asyncio.to_thread(self._load, held)
            self._site_of(force)
            return process or await ShimProcess.begin(self._directory), force
        except PinfoldError:
            if process is None:
                self._directory.remove()
            else:
                process.close()
            raise

    async def _live_with_a_shim(self, before: InForce | None) -> InForce | None:
        """Serve for as long as one shim lives; what is in force when it is lost, None when all is stopped."""
        process, force = await self._shim_for(before)
        site = self._site_of(force)
        parts = self._parts = Parts(process.shim, site, self._outside, force)
        self._lost = asyncio.Event()
        hearing = asyncio.create_task(process.shim.run())
        hearing.add_done_callback(lambda _: self._lost.set())
        serving = asyncio.create_task(self._serve(parts, process))
        try:
            await asyncio.wait((hearing, serving), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and not self._ending:
                serving.cancel()
                await asyncio.wait((serving,))
                return parts.force
            await serving
            return None
        except SeamLostError:
            return parts.force  # Whatever was asked of the shim when it ended.
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            parts.close()
            process.close()

    async def _serve(self, parts: Parts, process: ShimProcess) -> None:
        await self._socket.open()
        try:
            if await self._until_stopped(self._bring_up(parts, fresh=process.fresh)):
                await self._stop.wait()
        except PinfoldError:
            if process.fresh and not self._served:
                await self._end(parts, process)
            raise
        finally:
            await self._socket.close()
        await self._end(parts, process)

    async def _bring_up(self, parts: Parts, *, fresh: bool) -> None:
        async with self._commands.turn:
            failures = await bring_up(parts, fresh=fresh)
        if failures and fresh and not self._served:
            explained = "\n".join(explain(parts, failure) for failure in failures)
            raise FailedError(explained, "mend the command, or its config, then run it again")
        for failure in failures:
            self._events.tell("pinfold", explain(parts, failure))
        self._request.announce("pinfold: ready")
        if not self._served:
            self._request.on_ready()
        self._served = True

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was done before it was time to stop; otherwise it is cancelled."""
        working, stopping = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return True
            return False
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _end(self, parts: Parts, process: ShimProcess) -> None:
        """Stop everything, gently or, when hurried, at once; nothing is left."""
        self._ending = True
        self._commands.cancel()
        works = (wind_down(parts), self._hurry.wait(), self._lost.wait())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        process.shim.on_exited = lambda _: None  # What the shim kills now has nothing left to tell.
        parts.supervisor.close()
        parts.keeper.close()
        await process.stop()
        self._directory.remove()

    async def _status(self) -> Status:
        if self._parts is None:
            raise FailedError("pinfold is starting", "ask again in a moment")
        uptime = self._clock.monotonic() - self._started_at
        daemon = status.Daemon(
            pid=os.getpid(), config_path=self._request.config_path, uptime=uptime, stopping=self._stop.is_set()
        )
        return await status.read_status(self._parts, daemon)

    def _operate(self, operation: Operation, names: Sequence[str]) -> AsyncIterator[Progress | Verdict | None]:
        if operation == "apply":
            return self._commands.reports(self._apply, lambda _: True)

        async def work() -> str:
            parts = self._joined()
            match operation:
                case "start":
                    return await operations.start(parts, names)
                case "stop":
                    return await operations.stop(parts, names)
                case _:
                    return await operations.restart(parts, names)

        try:
            chosen = operations.programs_of(self._joined(), names)
        except (UnknownNameError, FailedError):
            chosen = set()  # The work itself raises it.
        return self._commands.reports(work, lambda name: name == "pinfold" or name.partition(".")[0] in chosen)

    def _joined(self) -> Parts:
        if self._parts is None or self._stop.is_set():
            raise FailedError("pinfold is starting or stopping", "try again in a moment")
        return self._parts

    async def _apply(self) -> str:
        parts = self._joined()
        held = [one.address for one in addresses_of(parts.force.config, 1)]
        held += [str(address) for one in parts.supervisor.instances() for address in one.addresses.values()]
        wanted = await asyncio.to_thread(self._load, held)
        note = reload.next_start_notes(self._settings, wanted.config.daemon)
        done = await reload.apply(parts, wanted)
        return f"{done}; {note}" if note else done

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt, "SIGINT")
        loop.add_signal_handler(signal.SIGTERM, self._interrupt, "SIGTERM")
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _interrupt(self, name: str) -> None:
        if not self._stop.is_set():
            self._events.tell("pinfold", f"{name}: stopping; requests in flight are finished first")
            self._stop.set()
        elif name == "SIGINT" and not self._hurry.is_set():
            self._events.tell("pinfold", "stopping at once; requests in flight are cut")
            self._hurry.set()

    def _hang_up(self) -> None:
        if self._parts is None:
            return  # It reads the config just now.
        applying = asyncio.get_running_loop().create_task(self._apply_and_tell())
        self._aside.add(applying)
        applying.add_done_callback(self._aside.discard)

    async def _apply_and_tell(self) -> None:
        async for report in self._commands.reports(self._apply, lambda _: False):
            if isinstance(report, Verdict):
                lines = [report.summary, *report.problems, report.hint]
                said = "\n".join(line for line in lines if line)
                self._events.tell("pinfold", f"SIGHUP: {said}")


def _held(hello: ShimHello) -> list[str]:
    """The addresses that a running pinfold and its instances have."""
    births = [Birth.from_label(report.label) for report in hello.processes if report.role == "program"]
    own = [str(address) for birth in births for address in birth.addresses.values()]
    return [*(listened.address for listened in hello.addresses), *own]
