"""The numbers pinfold promises, as counts and ratios: evenness, nothing lost, and what it costs to do nothing."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.client import Connection, Target, fetch
from support.load import generate, loading
from support.ports import free_port
from support.processes import cpu_seconds, kill, rss
from support.running import DEMO, Pinfold
from support.waiting import wait_for

StartPinfold = Callable[[str], Pinfold]
MIB = 1024 * 1024


def config(port: int, *, boot: float = 0.0, instances: int = 4) -> str:
    return f"""
        [listeners.front]
        bind = "127.0.0.1:{port}"
        [programs.web]
        command = "{DEMO} --socket {{socket}}"
        instances = {instances}
        environment = {{ BOOT_DELAY = "{boot}" }}
    """


@pytest.fixture
def front(start_pinfold: StartPinfold) -> tuple[Pinfold, Target]:
    port = free_port()
    return start_pinfold(config(port)), Target(port=port)


def ask(pinfold: Pinfold) -> Any:  # noqa: ANN401 - the shape is pinfold's contract
    """The status, asked for on the control socket: the command takes a good part of a second to start."""
    return fetch(Target(path=pinfold.run_directory / "pinfold.sock"), "/v1/status").json


def ready(pinfold: Pinfold) -> int:
    """Instances that are ready and in the pool."""
    status = ask(pinfold)
    return min(status["programs"][0]["ready"], len(status["pools"][0]["endpoints"]))


def returned(pinfold: Pinfold, victim: dict[str, Any]) -> bool:
    """Whether the instance that was killed is ready again, as another process."""
    now = next(one for one in ask(pinfold)["programs"][0]["instances"] if one["name"] == victim["name"])
    return bool(now["ready"]) and now["pid"] != victim["pid"]


def voluntary_switches(pid: int) -> int:
    """How often the threads of a process went to sleep."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            lines = (thread / "status").read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def test_requests_of_many_connections_are_shared_evenly(front: tuple[Pinfold, Target]) -> None:
    # Whoever is faster rightly gets more; what is equal in all is the time an answer takes, if it is not the CPU's.
    load = generate(front[1], connections=32, requests=8000, path="/slow?ms=20")
    assert not load.failed, str(load)
    assert len(load.outcomes) == 8000
    shares = {name: count / 8000 for name, count in load.by_instance.items()}
    assert len(shares) == 4
    assert all(0.22 <= share <= 0.28 for share in shares.values()), shares


def test_requests_of_one_connection_touch_every_instance_over_few_connections(front: tuple[Pinfold, Target]) -> None:
    pinfold, target = front
    with Connection(target) as connection:
        served = {connection.fetch().json["instance"] for _ in range(200)}
    assert served == {"web.1", "web.2", "web.3", "web.4"}
    assert sum(endpoint["connects"] for endpoint in ask(pinfold)["pools"][0]["endpoints"]) <= 8


def test_an_instance_that_is_killed_under_load_costs_no_request(front: tuple[Pinfold, Target]) -> None:
    pinfold, target = front
    victim = ask(pinfold)["programs"][0]["instances"][1]
    with loading(target, connections=8, seconds=40) as load:
        wait_for(lambda: load.by_instance[victim["name"]] > 20, 10, "requests at the victim")
        kill([process for process in pinfold.processes() if process.pid == victim["pid"]])
        before = len(load.outcomes)
        wait_for(lambda: returned(pinfold, victim), 20, "the return of the instance")
        wait_for(lambda: len(load.outcomes) - before > 500, 20, "500 requests after the kill")
    assert not load.failed, str(load)
    assert ask(pinfold)["programs"][0]["instances"][1]["restarts"] == 1


def test_a_rolling_restart_under_load_costs_no_request_and_never_more_than_one_instance(
    start_pinfold: StartPinfold,
) -> None:
    port = free_port()
    pinfold = start_pinfold(config(port, boot=2.0))
    before = {one["pid"] for one in ask(pinfold)["programs"][0]["instances"]}
    fewest, ending = [4], threading.Event()

    def watch() -> None:
        while not ending.wait(0.05):
            fewest[0] = min(fewest[0], ready(pinfold))

    watching = threading.Thread(target=watch)
    watching.start()
    with loading(Target(port=port), connections=8, seconds=90) as load:
        ended = pinfold.run_cli("restart", "web")
    ending.set()
    watching.join()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not load.failed, str(load)
    assert len(load.outcomes) > 200
    assert fewest[0] >= 3
    after = {one["pid"] for one in ask(pinfold)["programs"][0]["instances"]}
    assert not before & after
    assert ready(pinfold) == 4


def test_an_idle_daemon_does_not_wake(start_pinfold: StartPinfold) -> None:
    """With endpoints that are not its own there is nothing to probe, so nothing to wake for."""
    port = free_port()
    pinfold = start_pinfold(f"""
        [listeners.front]
        bind = "127.0.0.1:{port}"
        [pools.elsewhere]
        endpoints = ["127.0.0.1:{free_port()}"]
    """)
    assert pinfold.daemon is not None
    time.sleep(2.0)  # the last of its start
    before = voluntary_switches(pinfold.daemon.pid)
    time.sleep(10.0)  # nothing can be waited for when nothing is to happen
    assert voluntary_switches(pinfold.daemon.pid) - before == 0


def test_doing_nothing_costs_next_to_nothing(front: tuple[Pinfold, Target]) -> None:
    pinfold, target = front
    for _ in range(20):
        fetch(target)
    assert pinfold.daemon is not None
    daemon, shim, proxy = pinfold.daemon.pid, pinfold.find("pinfold-shim").pid, pinfold.find("pinfold-proxy").pid
    time.sleep(2.0)  # the last of its start
    began, used = time.monotonic(), sum(map(cpu_seconds, (daemon, shim, proxy)))
    asleep = voluntary_switches(daemon)
    time.sleep(12.0)  # nothing can be waited for when nothing is to happen
    passed = time.monotonic() - began
    # The clock of a process ticks in hundredths: one tick of each of the three is no finding.
    assert sum(map(cpu_seconds, (daemon, shim, proxy))) - used <= 0.005 * passed + 0.03
    # Each of four instances is probed every 2 s; a probe wakes for its timer, its connection and its answer.
    assert voluntary_switches(daemon) - asleep <= (passed / 2 + 1) * 4 * 4
    assert rss(daemon) <= 80 * MIB
    assert rss(proxy) <= 20 * MIB
    assert rss(shim) <= 8 * MIB
