"""Programs and their instances, driven against the installed shim; the test plays the proxy's part of a drain."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pinfold.base.clock import SystemClock
from pinfold.base.rng import SystemRng
from pinfold.config.model import Config
from pinfold.config.model import Program as ProgramConfig
from pinfold.config.read import parse
from pinfold.supervise.ground import Grounds
from pinfold.supervise.machine import Phase
from pinfold.supervise.program import Program, RolloutError
from pinfold.supervise.shim import Shim, start_shim
from pinfold.supervise.supervisor import Supervisor
from pinfold.supervise.wire import LogFile

SHIM = Path(sysconfig.get_path("scripts")) / "pinfold-shim"
ANSWERS = (
    "import http.server, socketserver, sys\n"
    "class S(socketserver.UnixStreamServer):\n"
    "    def get_request(self): return self.socket.accept()[0], ('', 0)\n"
    "S(sys.argv[1], http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)


@pytest.fixture
def run_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pf-"))
    pid = start_shim(SHIM, directory)
    (directory / "answers.py").write_text(ANSWERS)
    yield directory
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    shutil.rmtree(directory)


def config(directory: Path, changes: str = "", command: str = "") -> Config:
    command = command or f"{sys.executable} {directory}/answers.py {{socket}}"
    text = f"[listeners.web]\nbind = ':8080'\n[programs.app]\ncommand = '{command}'\ninstances = 2\n{changes}\n"
    return parse(text, "p.toml", directory).config


class Stage:
    """A supervisor on a connection to the shim, and a proxy that drains at once."""

    def __init__(self, shim: Shim, directory: Path) -> None:
        grounds = Grounds(shim, directory, SystemClock(), lambda _: ({"PATH": os.environ["PATH"]}, None))
        grounds.log = lambda name: LogFile(path=str(directory / f"{name}.log"), max_bytes=1 << 20, keep=1)
        self.told: list[tuple[str, str]] = []
        tell = lambda who, what: self.told.append((who, what))  # noqa: E731 - one use, one line
        self.supervisor = Supervisor(grounds, SystemClock(), SystemRng(), tell)
        self.supervisor.on_standing = self.drain
        self.fewest = 99
        shim.on_exited = self.supervisor.exited

    def drain(self) -> None:
        instances = list(self.supervisor.instances())
        self.fewest = min(self.fewest, sum(instance.standing == "ready" for instance in instances))
        for instance in instances:
            if instance.standing == "drain":
                for address in instance.addresses.values():
                    asyncio.get_running_loop().call_soon(self.supervisor.drained, "app", str(address))

    async def started(self, program: ProgramConfig) -> Program:
        app = self.supervisor.add("app", program)
        await app.first_start()
        await asyncio.gather(*(one.wait_until(lambda one=one: one.ready) for one in app.everyone))  # type: ignore[misc]  # a lambda with a default
        self.fewest = len(app.instances)
        return app


def play(directory: Path, scene: Callable[[Stage, Shim], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            shim = await Shim.connect(directory)
            stage = Stage(shim, directory)
            hearing = asyncio.create_task(shim.run())
            try:
                await scene(stage, shim)
            finally:
                stage.supervisor.close()
                hearing.cancel()
                shim.close()

    asyncio.run(run())


def test_instances_become_ready_and_a_killed_one_comes_back(run_directory: Path) -> None:
    async def scene(stage: Stage, _: Shim) -> None:
        app = await stage.started(config(run_directory).programs["app"])
        first = app.instances[1]
        before = first.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await first.wait_until(lambda: not first.ready)
        assert first.standing == "out"
        await first.wait_until(lambda: first.ready)
        assert first.pid != before
        assert first.restarts == 1
        assert first.last_exit == "killed by SIGKILL"

    play(run_directory, scene)


def test_a_restart_by_surge_never_has_fewer_ready_than_wanted(run_directory: Path) -> None:
    async def scene(stage: Stage, _: Shim) -> None:
        app = await stage.started(config(run_directory).programs["app"])
        before = {instance.pid for instance in app.everyone}
        await app.restart([1, 2])
        assert not before & {instance.pid for instance in app.everyone}
        assert stage.fewest == 2
        assert app.leaving == []

    play(run_directory, scene)


def test_a_program_that_exits_at_once_does_not_start_and_says_why(run_directory: Path) -> None:
    async def scene(stage: Stage, _: Shim) -> None:
        program = stage.supervisor.add("app", config(run_directory, command="false {socket}").programs["app"])
        with pytest.raises(RolloutError, match="exited with status 1"):
            await program.first_start()
        await stage.supervisor.remove("app")

    play(run_directory, scene)


def test_a_new_version_that_does_not_start_leaves_the_old_one_as_it_was(run_directory: Path) -> None:
    async def scene(stage: Stage, _: Shim) -> None:
        app = await stage.started(config(run_directory).programs["app"])
        before = [instance.pid for instance in app.everyone]
        with pytest.raises(RolloutError):
            await app.converge(config(run_directory, command="false {socket}").programs["app"])
        assert [instance.pid for instance in app.everyone] == before
        assert stage.fewest == 2

    play(run_directory, scene)


def test_more_and_fewer_instances_touch_only_those(run_directory: Path) -> None:
    async def scene(stage: Stage, _: Shim) -> None:
        app = await stage.started(config(run_directory).programs["app"])
        kept = app.instances[1].pid
        wanted = config(run_directory).programs["app"]
        await app.converge(wanted.model_copy(update={"instances": 3}))
        assert app.instances[3].ready
        await app.converge(wanted.model_copy(update={"instances": 1}))
        assert list(app.instances) == [1]
        assert app.instances[1].pid == kept
        assert len(list((run_directory / "sockets").iterdir())) == 1

    play(run_directory, scene)


def test_stop_and_start_keep_the_slot(run_directory: Path) -> None:
    async def scene(stage: Stage, _: Shim) -> None:
        app = await stage.started(config(run_directory).programs["app"])
        await app.stop([2])
        assert app.instances[2].state.phase is Phase.STOPPED
        await app.start([2])
        assert app.instances[2].ready

    play(run_directory, scene)


def test_a_daemon_that_comes_back_takes_over_what_runs(run_directory: Path) -> None:
    pids: list[int | None] = []

    async def first(stage: Stage, _: Shim) -> None:
        app = await stage.started(config(run_directory).programs["app"])
        pids.extend(instance.pid for instance in app.everyone)

    async def second(stage: Stage, shim: Shim) -> None:
        await stage.supervisor.adopt(shim.hello.processes, config(run_directory).programs)
        app = stage.supervisor.programs["app"]
        assert [instance.pid for instance in app.everyone] == pids
        assert all(instance.ready for instance in app.everyone)
        await stage.supervisor.stop()

    play(run_directory, first)
    play(run_directory, second)
