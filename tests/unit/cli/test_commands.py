"""The installed command: messages and exit codes for what an operator can get wrong, and never a traceback."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import pinfold
from pinfold.cli.main import COMMANDS
from support.ports import free_port

BIN = Path(sys.executable).parent / "pinfold"
GOOD = """[listeners.web]
bind = "127.0.0.1:{port}"
[programs.app]
command = "sh -c true"
"""


def call(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PINFOLD_RUN_DIR": str(directory / "run"), "COLUMNS": "80"}
    ended = subprocess.run(
        [BIN, *words], cwd=directory, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_every_command_has_help_at_eighty_columns(tmp_path: Path, words: list[str]) -> None:
    ended = call(tmp_path, *words)
    assert ended.returncode == 0
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_summaries_in_the_list_are_what_the_commands_say(tmp_path: Path) -> None:
    listed = call(tmp_path, "--help").stdout
    for name, summary in COMMANDS.items():
        assert summary in listed
        assert summary in call(tmp_path, name, "--help").stdout, name


def test_the_version_is_told(tmp_path: Path) -> None:
    assert call(tmp_path, "--version").stdout == f"pinfold {pinfold.__version__}\n"
    module = subprocess.run([sys.executable, "-m", "pinfold", "--version"], capture_output=True, text=True, check=True)
    assert module.stdout == f"pinfold {pinfold.__version__}\n"


def test_alone_it_says_how_to_begin(tmp_path: Path) -> None:
    ended = call(tmp_path)
    assert ended.returncode == 0
    assert "pinfold demo" in ended.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["statsu"], 2, "Did you mean 'status'"),
        (["status", "--jsn"], 2, "--json"),
        (["start"], 2, "NAME"),
        (["status"], 3, "no pinfold runs in"),
        (["apply"], 3, "pinfold run starts one"),
        (["restart", "web"], 3, "no pinfold runs in"),
        (["logs", "web"], 4, 'there is no log of "web"'),
        (["check"], 2, "there is no pinfold.toml here"),
        (["check", "-c", "none.toml"], 2, "cannot read none.toml: No such file"),
        (["check", "-c", "."], 2, "cannot read .: Is a directory"),
        (["check", "-c", "latin.toml"], 2, "it is not UTF-8"),
        (["run", "-c", "."], 2, "cannot read .: Is a directory"),
        (["run"], 2, "there is no pinfold.toml here"),
        (["run", "-n", "4"], 2, "-n, --http and --https are for a command"),
        (["run", "-c", "x.toml", "--", "true"], 2, "a config and a command"),
        (["run", "-n", "0", "--", "true"], 2, "-n"),
        (["run", "--http", "web:80", "--", "true"], 2, "not a numeric address"),
        (["run", "--", "no-such-command-at-all"], 2, 'there is no command "no-such-command-at-all"'),
        (["run", "--", "true", "{sockt}"], 2, "stands for nothing here"),
        (["cert", "show", "none.pem"], 1, "cannot read none.pem"),
        (["cert", "show", "latin.toml"], 1, "holds no certificate"),
        (["cert", "new", "a b"], 2, "neither a host name"),
        (["cert", "new", "a", "-o", "no/dir.pem"], 1, "cannot write no/dir.pem"),
        (["cert", "new", "a", "--days", "900"], 2, "--days"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_with_its_exit_code(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    ended = call(tmp_path, *words)
    assert told in ended.stderr
    assert ended.returncode == code
    assert not (tmp_path / "run").exists()


def test_a_good_config_is_told_to_be_good(tmp_path: Path) -> None:
    (tmp_path / "pinfold.toml").write_text(GOOD.replace("{port}", str(free_port())))
    assert call(tmp_path, "check").stdout == "pinfold.toml: no problems\n"
    told = json.loads(call(tmp_path, "check", "--json").stdout)
    assert told == {"version": 1, "config": "pinfold.toml", "problems": []}


def test_problems_of_machine_and_certificates_come_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = f"""[listeners.web]
bind = "192.0.2.1:{free_port()}"
tls = {{ certificates = ["none.pem"] }}
[programs.app]
command = "shh -c true"
environment_files = ["none.env"]
"""
    (tmp_path / "pinfold.toml").write_text(text)
    ended = call(tmp_path, "check")
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if line.startswith("pinfold.toml:")]
    assert [line.split(":")[1] for line in lines] == ["2", "3", "5", "6"]
    assert ended.stderr.endswith("pinfold: 4 problems; nothing was started or changed\n")
    told = json.loads(call(tmp_path, "check", "--json").stdout)["problems"]
    assert told[0]["place"] == {"file": "pinfold.toml", "line": 2, "column": 1}
    assert len(told) == 4


def test_a_new_certificate_is_for_us_alone_and_never_overwritten_silently(tmp_path: Path) -> None:
    ended = call(tmp_path, "cert", "new", "cloud.example.org", "10.0.0.5")
    assert ended.returncode == 0
    path = tmp_path / "cloud.example.org.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "curl --cacert cloud.example.org.pem https://cloud.example.org:8443/" in ended.stdout
    before = path.read_bytes()
    again = call(tmp_path, "cert", "new", "cloud.example.org")
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert path.read_bytes() == before
    assert call(tmp_path, "cert", "new", "cloud.example.org", "--force").returncode == 0
    assert path.read_bytes() != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_certificate_is_shown_for_people_and_for_programs(tmp_path: Path) -> None:
    call(tmp_path, "cert", "new", "a.example", "::1", "-o", "a.pem", "--days", "10")
    shown = call(tmp_path, "cert", "show", "a.pem")
    assert shown.returncode == 0
    assert "a.example, ::1" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    told = json.loads(call(tmp_path, "cert", "show", "a.pem", "--json").stdout)
    assert (told["names"], told["key"], told["problems"]) == (["a.example", "::1"], "ECDSA P-256", [])


def test_a_reader_that_goes_away_causes_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("line\n" * 100_000)
    script = f"{BIN} logs a -n 100000 --log-dir . | head -n 1"
    ended = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert ended.stdout == "line\n"
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


def test_help_and_status_do_not_import_what_they_do_not_need() -> None:
    code = "import sys, pinfold.cli.{}; print(*sys.modules)"
    modules = {
        name: set(subprocess.check_output([sys.executable, "-c", code.format(name)], text=True).split())
        for name in ("main", "commands.status")
    }
    assert not modules["main"] & {"pydantic", "rich", "fastapi", "cryptography", "asyncio"}
    assert not modules["commands.status"] & {"fastapi", "uvicorn", "psutil", "cryptography", "tree_sitter"}
