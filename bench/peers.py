"""Who takes part: pinfold as it is installed, and its peers; all run from the first round to the last."""

import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from bench import configs
from bench.configs import Front
from bench.cores import place
from support.ports import free_port
from support.processes import belonging_to, kill
from support.running import Pinfold
from support.waiting import wait_for

__all__ = ["ALL", "BARS", "VENV", "Peer", "missing", "pin", "start", "supports"]

VENV: Final = Path(__file__).parents[1] / "target" / "bench" / "venv"
"""Where peers from PyPI are."""
BARS: Final = ("haproxy", "nginx")
"""The better of these is what pinfold is measured against; the others are for orientation."""
DEADLINE: Final = 15.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How a peer is started: the text of its config, the command behind whose words the config's path comes."""

    config: Callable[[Front], str]
    command: tuple[str, ...]
    tuned: bool = False
    only_tcp: bool = False
    file: str = "config"
    """Its config; the end of the name says to some what it is."""

    @property
    def executable(self) -> str | None:
        """The path of its executable, if it is installed."""
        return shutil.which(self.command[0], path=f"{os.environ['PATH']}:/usr/sbin:{VENV / 'bin'}")


_KINDS: Final = {
    "haproxy": Kind(configs.haproxy, ("haproxy", "-db", "-f")),
    "nginx": Kind(configs.nginx, ("nginx", "-c")),
    "haproxy-64k": Kind(configs.haproxy, ("haproxy", "-db", "-f"), tuned=True),
    "nginx-64k": Kind(configs.nginx, ("nginx", "-c"), tuned=True),
    "apache": Kind(configs.apache, ("apache2", "-DFOREGROUND", "-f"), only_tcp=True),
    "caddy": Kind(configs.caddy, ("caddy", "run", "--adapter", "caddyfile", "--config"), only_tcp=True),
    "envoy": Kind(
        configs.envoy,
        ("envoy", "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"),
        only_tcp=True,
        file="config.yaml",
    ),
}
ALL: Final = tuple(_KINDS)


class Peer(Protocol):
    """One that runs."""

    @property
    def name(self) -> str:
        """As the table shows it."""
        ...

    @property
    def address(self) -> str:
        """Where clients connect."""
        ...

    @property
    def proxies(self) -> list[int]:
        """Processes that carry bytes."""
        ...

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        ...


@dataclass(frozen=True, slots=True)
class _Running:
    name: str
    address: str
    proxies: list[int]
    pids: list[int]


def missing(name: str) -> bool:
    """Whether a peer is not installed."""
    return _KINDS[name].executable is None


def supports(name: str, front: Front) -> bool:
    """Whether a peer can be had with these endpoints."""
    kind = _KINDS.get(name)
    return kind is None or not (kind.only_tcp and any(endpoint.startswith("unix:") for endpoint in front.endpoints))


def start(stack: ExitStack, name: str, front: Front, commands: Path | None = None) -> Peer:
    """Start a peer, or the pinfold whose commands are in `commands`, until the stack is unwound."""
    directory = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=front.directory))
    front = replace(front, directory=directory, port=free_port())
    started = _start_pinfold(stack, name, front, commands) if name not in _KINDS else _start_peer(stack, name, front)
    wait_for(lambda: _serves(started.address), DEADLINE, f"the first answer of {name}")
    return started


def _start_peer(stack: ExitStack, name: str, front: Front) -> _Running:
    kind = _KINDS[name]
    assert kind.executable is not None, name
    path = front.directory / kind.file
    path.write_text(kind.config(replace(front, tuned=kind.tuned)), encoding="utf-8")
    # A peer ends with us even if we are killed.
    command = ["setpriv", "--pdeathsig", "TERM", kind.executable, *kind.command[1:], str(path)]
    environment = {**os.environ, "GOMAXPROCS": str(front.threads), "HOME": str(front.directory)}
    with (front.directory / "output").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    stack.callback(_stop, process, front.directory)

    address = f"127.0.0.1:{front.port}"
    wait_for(lambda: process.poll() is not None or _serves(address), DEADLINE, f"the first answer of {name}")
    if process.poll() is not None:
        raise RuntimeError(f"{name} has ended:\n{(front.directory / 'output').read_text(errors='replace')}")
    pids = [one.pid for one in belonging_to(front.directory)]
    return _Running(name, address, pids, pids)


def _start_pinfold(stack: ExitStack, name: str, front: Front, commands: Path | None) -> _Running:
    wanted = Pinfold(configs.pinfold(front), commands)
    stack.callback(wanted.clear)
    wanted.start()
    return _Running(
        name,
        f"127.0.0.1:{front.port}",
        [wanted.find("pinfold-proxy").pid],
        [process.pid for process in wanted.processes()],
    )


def _stop(process: "subprocess.Popen[bytes]", directory: Path) -> None:
    family = belonging_to(directory)
    process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    kill(family)


def _serves(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/small", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def pin(peer: Peer, cores: tuple[int, ...], nice: int) -> None:
    """Give a peer's proxy its cores; what else it has stays where it is."""
    for pid in peer.proxies:
        place(pid, cores, nice)
