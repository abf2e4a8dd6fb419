"""The run directory: made, refused, locked for one daemon, removed."""

from pathlib import Path

import pytest

from pinfold.base.errors import FailedError
from pinfold.daemon.run_directory import RunDirectory


def test_it_is_made_private_and_removed_with_all_that_is_ours(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.claim(42)
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert (directory.path / "daemon.lock").read_text().split() == ["42", "made"]
    directory.sockets.mkdir()
    directory.remove()
    assert not directory.path.exists()


def test_a_directory_of_the_operators_stays(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    tmp_path.chmod(0o700)
    directory.claim(42)
    directory.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_second_daemon_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    first, second = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")
    first.claim(42)
    with pytest.raises(FailedError, match="pid 42"):
        second.claim(43)
    first.release()
    second.claim(43)
    second.remove()
    assert not second.path.exists(), "who comes after a killed daemon removes what that one made"


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(FailedError, match="others may write"):
        RunDirectory(tmp_path).claim(42)
