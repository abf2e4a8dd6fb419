"""What ruff, mypy and import-linter are told to refuse, they refuse: each is run on a bad sample."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from findings import ROOT

BIN = Path(sys.executable).parent


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A checkout of nothing but the configuration and empty packages."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/pinfold/base").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("base/a.py", "import time\n\nNOW = time.time()\n", "TID251"),
        ("base/a.py", "from time import monotonic\n\nNOW = monotonic()\n", "TID251"),
        ("base/a.py", "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n", "TID251"),
        ("base/a.py", "import random\n\nONE = random.random()\n", "TID251"),
        ("base/a.py", "print(1)\n", "T201"),
        ("base/a.py", "def a(b):\n    return b\n", "ANN001"),
        ("base/a.py", "try:\n    A = 1\nexcept Exception:\n    A = 2\n", "BLE001"),
    ],
)
def test_ruff_refuses(path: str, text: str, code: str, sample: Path) -> None:
    (sample / "src/pinfold" / path).write_text(text)
    assert f" {code} " in run("ruff", "check", "--output-format=concise", "src", folder=sample).stdout


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("base/clock.py", '"""Clock."""\n\nimport time\n\nNOW = time.time()\n'),
        ("base/rng.py", '"""Rng."""\n\nimport random\n\nONE = random.random()\n'),
        ("cli/a.py", '"""Command."""\n\nprint(1)\n'),
    ],
)
def test_ruff_lets_the_one_place_have_it(path: str, text: str, sample: Path) -> None:
    target = sample / "src/pinfold" / path
    for package in (sample / "src/pinfold", target.parent):
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text('"""Package."""\n')
    target.write_text(text)
    checked = run("ruff", "check", "src", folder=sample)
    assert checked.returncode == 0, checked.stdout


def test_mypy_refuses_what_is_not_annotated(sample: Path) -> None:
    (sample / "src/pinfold/base/a.py").write_text("def a(b):\n    return b\n")
    assert "no-untyped-def" in run("mypy", "src", folder=sample).stdout


@pytest.mark.parametrize(
    ("path", "text", "contract"),
    [
        ("base/errors.py", "import pinfold.config.model", "Imports point one way"),
        ("supervise/shim.py", "import pinfold.proxy.link", "Imports point one way"),
        ("demo/program.py", "import pinfold.base.errors", "The demo program stands alone"),
        ("supervise/machine.py", "import time", "Decisions do no I/O"),
        ("proxy/snapshot.py", "import pinfold.base.clock", "Decisions do no I/O"),
    ],
)
def test_import_linter_refuses(path: str, text: str, contract: str, sample: Path) -> None:
    source = sample / "src/pinfold"
    shutil.copytree(ROOT / "src/pinfold", source, dirs_exist_ok=True)
    (source / path).write_text(f'"""Bad."""\n\n{text}\n')
    ended = run("lint-imports", "--no-cache", folder=sample)
    assert ended.returncode == 1
    broken = [line for line in ended.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), ended.stdout
