"""What an operator gets wrong: told at its place with the mend, nothing half-started, and what runs is not disturbed.

A case changes one line of a good config; that line is the place that must be named.
"""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from support.certificates import make
from support.client import Target, exchange, fetch
from support.ports import free_ports
from support.running import BIN, DEMO, Pinfold

GOOD = (
    """\
[listeners.front]
bind = "127.0.0.1:@port@"
tls = {{ certificates = ["@directory@/good.crt-key"] }}
[listeners.plain]
bind = "127.0.0.1:@plain@"
[programs.web]
command = "{demo} --socket {{socket}}"
instances = 2
working_directory = "/"
[[routes]]
pool = "web"
[daemon]
log_directory = "@directory@/log"
state_directory = "@directory@/state"
""".replace("{demo}", DEMO)
    .replace("{{", "{")
    .replace("}}", "}")
)


@dataclass(frozen=True)
class Case:
    """The line that is replaced, what stands there instead, and patterns of what must be said of it."""

    line: str
    wrong: str
    says: tuple[str, ...]


def certificate_case(file: str, *says: str) -> Case:
    return Case("tls =", f'tls = {{ certificates = ["@directory@/{file}"] }}', (file.replace(".", r"\."), *says))


CASES = {
    "an unknown key": Case("instances", "instanses = 2", ("instanses", 'did you mean "instances"')),
    "an unknown table": Case("[daemon]", "[deamon]", ("deamon", 'did you mean "daemon"')),
    "an unknown key of a listener": Case("tls =", "tsl = {}", ("tsl", 'did you mean "tls"')),
    "text for a number": Case("instances", 'instances = "two"', ("whole number",)),
    "a number for text": Case("command", "command = 5", ("command",)),
    "a negative number": Case("instances", "instances = -1", ("0",)),
    "a list for a table": Case("tls =", "tls = []", ("table",)),
    "no address": Case('bind = "127.0.0.1:@port@"', 'bind = "127.0.0.1"', ("127.0.0.1", r"0\.0\.0\.0:8080")),
    "two listeners on one address": Case(
        'bind = "127.0.0.1:@plain@"', 'bind = "127.0.0.1:@port@"', (r"127\.0\.0\.1:\d+", "listeners.front")
    ),
    "two listeners on one port": Case('bind = "127.0.0.1:@plain@"', 'bind = "0.0.0.0:@port@"', ("listeners.front",)),
    "a port that is taken": Case(
        'bind = "127.0.0.1:@plain@"',
        'bind = "127.0.0.1:@taken@"',
        (r"127\.0\.0\.1:\d+", f"pid {os.getpid()}", "choose another"),
    ),
    "a certificate that is missing": certificate_case("missing.pem", "No such file", "pinfold cert new"),
    "a certificate that is expired": certificate_case("expired.crt-key", "expired"),
    "a certificate of tomorrow": certificate_case("early.crt-key", "valid|not good"),
    "a key that is too weak": certificate_case("weak.crt-key", "1024", "2048"),
    "a key that does not match": certificate_case("crossed.crt-key", "match"),
    "a certificate without a key": certificate_case("keyless.pem", "private key"),
    "a file that is no certificate": certificate_case("nonsense.pem", "no certificate"),
    "a command that does not exist": Case(
        "command", 'command = "no-such-command --port {port}"', ("no-such-command", "hint")
    ),
    "a path that does not exist": Case("command", 'command = "/no/such/file {socket}"', ("/no/such/file",)),
    "a command that is no program": Case("command", 'command = "/etc/passwd {socket}"', ("/etc/passwd", "chmod")),
    "a user that does not exist": Case("instances", 'user = "nobodyy"', ("nobodyy", 'did you mean "nobody"|useradd')),
    "a group that does not exist": Case("instances", 'group = "no-such-team"', ("no-such-team", "groupadd")),
    "a directory that does not exist": Case(
        "working_directory", 'working_directory = "/no/such"', ("/no/such", "mkdir")
    ),
    "a placeholder that stands for nothing": Case(
        "command", f'command = "{DEMO} --socket {{sokcet}}"', ("sokcet", "socket")
    ),
    "an unknown pool": Case("pool =", 'pool = "wep"', ("wep", 'did you mean "web"')),
    "a line that is no TOML": Case("instances", "instances = = 2", ("",)),
}


class Site:
    """A pinfold whose config is made from `GOOD`, with one line wrong."""

    def __init__(self) -> None:
        self.pinfold = Pinfold()
        self.ports = free_ports(2)
        self.taken = socket.create_server(("127.0.0.1", 0))
        directory = self.pinfold.directory
        good, other = make("localhost", "127.0.0.1"), make("localhost")
        good.write(directory, "good")
        make("localhost", days=(-30, -1)).write(directory, "expired")
        make("localhost", days=(1, 30)).write(directory, "early")
        make("localhost", key=rsa.generate_private_key(65537, 1024)).write(directory, "weak")
        (directory / "crossed.crt-key").write_text(good.chain_pem + other.key_pem, encoding="ascii")
        (directory / "keyless.pem").write_text(good.chain_pem, encoding="ascii")
        (directory / "nonsense.pem").write_text("nonsense", encoding="ascii")

    def write(self, case: Case | None = None) -> int:
        """Write the config; the number of the line that is wrong."""
        lines = GOOD.splitlines()
        number = next(at for at, line in enumerate(lines) if case and line.startswith(case.line)) if case else 0
        if case:
            lines[number] = case.wrong
        text = "\n".join(lines) + "\n"
        for name, port in (("port", self.ports[0]), ("plain", self.ports[1]), ("taken", self.taken.getsockname()[1])):
            text = text.replace(f"@{name}@", str(port))
        self.pinfold.write_config(text)
        return number + 1

    def clear(self) -> None:
        self.pinfold.clear()
        self.taken.close()


def assert_told(case: Case, line: int, path: Path, said: str) -> None:
    assert re.search(rf"{re.escape(str(path))}:{line}:\d+: ", said), said
    for pattern in case.says:
        assert re.search(pattern, said), (pattern, said)
    assert "Traceback" not in said


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.clear()


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    site = Site()
    try:
        site.write()
        site.pinfold.start()
        yield site
    finally:
        site.clear()


@pytest.mark.parametrize("what", CASES)
def test_check_tells_it_and_its_mend(site: Site, what: str) -> None:
    line = site.write(CASES[what])
    ended = site.pinfold.run_cli("check", "-c", str(site.pinfold.config_path))
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert_told(CASES[what], line, site.pinfold.config_path, ended.stdout + ended.stderr)
    assert not site.pinfold.run_directory.exists()


@pytest.mark.parametrize("what", CASES)
def test_run_tells_it_and_starts_nothing(site: Site, what: str) -> None:
    line = site.write(CASES[what])
    before = set(site.pinfold.directory.iterdir())
    daemon = site.pinfold.launch()
    assert daemon.wait(20) == 2, daemon.output
    assert_told(CASES[what], line, site.pinfold.config_path, daemon.output)
    site.pinfold.assert_nothing_left()
    assert set(site.pinfold.directory.iterdir()) == before


@pytest.mark.parametrize("what", CASES)
def test_apply_tells_it_and_disturbs_nothing(running: Site, what: str) -> None:
    line = running.write(CASES[what])
    pinfold = running.pinfold
    before = pinfold.processes()
    ended = pinfold.run_cli("apply")
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert_told(CASES[what], line, pinfold.config_path, ended.stdout + ended.stderr)
    assert pinfold.processes() == before
    assert fetch(Target(port=running.ports[1])).status == 200
    assert pinfold.status()["state"] == "ok"


def test_every_problem_is_told_at_once(site: Site) -> None:
    site.write()
    text = site.pinfold.config_path.read_text(encoding="utf-8")
    wrong = text.replace("instances = 2", "instanses = 2").replace('pool = "web"', "pol = 5").replace("tls =", "tsl =")
    site.pinfold.write_config(wrong)
    said = site.pinfold.run_cli("check", "-c", str(site.pinfold.config_path)).stderr
    assert all(f'"{hint}"' in said for hint in ("instances", "pool", "tls")), said


def test_a_config_that_does_not_exist_is_told(site: Site) -> None:
    for command in ("check", "run"):
        ended = site.pinfold.run_cli(command, "-c", "/no/such/pinfold.toml")
        assert ended.returncode == 2
        assert "/no/such/pinfold.toml" in ended.stderr


EXITING = f"command = \"{BIN}/python -c 'import sys; sys.exit(chr(66) + chr(89) + chr(69))' {{socket}}\""


def test_a_program_that_exits_at_once_is_told_with_its_last_words_and_nothing_stays(site: Site) -> None:
    site.write(Case("command", EXITING, ()))
    daemon = site.pinfold.launch()
    assert daemon.wait(60) == 1, daemon.output
    assert re.search(r"web\.\d", daemon.output), daemon.output
    assert "BYE" in daemon.output
    assert "exit" in daemon.output
    site.pinfold.assert_nothing_left()


def test_a_program_that_exits_at_once_does_not_replace_one_that_runs(running: Site) -> None:
    running.write()
    pinfold = running.pinfold
    instances = [one["pid"] for one in pinfold.status()["programs"][0]["instances"]]
    running.write(Case("command", EXITING, ()))
    ended = pinfold.run_cli("apply")
    assert ended.returncode == 5, ended.stdout + ended.stderr
    assert "BYE" in ended.stdout + ended.stderr
    status = pinfold.status()
    assert status["state"] == "ok"
    assert status["programs"][0]["ready"] == 2
    assert set(instances) & {one["pid"] for one in status["programs"][0]["instances"]}
    assert fetch(Target(port=running.ports[1])).status == 200


def test_a_second_pinfold_in_the_same_run_directory_is_sent_away(running: Site) -> None:
    running.write()
    before = running.pinfold.processes()
    second = running.pinfold.launch()
    assert second.wait(20) in (1, 2), second.output
    assert running.pinfold.daemon is not None
    assert str(running.pinfold.daemon.pid) in second.output
    assert running.pinfold.processes() == before


@pytest.mark.parametrize("word", ["restart", "stop", "start", "logs"])
def test_an_unknown_name_is_told_with_those_there_are(running: Site, word: str) -> None:
    ended = running.pinfold.run_cli(word, "wep")
    assert ended.returncode == 4, ended.stdout + ended.stderr
    assert "web" in ended.stderr


@pytest.mark.parametrize("words", [["status"], ["restart", "web"], ["apply"]])
def test_a_command_to_a_pinfold_that_does_not_run_says_so(site: Site, words: list[str]) -> None:
    ended = site.pinfold.run_cli(*words)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert str(site.pinfold.run_directory) in ended.stderr


@pytest.mark.parametrize("words", [["frobnicate"], ["run", "--frobnicate"], ["restart"]])
def test_a_command_that_is_misspelt_is_refused(site: Site, words: list[str]) -> None:
    ended = site.pinfold.run_cli(*words)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_malformed_http_is_refused_and_its_connection_closed(running: Site) -> None:
    received = exchange(
        Target(port=running.ports[1]), b"GET / HTTP/1.1\r\nHost : a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_nothing_of_a_private_key_is_ever_said(site: Site) -> None:
    site.write(CASES["a key that does not match"])
    ended = site.pinfold.run_cli("check", "-c", str(site.pinfold.config_path))
    key = (site.pinfold.directory / "crossed.crt-key").read_text(encoding="ascii").splitlines()[-3]
    assert key not in ended.stdout + ended.stderr
