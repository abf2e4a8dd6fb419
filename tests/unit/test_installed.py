"""The tests judge what was installed, not what lies in src."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pinfold

BIN = Path(sys.executable).parent


def test_the_installed_pinfold_is_tested() -> None:
    assert pinfold.__file__ is not None
    assert "site-packages" in Path(pinfold.__file__).parts


def test_what_is_installed_is_what_is_in_the_checkout() -> None:
    source = Path(__file__).parents[2] / "src/pinfold"
    installed = Path(pinfold.__file__ or "").parent
    names = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert names == {str(path.relative_to(installed)) for path in installed.rglob("*.py")}
    assert [name for name in names if (source / name).read_bytes() != (installed / name).read_bytes()] == []


def test_the_shim_is_installed() -> None:
    shim = BIN / "pinfold-shim"
    assert shim.stat().st_mode & 0o111
    assert shim.read_bytes()[:4] == b"\x7fELF"


def test_there_is_one_version() -> None:
    assert version("pinfold") == pinfold.__version__


def test_the_demo_program_needs_the_standard_library_only() -> None:
    code = "import sys, pinfold.demo.program; print(*{name.partition('.')[0] for name in sys.modules})"
    ended = subprocess.run(
        [sys.executable, "-Sc", _PATH + code], capture_output=True, text=True, timeout=30, check=True
    )
    assert set(ended.stdout.split()) - set(sys.stdlib_module_names) <= {"pinfold", "__main__"}


# Without the site module only the place of pinfold itself is on the path, and no .pth file runs.
_PATH = f"import sys; sys.path.append({str(Path(pinfold.__file__ or '').parents[1])!r}); "
