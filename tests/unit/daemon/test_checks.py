"""What a config asks of this machine is judged at once, each problem at its place."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinfold.base.address import TcpAddress
from pinfold.base.ports import obstacle
from pinfold.config.read import parse
from pinfold.daemon.checks import check_machine
from support.ports import free_port

HEAD = "[listeners.web]\nbind = 'unix:@/web.sock'\n"
PROGRAM = HEAD + "[programs.app]\ncommand = '/bin/true {socket}'\n"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody listens on, as a proxy does: for several sockets."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def problems(directory: Path, text: str, *held: str) -> list[str]:
    loaded = parse(text.replace("@", str(directory)), "p.toml", directory)
    return [problem.render().replace(str(directory), "@") for problem in check_machine(loaded, held=held)]


def test_a_config_that_fits_the_machine_has_no_problem(short_path: Path) -> None:
    assert problems(short_path, PROGRAM) == []


def test_a_taken_port_is_told_with_its_holder(short_path: Path, taken: int) -> None:
    text = PROGRAM.replace("'unix:@/web.sock'", f"['127.0.0.1:{free_port()}', ':{taken}']")
    (told,) = problems(short_path, text)
    assert f"0.0.0.0:{taken} is taken by " in told
    assert f"(pid {os.getpid()})" in told
    assert told.startswith("p.toml:2:")


def test_a_port_that_pinfold_holds_itself_is_not_taken(short_path: Path, taken: int) -> None:
    text = PROGRAM.replace("unix:@/web.sock", f"127.0.0.1:{taken}")
    assert problems(short_path, text, f"127.0.0.1:{taken}") == []
    assert problems(short_path, text, f"0.0.0.0:{taken}") == []


def test_a_fixed_port_of_a_program_that_a_stranger_has_is_told(short_path: Path, taken: int) -> None:
    (told,) = problems(short_path, PROGRAM.replace("{socket}", "") + f"ports = {{ http = {taken} }}\n")
    assert told.startswith(f"p.toml:5:11: 127.0.0.1:{taken} is taken by")


def test_a_unix_socket_somebody_listens_on_is_taken_and_a_stale_one_is_not(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "web.sock"))
        listener.listen()
        assert f"unix:@/web.sock is taken by {_own_name()}" in problems(short_path, PROGRAM)[0]
    assert problems(short_path, PROGRAM) == []


def _own_name() -> str:
    return Path(f"/proc/{os.getpid()}/comm").read_text().strip()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("user = 'rooot'", 'p.toml:5:1: there is no user "rooot"\n  hint: did you mean "root"?'),
        ("user = 'qqqqzz'", "make it: useradd --system qqqqzz"),
        ("group = 'rot'", 'there is no group "rot"\n  hint: did you mean "root"?'),
        ("working_directory = 'no'", "p.toml:5:1: the working directory @/no does not exist\n  hint: mkdir -p @/no"),
        ("environment_files = ['a.env', '/etc/hosts']", "p.toml:5:22: there is no file @/a.env"),
    ],
)
def test_what_the_machine_lacks_is_told(short_path: Path, line: str, told: str) -> None:
    assert [told in one for one in problems(short_path, f"{PROGRAM}{line}\n")] == [True]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("pyhton3 x", 'p.toml:4:1: there is no command "pyhton3" in PATH=@/bin\n  hint: did you mean "python3"?'),
        ("run/it", "@/run/it is not executable\n  hint: chmod +x @/run/it"),
        ("./gone", "there is no command @/gone"),
    ],
)
def test_a_command_that_cannot_be_run_is_told(short_path: Path, command: str, told: str) -> None:
    for name in ("bin/python3", "run/it"):
        (short_path / name).parent.mkdir()
        (short_path / name).touch()
    (short_path / "bin/python3").chmod(0o755)
    text = PROGRAM.replace("/bin/true {socket}", command) + "environment = { PATH = '@/bin' }\n"
    (problem,) = problems(short_path, text)
    assert told in problem


def test_a_command_relative_to_its_working_directory_is_found(short_path: Path) -> None:
    (short_path / "it").touch(mode=0o755)
    assert problems(short_path, PROGRAM.replace("/bin/true", "./it")) == []


def test_a_log_directory_below_a_file_is_told(short_path: Path) -> None:
    (short_path / "file").touch()
    text = f"{PROGRAM}[daemon]\nlog_directory = 'file/log'\nstate_directory = 'new/state'\n"
    assert problems(short_path, text) == ["p.toml:6:1: @/file is not a directory"]


def test_all_problems_come_in_the_order_of_the_file(short_path: Path) -> None:
    told = problems(short_path, f"{PROGRAM}working_directory = 'no'\nuser = 'nobodi'\n")
    assert [one.split(":")[1] for one in told] == ["5", "6"]


def test_an_address_of_another_machine_is_told() -> None:
    found = obstacle(TcpAddress("192.0.2.1", 8080))
    assert found is not None
    assert "cannot listen on 192.0.2.1:8080: Cannot assign" in found[0]
