"""The installed shim, spoken to by the daemon's own side of the seam."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pinfold.supervise.shim import Shim, ShimError, start_shim
from pinfold.supervise.wire import Exited, Identity, ListenAddress, LogFile, Process

SHIM = Path(sysconfig.get_path("scripts")) / "pinfold-shim"
DEADLINE = 20.0


class Rig:
    """A shim in a directory of its own, and what it tells."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pid = start_shim(SHIM, directory)
        self.exits: asyncio.Queue[Exited] = asyncio.Queue()

    def process(self, key: str, *argv: str, **changes: object) -> Process:
        process = Process(
            key=key,
            label=f"label of {key}",
            role="program",
            argv=argv,
            environment=("PATH=/usr/bin:/bin", "COLOUR=blå"),
            working_directory="/",
            identity=None,
            umask=0o027,
            rlimits=(),
            log=LogFile(path=str(self.log(key)), max_bytes=1 << 20, keep=3),
            access_log=None,
        )
        return process.model_copy(update=changes)

    def log(self, key: str) -> Path:
        return self.directory / "logs" / f"{key}.log"

    async def python(self, shim: Shim, key: str, code: str) -> int:
        return (await shim.spawn(self.process(key, sys.executable, "-c", code))).pid

    async def exit_of(self, key: str) -> Exited:
        while True:
            exited = await self.exits.get()
            if exited.key == key:
                return exited


@pytest.fixture
def rig() -> Iterator[Rig]:
    directory = Path(tempfile.mkdtemp(prefix="pf-"))
    rig = Rig(directory)
    yield rig
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.kill(rig.pid, signal.SIGTERM)
        os.waitpid(rig.pid, 0)
    shutil.rmtree(directory)


def play(rig: Rig, scene: Callable[[Shim], Awaitable[None]]) -> None:
    """Run a scene on one connection to the shim."""

    async def run() -> None:
        async with asyncio.timeout(DEADLINE):
            shim = await Shim.connect(rig.directory)
            shim.on_exited = rig.exits.put_nowait
            hearing = asyncio.create_task(shim.run())
            try:
                await scene(shim)
            finally:
                hearing.cancel()
                shim.close()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_an_exit_status_is_told(rig: Rig) -> None:
    async def scene(shim: Shim) -> None:
        await shim.spawn(rig.process("a-1", "sh", "-c", "exit 3"))
        assert (await rig.exit_of("a-1")).exit.code == 3

    play(rig, scene)


def test_a_signal_that_ended_a_process_is_told(rig: Rig) -> None:
    async def scene(shim: Shim) -> None:
        await shim.spawn(rig.process("a-1", "sleep", "60"))
        await shim.signal("a-1", signal.SIGTERM)
        exit = (await rig.exit_of("a-1")).exit
        assert (exit.code, exit.signal) == (None, signal.SIGTERM)

    play(rig, scene)


@pytest.mark.parametrize(
    ("argv", "directory", "step", "errno"),
    [
        (("no-such-command",), "/", "exec", 2),
        (("/etc/passwd",), "/", "exec", 13),
        (("true",), "/no/such/directory", "chdir", 2),
    ],
)
def test_a_failed_start_names_the_step_and_the_error(
    rig: Rig, argv: tuple[str, ...], directory: str, step: str, errno: int
) -> None:
    async def scene(shim: Shim) -> None:
        with pytest.raises(ShimError) as failed:
            await shim.spawn(rig.process("a-1", *argv, working_directory=directory))
        [problem] = failed.value.problems
        assert (problem.place, problem.errno) == (step, errno)

    play(rig, scene)


def test_a_program_gets_its_environment_a_session_and_no_other_descriptors(rig: Rig) -> None:
    code = (
        "import os; print(sorted(os.environ.items())); print(os.getsid(0) == os.getpid());"
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:4]); print(os.umask(0))"
    )

    async def scene(shim: Shim) -> None:
        await rig.python(shim, "a-1", code)
        await rig.exit_of("a-1")
        await until(lambda: rig.log("a-1").exists() and rig.log("a-1").read_text().count("\n") == 4)

    play(rig, scene)
    environment, session, descriptors, umask = [
        line.split(" ", 3)[3] for line in rig.log("a-1").read_text().splitlines()
    ]
    assert "('COLOUR', 'blå')" in environment
    assert "('PINFOLD_PROCESS', 'a-1')" in environment
    assert "HOME" not in environment
    assert session == "True"
    assert descriptors == "[0, 1, 2, 3]"  # 3 is the listing itself.
    assert umask == str(0o027)


def test_each_line_is_stamped_with_time_pid_and_stream(rig: Rig) -> None:
    async def scene(shim: Shim) -> None:
        spawned = await shim.spawn(rig.process("a-1", "sh", "-c", "echo one; sleep 0.2; printf two >&2"))
        await until(lambda: rig.log("a-1").exists() and rig.log("a-1").read_text().count("\n") == 2)
        first, second = (line.split(" ") for line in rig.log("a-1").read_text().splitlines())
        assert first[0].endswith("Z")
        assert first[1:] == [str(spawned.pid), "out", "one"]
        assert second[2:] == ["err", "two"]

    play(rig, scene)


def test_a_grandchild_with_a_session_of_its_own_dies_with_the_tree(rig: Rig) -> None:
    forks = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        " os.setsid()\n"
        " if os.fork() == 0:\n"
        "  print(os.getpid(), flush=True); time.sleep(99)\n"
        " os._exit(0)\n"
    )

    async def scene(shim: Shim) -> None:
        await rig.python(shim, "a-1", forks + "time.sleep(0.2)")
        await rig.exit_of("a-1")
        await until(lambda: rig.log("a-1").exists() and bool(rig.log("a-1").read_text()))
        orphan = int(rig.log("a-1").read_text().split()[3])
        assert alive(orphan)
        await shim.kill_tree("a-1")
        assert not alive(orphan)

    play(rig, scene)


def test_a_program_on_a_full_disk_is_never_blocked(rig: Rig) -> None:
    async def scene(shim: Shim) -> None:
        drops: list[int] = []
        shim.on_dropped = lambda dropped: drops.append(dropped.lines)
        full = LogFile(path="/dev/full", max_bytes=1 << 20, keep=1)
        writes = "import sys\nfor i in range(200000): print('line', i)"
        await shim.spawn(rig.process("a-1", sys.executable, "-c", writes, log=full))
        assert (await rig.exit_of("a-1")).exit.code == 0
        await until(lambda: sum(drops) == 200000)

    play(rig, scene)


def test_a_shim_is_left_and_found_again_with_all_it_holds(rig: Rig) -> None:
    async def first(shim: Shim) -> None:
        await shim.spawn(rig.process("a-1", "sleep", "60"))
        await shim.spawn(rig.process("b-2", "sh", "-c", "exit 7"))
        await rig.exit_of("b-2")

    async def second(shim: Shim) -> None:
        running, ended = sorted(shim.hello.processes, key=lambda report: report.key)
        assert (running.label, running.exit) == ("label of a-1", None)
        assert ended.exit is not None
        assert ended.exit.code == 7
        await shim.forget(["a-1", "b-2"])

    async def third(shim: Shim) -> None:
        assert [report.key for report in shim.hello.processes] == ["a-1"]

    play(rig, first)
    play(rig, second)
    play(rig, third)


def test_addresses_are_listened_on_all_or_none(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
        other.close()
        busy = f"127.0.0.1:{taken.getsockname()[1]}"

        async def scene(shim: Shim) -> None:
            wanted = [ListenAddress(address=f"127.0.0.1:{free}", sockets=2), ListenAddress(address=busy, sockets=2)]
            with pytest.raises(ShimError, match="in use"):
                await shim.listen(wanted)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", free))
            await shim.listen([ListenAddress(address=f"127.0.0.1:{free}", sockets=2)])
            socket.create_connection(("127.0.0.1", free)).close()
            await shim.listen([])
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", free))

        play(rig, scene)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a program another user")
def test_a_program_runs_as_the_user_it_is_given_and_cannot_go_back(rig: Rig) -> None:
    identity = Identity(uid=65534, gid=65534, groups=(65534,))

    async def scene(shim: Shim) -> None:
        await shim.spawn(rig.process("a-1", "sh", "-c", "id -u; id -G", identity=identity))
        await until(lambda: rig.log("a-1").exists() and rig.log("a-1").read_text().count("\n") == 2)
        assert [line.split(" ", 3)[3] for line in rig.log("a-1").read_text().splitlines()] == ["65534", "65534"]

    play(rig, scene)


def test_stop_leaves_nothing_behind(rig: Rig) -> None:
    async def scene(shim: Shim) -> None:
        pid = (await shim.spawn(rig.process("a-1", "sleep", "60"))).pid
        shim.stop()
        await asyncio.to_thread(os.waitpid, rig.pid, 0)
        assert not alive(pid)
        assert not (rig.directory / "shim.sock").exists()

    play(rig, scene)


def test_an_idle_shim_is_small_and_sleeps(rig: Rig) -> None:
    async def scene(shim: Shim) -> None:
        await shim.spawn(rig.process("a-1", "sleep", "60"))
        process = psutil.Process(rig.pid)
        assert process.memory_info().rss <= 8 * 1024 * 1024
        before = process.num_ctx_switches().voluntary
        await asyncio.sleep(2.0)
        assert process.num_ctx_switches().voluntary - before <= 1

    play(rig, scene)
