"""The commands against a pinfold that runs: what they show, how they end, and that the demo leaves nothing."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pinfold.api.models import Status
from support.ports import free_port
from support.running import BIN, DEMO, Pinfold
from support.subprocesses import Subprocess
from support.waiting import wait_for

CONFIG = """[listeners.web]
bind = "127.0.0.1:{port}"
[programs.app]
command = "{demo} --socket {{socket}}"
instances = 2
groups = ["all"]
"""


@pytest.fixture
def app(start_pinfold: Callable[[str], Pinfold]) -> Pinfold:
    return start_pinfold(CONFIG.format(port=free_port(), demo=DEMO))


def test_status_is_the_model_of_the_api_and_readable(app: Pinfold) -> None:
    ended = app.run_cli("status", "--json")
    assert ended.returncode == 0
    assert Status.model_validate_json(ended.stdout, strict=False).programs[0].ready == 2
    shown = app.run_cli("status")
    assert re.search(r"^app\.1 +ready +[0-9]+ ", shown.stdout, re.MULTILINE)
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_names_choose_what_is_shown_and_an_unknown_one_is_told(app: Pinfold) -> None:
    one = json.loads(app.run_cli("status", "app.2", "--json").stdout)
    assert [instance["name"] for instance in one["programs"][0]["instances"]] == ["app.2"]
    unknown = app.run_cli("status", "ap")
    assert unknown.returncode == 4
    assert 'did you mean "app"' in unknown.stderr
    assert app.run_cli("restart", "nobody").returncode == 4


def test_operations_tell_how_they_go_and_end_with_a_verdict(app: Pinfold) -> None:
    stopped = app.run_cli("stop", "app.1")
    assert (stopped.returncode, stopped.stdout.splitlines()[-1]) == (0, "1 instance stopped")
    started = app.run_cli("start", "all", "--json")
    reports = [json.loads(line) for line in started.stdout.splitlines()]
    assert reports[-1]["kind"] == "verdict"
    assert reports[-1]["exit_code"] == started.returncode == 0
    assert {report["kind"] for report in reports[:-1]} == {"progress"}


def test_without_waiting_a_restart_goes_on_by_itself(app: Pinfold) -> None:
    before = {one["pid"] for one in app.status()["programs"][0]["instances"]}
    assert app.run_cli("restart", "app", "--no-wait").returncode == 0

    def replaced() -> bool:
        now = {one["pid"] for one in app.status()["programs"][0]["instances"] if one["ready"]}
        return len(now) == 2 and not now & before

    wait_for(replaced, 20.0)


def test_a_config_that_runs_is_found_good_although_its_ports_are_taken(app: Pinfold) -> None:
    ended = app.run_cli("check", "-c", str(app.config_path))
    assert ended.returncode == 0, ended.stderr


def test_a_bad_config_changes_nothing_and_every_problem_is_told(app: Pinfold) -> None:
    app.write_config(app.config_path.read_text().replace("instances", "instanes") + "\n[x]\n")
    ended = app.run_cli("apply")
    assert ended.returncode == 2
    assert f'{app.config_path}:5:1: unknown key "instanes"' in ended.stderr
    assert 'unknown key "x"' in ended.stderr
    assert app.status()["programs"][0]["ready"] == 2


def test_a_program_that_is_not_ready_degrades_the_status(app: Pinfold) -> None:
    app.write_config(app.config_path.read_text().replace("instances = 2", "instances = 2\nrestart = 'never'"))
    assert app.run_cli("apply").returncode == 0
    pid = app.status()["programs"][0]["instances"][0]["pid"]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    wait_for(lambda: app.status()["state"] == "degraded", 10.0)
    ended = app.run_cli("status")
    assert ended.returncode == 6
    assert "! app.1: killed by SIGKILL" in ended.stdout


def test_logs_are_followed_and_read_also_when_nothing_runs(app: Pinfold) -> None:
    shown = app.run_cli("logs", "app")
    assert {line.split()[0] for line in shown.stdout.splitlines()} == {"app.1", "app.2"}
    following = Subprocess([str(BIN / "pinfold"), "logs", "-f", "all"], app.environment)
    following.wait_line("app.2.*listening", 10.0)
    app.run_cli("restart", "app.1")
    wait_for(lambda: following.output.count("app.1 ") == 2, 10.0, following.output)
    following.signal(signal.SIGINT)
    assert following.wait(10.0) == 0
    app.stop()
    stopped = app.run_cli("logs", "app.2", "--log-dir", str(app.log_directory), "-n", "1", "--json")
    assert json.loads(stopped.stdout)["name"] == "app.2"


def test_a_second_pinfold_in_the_same_place_is_refused_and_disturbs_nothing(app: Pinfold) -> None:
    ended = app.run_cli("run", "-c", str(app.config_path))
    assert ended.returncode == 1
    assert "a pinfold runs already" in ended.stderr
    assert app.status()["state"] == "ok"


def test_a_command_is_run_without_a_config() -> None:
    pinfold = Pinfold("none")
    http, https = free_port(), free_port()
    try:
        words = ("-n", "2", "--http", str(http), "--https", str(https), "--", *DEMO.split(), "--socket", "{socket}")
        pinfold.start(*words)
        assert [one["name"] for one in pinfold.status()["programs"]] == ["program"]
        line = pinfold.daemon.wait_line("curl --cacert", 5.0) if pinfold.daemon else ""
        assert subprocess.check_output([*line.split(), "-sSf"]).startswith(b'{"instance": "program.')
        pinfold.stop()
    finally:
        pinfold.clear()


def test_the_demo_answers_as_printed_and_leaves_nothing() -> None:
    demo = Subprocess([str(BIN / "pinfold"), "demo"])
    line = demo.wait_line("curl --cacert.*/$", 20.0)
    directory = Path(line.split()[2]).parents[2]
    assert subprocess.check_output([*line.split(), "-sSf"]).startswith(b'{"instance": "demo.')
    busy = demo.wait_line(r"work'\?'ms=50", 5.0)
    assert subprocess.check_output(busy, shell=True, stderr=subprocess.DEVNULL).startswith(b'{"instance": "demo.')
    demo.signal(signal.SIGINT)
    assert demo.wait(30.0) == 0, demo.output
    assert not directory.exists()
