"""pinfold as a user runs it: the installed command, a config file, a run directory; stopped without a trace.

It owns the files and the processes of one pinfold of one test. What pinfold is to do is in the config it is given.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from support.processes import Process, alive, belonging_to, kill
from support.subprocesses import Subprocess
from support.waiting import wait_for

__all__ = ["BIN", "DEMO", "Ended", "Pinfold"]

BIN: Final = Path(sys.executable).parent
"""Where the installed commands are."""
DEMO: Final = f"{sys.executable} -m pinfold.demo.program"
"""The bundled program, to be followed by `--socket {socket}` or `--port {port}`."""
READY: Final = r"^(?:pinfold: )?ready$"
"""The line `pinfold run` says once every listener is bound and every instance is ready."""

Ended = subprocess.CompletedProcess[str]


class Pinfold:
    """One pinfold; `start` it, and `stop` or `clear` it at the end.

    In the config, `@directory@` stands for the directory of this pinfold, and `[daemon]` is filled in when absent.
    """

    def __init__(self, config: str = "", commands: Path | None = None) -> None:
        self._executable = (commands or BIN) / "pinfold"
        # Short on purpose: the path of a unix socket may have 107 bytes, and pytest's own directories are longer.
        self.directory = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))
        self.run_directory = self.directory / "run"
        self.log_directory = self.directory / "log"
        self.config_path = self.directory / "pinfold.toml"
        self.daemon: Subprocess | None = None
        self._family: set[Process] = set()
        if config:
            self.write_config(config)

    def write_config(self, config: str) -> None:
        """Write the config; a pinfold that runs does not notice until it is told to apply it."""
        if "[daemon]" not in config:
            config += '\n[daemon]\nlog_directory = "@directory@/log"\nstate_directory = "@directory@/state"\n'
        self.config_path.write_text(config.replace("@directory@", str(self.directory)), encoding="utf-8")

    def start(self, *words: str, deadline: float = 30.0) -> "Pinfold":
        """Run `pinfold run` and return once it says that it is ready; `words` replace `-c CONFIG`.

        Raises:
            AssertionError: it ended or was not ready within `deadline` seconds; what it said is told.
        """
        assert self.daemon is None, "it runs already"
        self.daemon = self.launch(*words)
        self.daemon.wait_line(READY, deadline)
        self._family.update(belonging_to(self.run_directory))
        return self

    def launch(self, *words: str) -> Subprocess:
        """Run `pinfold run` without waiting for anything, for tests of what does not start."""
        named = words or ("-c", str(self.config_path))
        return Subprocess(
            [str(self._executable), "run", "--run-dir", str(self.run_directory), *named], self.environment
        )

    @property
    def environment(self) -> dict[str, str]:
        """What the commands of this pinfold find in their environment."""
        return {**os.environ, "PINFOLD_RUN_DIR": str(self.run_directory), "NO_COLOR": "1", "TERM": "dumb"}

    def run_cli(self, *words: str, deadline: float = 60.0) -> Ended:
        """Run a command against this pinfold, `run_cli("status", "--json")`; the test judges its exit code."""
        return subprocess.run(
            [str(self._executable), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )

    def status(self) -> Any:  # noqa: ANN401 - the shape is pinfold's contract, and judged by its own tests
        """What `pinfold status --json` says."""
        ended = self.run_cli("status", "--json", "--run-dir", str(self.run_directory))
        assert ended.returncode in (0, 6), ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def log(self, name: str) -> str:
        """The log of an instance, `web.1`; empty as long as there is none."""
        path = self.log_directory / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def processes(self) -> list[Process]:
        """Every process of this pinfold: daemon, shim, proxy, instances and what these have started."""
        found = belonging_to(self.run_directory)
        self._family.update(found)
        return found

    def find(self, word: str) -> Process:
        """The only process of this pinfold with `word` in its command line: `pinfold-shim`, `pinfold-proxy`."""
        found = [process for process in self.processes() if word in process.line.partition(" --")[0]]
        assert len(found) == 1, f"{word}: {found}"
        return found[0]

    def kill_daemon(self) -> None:
        """Kill the daemon and nothing else; `start` may follow."""
        assert self.daemon is not None, "it does not run"
        self.processes()
        assert self.daemon.kill() == -signal.SIGKILL
        self.daemon = None

    def stop(self, deadline: float = 60.0) -> str:
        """End it as Ctrl-C does: exit 0, and no process and no socket is left. What it said is given back."""
        assert self.daemon is not None, "it does not run"
        self.processes()
        self.daemon.signal(signal.SIGINT)
        code, output = self.daemon.wait(deadline), self.daemon.output
        self.daemon = None
        assert code == 0, f"exit {code}:\n{output}"
        self.assert_nothing_left()
        return output

    def assert_nothing_left(self) -> None:
        """No process and no socket of this pinfold is left; the kernel is given a second to reap."""
        wait_for(lambda: not (alive(self._family) or belonging_to(self.run_directory)), 1.0, "the end of all processes")
        sockets = [path for path in self.directory.rglob("*") if path.is_socket()]
        assert not sockets, f"sockets left: {sockets}"

    def clear(self) -> None:
        """Whatever still runs is killed, and the directory removed; for the end of a test, however it went."""
        for _ in range(20):  # the shim may be about to spawn, so until nothing is left
            family = set(self.processes()) | set(alive(self._family))
            if not family:
                break
            kill(family)
        if self.daemon is not None:
            self.daemon.wait(10.0)
            self.daemon = None
        shutil.rmtree(self.directory, ignore_errors=True)
