"""The daemon as an operator meets it: start, refusals, what is told, and an end that leaves nothing."""

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pinfold.api.client import Client
from pinfold.api.models import Verdict
from pinfold.base.errors import NotRunningError
from support.ports import free_port
from support.processes import rss
from support.running import DEMO, Pinfold
from support.waiting import wait_for

StartPinfold = Callable[[str], Pinfold]


def config(instances: int = 2, command: str = f"{DEMO} --socket {{socket}}", more: str = "") -> str:
    return f"""
[listeners.web]
bind = "127.0.0.1:{free_port()}"
[programs.app]
command = "{command}"
instances = {instances}
{more}
"""


def refused(text: str) -> tuple[int, str]:
    """How a pinfold with this config ends, and what it says; nothing of it is left."""
    pinfold = Pinfold(text)
    try:
        code, said = (daemon := pinfold.launch()).wait(30.0), daemon.output
        pinfold.assert_nothing_left()
        assert not pinfold.run_directory.exists()
        return code, said
    finally:
        pinfold.clear()


def verdict(pinfold: Pinfold, operation: str, *names: str) -> Verdict:
    *_, last = Client(pinfold.run_directory).run(operation, names)  # type: ignore[arg-type]  # the test names one of four
    assert isinstance(last, Verdict)
    return last


def pids(pinfold: Pinfold) -> list[int | None]:
    programs = Client(pinfold.run_directory).status().programs
    return [instance.pid for program in programs for instance in program.instances]


def test_it_says_ready_once_all_is_and_leaves_nothing_at_the_end(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    status = Client(pinfold.run_directory).status()
    assert status.state == "ok"
    assert [instance.ready for instance in status.programs[0].instances] == [True, True]
    assert (pinfold.run_directory / "pinfold.sock").stat().st_mode & 0o777 == 0o600
    pinfold.stop()
    assert not pinfold.run_directory.exists()
    with pytest.raises(NotRunningError):
        Client(pinfold.run_directory).status()


def test_a_second_daemon_is_refused_and_the_first_is_not_disturbed(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    assert pinfold.daemon is not None
    before = pids(pinfold)
    second = pinfold.launch()
    assert second.wait(20.0) == 1
    assert f"pid {pinfold.daemon.pid}" in second.output
    assert pids(pinfold) == before


def test_a_program_that_exits_at_once_is_told_with_its_last_words() -> None:
    code, said = refused(config(command="sh -c 'echo last words; exit 3' {socket}"))
    assert code == 1
    assert "exited with status 3" in said
    assert "last words" in said
    assert "app.1.log" in said


def test_a_port_that_is_taken_is_told_with_its_place_and_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(re.sub(r"127.0.0.1:\d+", f"127.0.0.1:{port}", config()))
    assert code == 2
    assert "pinfold.toml:3:" in said
    assert f"pid {os.getpid()}" in said


def test_a_killed_daemon_touches_nothing_and_the_next_takes_over(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    verdict(pinfold, "stop", "app.2")
    before = {name: pinfold.find(name).pid for name in ("pinfold-shim", "pinfold-proxy")}
    first = pids(pinfold)[0]
    pinfold.kill_daemon()
    with pytest.raises(NotRunningError):
        Client(pinfold.run_directory).status()
    pinfold.start()
    assert {name: pinfold.find(name).pid for name in before} == before
    assert pids(pinfold) == [first, None], "what the operator has stopped stays stopped"
    pinfold.stop()
    assert not pinfold.run_directory.exists()


def test_an_exit_while_no_daemon_runs_is_caught_up_with(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    first, second = pids(pinfold)
    assert first is not None
    pinfold.kill_daemon()
    os.kill(first, signal.SIGKILL)
    pinfold.start()
    after = pids(pinfold)
    assert after[1] == second
    assert after[0] not in (first, None)


def test_a_killed_proxy_is_replaced_within_a_second(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    before = pids(pinfold)
    old = pinfold.find("pinfold-proxy").pid
    os.kill(old, signal.SIGKILL)
    client = Client(pinfold.run_directory)
    wait_for(lambda: client.status().proxy.pid not in (None, old) and client.status().state == "ok", 2.0)
    assert pids(pinfold) == before


def test_a_proxy_that_hangs_is_replaced(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    assert pinfold.daemon is not None
    os.kill(pinfold.find("pinfold-proxy").pid, signal.SIGSTOP)
    first, _ = pids_at_rest = pids(pinfold)
    assert first is not None
    os.kill(first, signal.SIGKILL)  # So that there is something to tell the proxy.
    pinfold.daemon.wait_line("proxy: serving again", 40.0)
    wait_for(lambda: Client(pinfold.run_directory).status().state == "ok", 10.0)
    assert pids(pinfold)[1] == pids_at_rest[1]


def test_a_killed_shim_has_everything_started_anew(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    assert pinfold.daemon is not None
    os.kill(pinfold.find("pinfold-shim").pid, signal.SIGKILL)
    pinfold.daemon.wait_line("starting everything anew", 5.0)

    def serves() -> bool:
        try:
            return Client(pinfold.run_directory).status().state == "ok"
        except NotRunningError:
            return False

    wait_for(serves, 20.0)
    pinfold.stop()


def test_an_idle_daemon_does_not_wake_and_stays_small(start_pinfold: StartPinfold) -> None:
    idle = 'ports = {}\n[pools.remote]\nendpoints = ["127.0.0.1:9"]\n'
    pinfold = start_pinfold(config(1, command="sleep 1000", more=idle))
    assert pinfold.daemon is not None
    Client(pinfold.run_directory).status()
    status = Path(f"/proc/{pinfold.daemon.pid}/status")

    def switches() -> int:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.MULTILINE)[1])  # type: ignore[index]  # it is always there

    quiet = [switches()]

    def still() -> bool:
        """Nothing for 10 s on end: as long as this takes, with a deadline."""
        quiet.append(switches())
        return len(quiet) > 1000 and len(set(quiet[-1000:])) == 1

    wait_for(still, 40.0, "ten seconds without a wake-up")
    assert rss(pinfold.daemon.pid) < 80 * 1024 * 1024


# The Python of the tests may be where only its owner can go; the machine's own is for everybody.
PYTHON = "/usr/bin/python3"
ANSWERS = (
    "import http.server, socketserver, sys\n"
    "class S(socketserver.UnixStreamServer):\n"
    "    def get_request(self): return self.socket.accept()[0], ('', 0)\n"
    "S(sys.argv[1], http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)


@pytest.mark.skipif(os.geteuid() != 0 or not Path(PYTHON).exists(), reason="needs root and a Python for everybody")
def test_a_program_of_another_user_is_reached_at_its_socket() -> None:
    pinfold = Pinfold(config(1, f"{PYTHON} @directory@/answers.py {{socket}}", 'user = "nobody"'))
    try:
        pinfold.directory.chmod(0o711)
        (pinfold.directory / "answers.py").write_text(ANSWERS)
        pinfold.start()
        (instance,) = Client(pinfold.run_directory).status().programs[0].instances
        assert Path(f"/proc/{instance.pid}").stat().st_uid != 0
        assert pinfold.run_directory.stat().st_mode & 0o777 == 0o711
        pinfold.stop()
    finally:
        pinfold.clear()
