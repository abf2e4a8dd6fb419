"""What `run` and `demo` share: a config made from a command, and the daemon in the foreground."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pinfold.certs.store import self_signed_path
from pinfold.cli.flags import Front, Surroundings, Wanted, build
from pinfold.cli.front import choose_front
from pinfold.cli.holdings import held_addresses
from pinfold.config.read import LoadedConfig
from pinfold.daemon.app import RunRequest, run
from pinfold.daemon.paths import choose_log_directory, choose_state_directory

__all__ = ["Urls", "compose", "front_door", "serve", "urls"]

_NEVER: tuple[str, ...] = ("PORT", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "PINFOLD_RUN_DIR")
"""Variables that are for pinfold, not for the program."""


def front_door(http: str | None, https: str | None, run_directory: Path) -> Front:
    """The addresses as named or the default ones; that a default one had to give way is said aloud."""
    front, said = choose_front(http, https, held_addresses(run_directory))
    for words in said:
        print(f"pinfold: {words}", file=sys.stderr)
    return front


def compose(wanted: Wanted, front: Front, directory: Path, daemon: Mapping[str, str]) -> LoadedConfig:
    """A config for a command of the operator's shell: found as there, with what is in the environment there."""
    environment = {name: value for name, value in os.environ.items() if name not in _NEVER}
    found = replace(wanted, command=[_found(wanted.command[0]), *wanted.command[1:]])
    return build(found, front, Surroundings(str(directory), environment, daemon))


def _found(word: str) -> str:
    """The command's whole path, for the program's own PATH may be another; as it is when there is none."""
    found = shutil.which(word) if "/" not in word else None
    return str(Path(found).absolute()) if found else word


def serve(
    load: Callable[[], LoadedConfig], run_directory: Path, path: Path | None, on_ready: Callable[[], None]
) -> int:
    """Run the daemon until it is told to stop; its exit code."""
    return run(RunRequest(load=load, run_directory=run_directory, config_path=path, on_ready=on_ready))


@dataclass(frozen=True, slots=True)
class Urls:
    """What to type to see it work."""

    https: str
    """A curl line up to the path."""
    http: str
    logs: Path


def urls(loaded: LoadedConfig) -> Urls:
    """How a config of `compose` is reached, and where its logs are."""
    named = loaded.config.daemon
    state = choose_state_directory(named.state_directory, os.environ, os.geteuid())
    http, https = (_host(str(loaded.config.listeners[name].bind[0])) for name in ("http", "https"))
    return Urls(
        https=f"curl --cacert {shlex.quote(str(self_signed_path(state, 'https')))} https://{https}",
        http=f"curl http://{http}",
        logs=choose_log_directory(named.log_directory, os.environ, os.geteuid()),
    )


def _host(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"localhost:{port}" if host in ("127.0.0.1", "0.0.0.0") else address
