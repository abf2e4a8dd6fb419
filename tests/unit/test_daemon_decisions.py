"""What the daemon decides without touching anything: paths, names, environments, what waits for the next start."""

from pathlib import Path

import pytest

from pinfold.base.errors import ConfigError, UnknownNameError
from pinfold.config.model import DaemonSettings
from pinfold.config.read import parse
from pinfold.config.template import expand
from pinfold.daemon.environment import base_environment, escape, parse_environment
from pinfold.daemon.names import Known, resolve
from pinfold.daemon.paths import choose_log_directory, choose_run_directory, choose_state_directory, path_problems
from pinfold.daemon.reload import next_start_notes

PROGRAMS = {"web": Known(("front",), range(1, 4)), "jobs": Known(("front", "back"), range(1, 2))}


@pytest.mark.parametrize(
    ("named", "environment", "uid", "chosen"),
    [
        (Path("/a"), {"PINFOLD_RUN_DIR": "/b", "XDG_RUNTIME_DIR": "/c"}, 7, "/a"),
        (None, {"PINFOLD_RUN_DIR": "/b", "XDG_RUNTIME_DIR": "/c"}, 0, "/b"),
        (None, {"XDG_RUNTIME_DIR": "/c"}, 0, "/run/pinfold"),
        (None, {"XDG_RUNTIME_DIR": "/c"}, 7, "/c/pinfold"),
        (None, {"PINFOLD_RUN_DIR": "", "XDG_RUNTIME_DIR": ""}, 7, "/tmp/pinfold-7"),
    ],
)
def test_the_run_directory_is_the_first_that_is_named(
    named: Path | None, environment: dict[str, str], uid: int, chosen: str
) -> None:
    assert choose_run_directory(named, environment, uid) == Path(chosen)


def test_logs_and_state_of_a_user_are_below_the_xdg_state_home() -> None:
    assert choose_log_directory(None, {"HOME": "/h"}, 7) == Path("/h/.local/state/pinfold/log")
    assert choose_state_directory(None, {"XDG_STATE_HOME": "/s", "HOME": "/h"}, 7) == Path("/s/pinfold/state")
    assert choose_log_directory(None, {}, 0) == Path("/var/log/pinfold")
    assert choose_state_directory(Path("/x"), {}, 0) == Path("/x")


def test_a_run_directory_too_long_for_sockets_is_a_problem_that_names_the_mend() -> None:
    config = parse("[listeners.web]\nbind=':80'\n[programs.app]\ncommand='x {socket}'", "p.toml", Path("/")).config
    assert path_problems(Path("/run/pinfold"), config) == []
    (problem,) = path_problems(Path("/" + "d" * 90), config)
    assert "the most is 107" in problem.what
    assert "--run-dir" in problem.hint


def test_names_stand_for_programs_instances_and_groups() -> None:
    assert resolve(["web"], PROGRAMS) == {"web": {1, 2, 3}}
    assert resolve(["web.2", "web.3"], PROGRAMS) == {"web": {2, 3}}
    assert resolve(["front"], PROGRAMS) == {"web": {1, 2, 3}, "jobs": {1}}


@pytest.mark.parametrize(("name", "hint"), [("wbe", 'did you mean "web"?'), ("web.4", "web has 3 instances")])
def test_an_unknown_name_is_told_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        resolve([name], PROGRAMS)
    assert hint in raised.value.hint


def test_environment_files_are_read_strictly_and_every_problem_is_told() -> None:
    text = "# comment\n\nA=1\nexport B = 2\nexport C='x y'\nD=\"open\nE=\n"
    with pytest.raises(ConfigError) as raised:
        parse_environment(text, ".env")
    assert [str(problem.place) for problem in raised.value.problems] == [".env:4:1", ".env:6:1"]
    assert parse_environment("A=1\nexport C='x y'\nE=\n", ".env") == {"A": "1", "C": "x y", "E": ""}


def test_braces_in_environment_files_stand_for_themselves() -> None:
    assert expand(escape('{"port": {port}}'), {"port": "80"}) == '{"port": {port}}'


def test_a_clean_environment_takes_nothing_but_language_and_time_zone() -> None:
    own = {"SECRET": "s", "LANG": "de_DE.UTF-8", "PATH": "/mine", "NOTIFY_SOCKET": "/n"}
    clean = base_environment(own, user="web", home="/srv", clean=True)
    assert clean["LANG"] == "de_DE.UTF-8"
    assert (clean["USER"], clean["HOME"]) == ("web", "/srv")
    assert "SECRET" not in clean
    assert "/mine" not in clean["PATH"]


def test_a_users_own_environment_is_passed_on_but_not_what_was_said_to_the_daemon() -> None:
    own = {"SECRET": "s", "NOTIFY_SOCKET": "/n", "LISTEN_FDS": "1", "PINFOLD_RUN_DIR": "/r", "PORT": "1"}
    passed = base_environment(own, user="me", home="/h", clean=False)
    assert passed["SECRET"] == "s"
    assert passed["PYTHONUNBUFFERED"] == "1"
    assert not passed.keys() & {"NOTIFY_SOCKET", "LISTEN_FDS", "PINFOLD_RUN_DIR", "PORT"}


def test_settings_that_wait_for_the_next_start_are_named() -> None:
    before = DaemonSettings()
    assert next_start_notes(before, before) == ""
    changed = before.model_copy(update={"proxy_threads": 3, "log_directory": Path("/l")})
    assert next_start_notes(before, changed) == "daemon.proxy_threads, daemon.log_directory: from the next start on"
