"""What the system tests stand on must itself be right: a harness that overlooks what is left proves nothing."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import running
from support.ports import free_ports
from support.processes import alive, belonging_to
from support.running import Pinfold
from support.subprocesses import Subprocess
from support.waiting import wait_for

# Stands in for pinfold: a child that bears the run directory, a grandchild that does not, and a socket.
STAND_IN = f"""#!{sys.executable}
import os, pathlib, signal, socket, subprocess, sys
directory = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
faults = pathlib.Path(sys.argv[-1]).read_text()
directory.mkdir()
bound = socket.socket(socket.AF_UNIX)
bound.bind(str(directory / "control.sock"))
child = subprocess.Popen(["/bin/sh", "-c", "env -i sleep 60 & wait", str(directory)], start_new_session=True)
def end(*_):
    if "process" not in faults: os.killpg(child.pid, signal.SIGKILL); child.wait()
    if "socket" not in faults: os.unlink(directory / "control.sock")
    print("bye", flush=True)
    os._exit(3 if "code" in faults else 0)
signal.signal(signal.SIGINT, end)
if "silent" in faults: sys.exit("cannot")
print("web.1: not ready\\nready", file=sys.stderr, flush=True)
while True: signal.pause()
"""


@pytest.fixture
def pinfold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Pinfold]:
    (tmp_path / "pinfold").write_text(STAND_IN)
    (tmp_path / "pinfold").chmod(0o755)
    monkeypatch.setattr(running, "BIN", tmp_path)
    one = Pinfold("none")
    yield one
    one.clear()
    assert not one.directory.exists()


def with_grandchild(pinfold: Pinfold) -> None:
    wait_for(lambda: any(process.line == "sleep 60" for process in pinfold.processes()), 5.0)


def test_a_clean_end_is_accepted(pinfold: Pinfold) -> None:
    pinfold.start()
    with_grandchild(pinfold)
    assert pinfold.stop() == "web.1: not ready\nready\nbye"


@pytest.mark.parametrize(
    ("fault", "told"), [("process", "end of all processes"), ("socket", "sockets left"), ("code", "exit 3")]
)
def test_an_unclean_end_is_told(pinfold: Pinfold, fault: str, told: str) -> None:
    pinfold.write_config(f"# {fault}")
    pinfold.start()
    with_grandchild(pinfold)
    with pytest.raises(AssertionError, match=told):
        pinfold.stop()


def test_a_start_that_fails_is_told_with_what_was_said(pinfold: Pinfold) -> None:
    pinfold.write_config("# silent")
    with pytest.raises(AssertionError, match=r"ended without(.|\n)*cannot"):
        pinfold.start()


def test_the_daemon_alone_is_killed(pinfold: Pinfold) -> None:
    pinfold.start()
    with_grandchild(pinfold)
    family = pinfold.processes()
    pinfold.kill_daemon()
    assert {process.line.split()[0] for process in alive(family)} == {"/bin/sh", "sleep"}
    pinfold.clear()
    assert alive(family) == []
    assert belonging_to(pinfold.run_directory) == []


def test_a_config_names_the_directory_and_has_its_daemon_table_filled_in(pinfold: Pinfold) -> None:
    pinfold.write_config('[pools.a]\nendpoints = ["unix:@directory@/a.sock"]')
    text = pinfold.config_path.read_text()
    assert f"unix:{pinfold.directory}/a.sock" in text
    assert re.search(r"^\[daemon\]$", text, re.MULTILINE)
    assert len(str(pinfold.run_directory)) < 40


def test_a_row_of_ports_is_given_once() -> None:
    rows = [free_ports(4) for _ in range(50)]
    assert all(row == list(range(row[0], row[0] + 4)) for row in rows)
    assert len({port for row in rows for port in row}) == 200


def test_a_line_that_never_comes_is_told_when_the_process_ends() -> None:
    process = Subprocess([sys.executable, "-c", "input()"])
    with pytest.raises(AssertionError, match="EOFError"):
        process.wait_line("never", 10.0)
    assert process.wait(5.0) == 1


def test_a_condition_that_never_holds_is_told_with_its_last_value() -> None:
    with pytest.raises(AssertionError, match=r"it did not come true within 0\.02 s; last: 0"):
        wait_for(lambda: 0, 0.02, "it")
