"""apply, restart, start and stop: each with a verdict, and what may not change does not."""

import re
import signal
from collections.abc import Callable

import pytest

from pinfold.api.client import Client
from pinfold.api.models import ProgramStatus, Progress, Verdict
from support.ports import free_port
from support.running import DEMO, Pinfold

StartPinfold = Callable[[str], Pinfold]

CONFIG = f"""
[listeners.web]
bind = "127.0.0.1:{{port}}"
[programs.app]
command = "{DEMO} --socket {{{{socket}}}}"
groups = ["all"]
instances = 2
"""


def config() -> str:
    return CONFIG.format(port=free_port())


def reports(pinfold: Pinfold, operation: str, *names: str) -> tuple[list[Progress], Verdict]:
    heard = list(Client(pinfold.run_directory).run(operation, names))  # type: ignore[arg-type]  # the test names one of four
    last = heard[-1]
    assert isinstance(last, Verdict)
    return [report for report in heard[:-1] if isinstance(report, Progress)], last


def app(pinfold: Pinfold, name: str = "app") -> ProgramStatus:
    (program,) = (one for one in Client(pinfold.run_directory).status().programs if one.name == name)
    return program


def pids(pinfold: Pinfold) -> list[int | None]:
    return [instance.pid for instance in app(pinfold).instances]


def test_a_restart_replaces_one_after_the_other_and_ends_with_a_verdict(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    before = pids(pinfold)
    progress, verdict = reports(pinfold, "restart", "app")
    assert verdict.ok
    told = [(report.name, report.text.split()[0]) for report in progress]
    one = [(f"app.{index}", text) for index in (1, 2) for text in ("ready", "draining", "stopped")]
    assert told == one
    assert not set(before) & set(pids(pinfold))


def test_a_restart_that_fails_leaves_the_old_ones_and_says_why(start_pinfold: StartPinfold) -> None:
    switch = "test ! -e @directory@/broken || { echo broken; exit 9; }; exec"
    pinfold = start_pinfold(config().replace(DEMO, f"sh -c '{switch} {DEMO} --socket $0'").replace(" --socket {", " {"))
    before = pids(pinfold)
    (pinfold.directory / "broken").touch()
    _, verdict = reports(pinfold, "restart", "app")
    assert verdict.exit_code == 5
    assert "| broken" in verdict.summary
    assert "2 of 2 instances ready" in verdict.summary
    assert pids(pinfold) == before


def test_stop_and_start_of_one_instance_touch_only_that(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config())
    first, _ = pids(pinfold)
    assert reports(pinfold, "stop", "app.2")[1].ok
    assert pids(pinfold) == [first, None]
    assert app(pinfold).wanted == 1
    assert reports(pinfold, "start", "all")[1].summary == "1 instance started"
    assert pids(pinfold)[0] == first
    progress, verdict = reports(pinfold, "start", "app.1")
    assert verdict.ok
    assert [report.text for report in progress] == ["runs already"]


def test_an_unknown_name_is_a_verdict_with_a_did_you_mean(start_pinfold: StartPinfold) -> None:
    _, verdict = reports(start_pinfold(config()), "restart", "apq")
    assert (verdict.exit_code, verdict.hint) == (4, 'did you mean "app"?')


@pytest.mark.parametrize("how", ["apply", "SIGHUP"])
def test_a_bad_config_changes_nothing_and_every_problem_is_told(start_pinfold: StartPinfold, how: str) -> None:
    pinfold = start_pinfold(text := config())
    assert pinfold.daemon is not None
    before = pids(pinfold)
    pinfold.write_config(text.replace("instances = 2", 'instances = "many"\nnonsense = 1'))
    if how == "apply":
        _, verdict = reports(pinfold, "apply")
        assert verdict.exit_code == 2
        assert len(verdict.problems) == 2
    else:
        pinfold.daemon.signal(signal.SIGHUP)
        pinfold.daemon.wait_line("2 problems in the config; nothing was changed", 10.0)
    assert pids(pinfold) == before


def test_a_version_that_does_not_start_is_taken_back_whole(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(text := config())
    before = pids(pinfold)
    more = '[programs.late]\ncommand = "sh -c \'echo dying; exit 7\' {socket}"\n[[routes]]\npool = "late"\n'
    pinfold.write_config(text.replace("instances = 2", "instances = 3") + more)
    _, verdict = reports(pinfold, "apply")
    assert verdict.exit_code == 5
    assert "exited with status 7" in verdict.summary
    assert "dying" in verdict.summary
    assert pids(pinfold) == before
    assert [program.name for program in Client(pinfold.run_directory).status().programs] == ["app"]


def test_apply_scales_moves_listeners_and_removes_without_touching_the_rest(start_pinfold: StartPinfold) -> None:
    text = config()
    late = f'[programs.late]\ncommand = "{DEMO} --socket {{socket}}"\n[[routes]]\npool = "app"\n'
    pinfold = start_pinfold(text + late)
    before, port = pids(pinfold), free_port()
    changed = re.sub(r"127.0.0.1:\d+", f"127.0.0.1:{port}", text).replace("instances = 2", "instances = 3")
    pinfold.write_config(changed)
    _, verdict = reports(pinfold, "apply")
    assert verdict.ok, verdict
    status = Client(pinfold.run_directory).status()
    assert [program.name for program in status.programs] == ["app"]
    assert pids(pinfold)[:2] == before
    assert app(pinfold).ready == 3
    assert status.listeners[0].addresses == (f"127.0.0.1:{port}",)
    assert status.state == "ok"


def test_apply_replaces_what_was_started_from_another_config(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(text := config())
    before = pids(pinfold)
    pinfold.write_config(text + 'environment = { COLOUR = "blue" }\n')
    _, verdict = reports(pinfold, "apply")
    assert verdict.ok, verdict
    assert not set(before) & set(pids(pinfold))
    assert [instance.generation for instance in app(pinfold).instances] == [2, 2]
