"""`pinfold run -- CMD`: what a command stands for, and where its front door is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinfold.base.errors import UsageError
from pinfold.cli import front
from pinfold.cli.flags import Front, Surroundings, Wanted, build, program_name
from pinfold.config.model import AutoPort, SocketPort
from support.ports import free_ports

FRONT = Front("127.0.0.1:8080", "127.0.0.1:8443")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/srv/bin/gunicorn app:app", "gunicorn"),
        ("python3 -u app.py --port {port}", "app"),
        ("python3.12 -m http.demo", "demo"),
        ("node server.js", "server"),
        ("./my.app!", "my-app"),
        ("python3", "python3"),
        ("sh -c x", "sh"),
        ("---", "program"),
    ],
)
def test_a_program_is_named_after_its_command(command: str, name: str) -> None:
    assert program_name(command.split()) == name


def test_a_command_gets_http_and_https_before_it() -> None:
    loaded = build(Wanted(["run", "{socket}"], 4), FRONT, Surroundings("/srv", {"A": "{b}"}))
    config = loaded.config
    assert [str(one.bind[0]) for one in config.listeners.values()] == ["127.0.0.1:8080", "127.0.0.1:8443"]
    assert config.programs["run"].instances == 4
    assert config.programs["run"].ports == {"http": SocketPort()}
    assert config.programs["run"].working_directory == Path("/srv")
    assert config.programs["run"].environment == {"A": "{{b}}"}
    assert loaded.positions.at(("listeners", "http")) is None


def test_a_command_without_placeholders_reads_its_port_from_the_environment() -> None:
    config = build(Wanted(["run"], 1, "web"), FRONT, Surroundings("/")).config
    assert config.programs["web"].ports == {"http": AutoPort()}


def test_a_placeholder_that_stands_for_nothing_is_told_with_the_near_one() -> None:
    with pytest.raises(UsageError, match=r"\{sockt\} stands for nothing here") as raised:
        build(Wanted(["run", "{socket}", "{sockt}"], 1), FRONT, Surroundings("/"))
    assert raised.value.hint == 'did you mean "socket"?'


def test_two_doors_at_one_address_are_refused() -> None:
    with pytest.raises(UsageError, match="is the address of"):
        build(Wanted(["run"], 1), Front("127.0.0.1:1", "127.0.0.1:1"), Surroundings("/"))


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Free ports in the place of 8080 and 8443, which others on this machine may want."""
    row = free_ports(4)
    monkeypatch.setattr(front, "_HTTP", row[0])
    monkeypatch.setattr(front, "_HTTPS", row[2])
    return row


@pytest.fixture
def taken(defaults: list[int]) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", defaults[0]))
        listener.listen()
        yield defaults[0]


def test_the_default_ports_are_taken_when_they_are_free(defaults: list[int]) -> None:
    chosen, said = front.choose_front(None, None, ())
    assert (chosen.http, chosen.https) == (f"127.0.0.1:{defaults[0]}", f"127.0.0.1:{defaults[2]}")
    assert said == []


def test_a_default_port_that_is_taken_gives_way_aloud(taken: int) -> None:
    chosen, said = front.choose_front(None, None, ())
    assert chosen.http == f"127.0.0.1:{taken + 1}"
    assert len(said) == 1
    assert said[0].startswith(f"port {taken} is taken by ")
    assert said[0].endswith(f"(pid {os.getpid()}); HTTP is on {taken + 1}")


def test_a_port_that_this_pinfold_holds_stays_its_own(taken: int) -> None:
    chosen, said = front.choose_front(None, None, {f"127.0.0.1:{taken}"})
    assert chosen.http == f"127.0.0.1:{taken}"
    assert said == []


def test_a_named_address_is_kept_and_a_number_is_a_port_of_this_machine(taken: int) -> None:
    assert front.choose_front(f"{taken}", "[::1]:9", ())[0] == Front(f"127.0.0.1:{taken}", "[::1]:9")


def test_what_is_no_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not a numeric address"):
        front.choose_front("web:80", None, ())
