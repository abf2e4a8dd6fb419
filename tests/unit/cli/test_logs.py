"""Logs are merged by their stamps, followed across rotations, and shown without obeying what they hold."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinfold.cli.log_files import Follower, watch
from pinfold.cli.log_lines import Line, merge, parse_line, render_line
from pinfold.cli.log_names import logs_of
from support.waiting import wait_for


def stamped(second: int, text: str) -> str:
    return f"2026-11-24T03:00:{second:02}.000Z 17 out {text}"


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def texts(lines: Iterator[Line] | list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_a_line_is_stamp_process_stream_and_text() -> None:
    assert parse_line("web.1", "2026-11-24T03:00:00.123Z 17 err+ a b") == Line(
        "web.1", "2026-11-24T03:00:00.123Z", 17, "err", "a b"
    )


@pytest.mark.parametrize(("line", "time"), [('{"time":"T1","a":2}', "T1"), ("{broken", "T0"), ('{"time":3}', "T0")])
def test_a_line_without_a_stamp_has_its_own_time_or_the_one_before(line: str, time: str) -> None:
    assert parse_line("access", line, "T0") == Line("access", time, None, "", line)


def test_logs_are_merged_by_time_and_the_last_lines_kept() -> None:
    one = [Line("a", f"T{n}", 1, "out", str(n)) for n in (1, 3, 5)]
    two = [Line("b", f"T{n}", 1, "out", str(n)) for n in (2, 4)]
    assert texts(merge([one, two], 3)) == ["3", "4", "5"]
    assert merge([one, two], 0) == []


def test_several_logs_are_told_apart_by_name() -> None:
    line = Line("a.1", "T", 1, "out", "hello")
    assert render_line(line, ["a.1"], coloured=False) == "T hello"
    assert render_line(line, ["a.1", "a.10"], coloured=False) == "a.1  T hello"


def test_what_a_program_writes_cannot_drive_the_terminal() -> None:
    shown = render_line(Line("a", "T", 1, "out", "\x1b]0;x\x07\r"), ["a"], coloured=False)
    assert shown == "T \\x1b]0;x\\x07\\x0d"


def test_the_last_lines_reach_back_across_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "web.1.log"
    write(tmp_path / "web.1.log.1", *(stamped(n, f"old {n}") for n in range(5)))
    write(log, stamped(6, "new"))
    with contextlib.closing(Follower("web.1", log)) as follower:
        assert texts(follower.last(3)) == ["old 3", "old 4", "new"]


def test_the_last_lines_of_a_large_log_are_found(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    write(log, *(f"{n} {'x' * 1000}" for n in range(1000)))
    with contextlib.closing(Follower("a", log)) as follower:
        assert [line.text.split()[0] for line in follower.last(100)] == [str(n) for n in range(900, 1000)]


def test_a_log_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    assert Follower("a", tmp_path / "a.log").last(3) == []


def test_a_follower_goes_on_across_rotations_and_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    write(log, "1")
    follower = Follower("a", log)
    assert texts(follower.last(10)) == ["1"]
    write(log, "2")
    log.rename(tmp_path / "a.log.1")
    write(tmp_path / "a.log.1", "3")
    write(log, "4")
    assert texts(follower.added()) == ["2", "3", "4"]
    with log.open("a") as file:
        file.write("half")
    assert texts(follower.added()) == []
    write(log, " a line")
    assert texts(follower.added()) == ["half a line"]
    follower.close()


def test_a_watch_is_woken_by_what_is_added(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    seen: list[str] = []

    def follow() -> None:
        with contextlib.closing(Follower("a", log)) as follower:
            for lines in watch(tmp_path, [follower]):
                seen.extend(texts(lines))
                if "end" in seen:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    for number in range(3):
        write(log, f"{number}")
        wait_for(lambda wanted=number: str(wanted) in seen, 10.0)  # type: ignore[misc]  # bound for each turn
    write(log, "end")
    thread.join(10.0)
    assert seen == ["0", "1", "2", "end"]


def test_names_stand_for_programs_instances_and_the_proxy(tmp_path: Path) -> None:
    for name in ("web.1", "web.2", "web.10", "jobs.1", "proxy", "access"):
        (tmp_path / f"{name}.log").touch()
    assert logs_of(tmp_path, None, ["web"]).names == ("web.1", "web.2", "web.10")
    assert logs_of(tmp_path, None, ["proxy", "web.2", "web.2"]).names == ("proxy", "web.2")
    assert set(logs_of(tmp_path, None, []).names) == {"web.1", "web.2", "web.10", "jobs.1"}
    unknown = logs_of(tmp_path, None, ["wbe.1"])
    assert (unknown.unknown, unknown.hint) == ("wbe.1", 'did you mean "web.1"?')
