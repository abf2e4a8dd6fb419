"""What clients notice of the ends and changes of a pinfold: nothing, as long as there is someone to answer them."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from pinfold.api.client import Client
from pinfold.api.models import Verdict
from support.client import Target, fetch
from support.load import Load, loading
from support.ports import free_port
from support.running import DEMO, Pinfold
from support.waiting import wait_for

StartPinfold = Callable[[str], Pinfold]


def config(port: int, instances: int = 4, more: str = "") -> str:
    return f"""
[listeners.web]
bind = "127.0.0.1:{port}"
[programs.app]
command = "{DEMO} --socket {{socket}}"
instances = {instances}
{more}
"""


def pids(pinfold: Pinfold) -> list[int | None]:
    return [instance.pid for instance in Client(pinfold.run_directory).status().programs[0].instances]


def wait_more(load: Load, count: int) -> None:
    until = len(load.outcomes) + count
    wait_for(lambda: len(load.outcomes) >= until, 20.0, f"{count} more requests")


def wait_busy(pinfold: Pinfold, count: int) -> None:
    client = Client(pinfold.run_directory)
    wait_for(lambda: sum(one.in_flight for one in client.status().programs[0].instances) >= count, 10.0, "requests")


def ask_slowly(port: int, ms: int) -> threading.Thread:
    def ask() -> None:
        try:
            fetch(Target(port), f"/slow?ms={ms}")
        except OSError:
            return  # it is cut, as the test wants it

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    return asking


def test_a_daemon_killed_and_started_again_loses_no_request(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config(port := free_port()))
    before = pids(pinfold)
    with loading(Target(port)) as load:
        wait_more(load, 100)
        pinfold.kill_daemon()
        wait_more(load, 100)
        pinfold.start()
        wait_more(load, 100)
    assert not load.failed, load
    assert pids(pinfold) == before


def test_a_changed_config_applied_under_load_loses_no_request(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(text := config(port := free_port()))
    with loading(Target(port)) as load:
        for changed in (text + 'environment = { A = "1" }\n', text.replace("programs.app", "programs.other")):
            pinfold.write_config(changed)
            *_, verdict = Client(pinfold.run_directory).run("apply")
            assert isinstance(verdict, Verdict)
            assert verdict.ok, verdict
            wait_more(load, 100)
    assert not load.failed, load
    assert load.by_instance["other.1"] > 0


def test_a_stop_under_load_answers_what_it_has_taken(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config(port := free_port()))
    with loading(Target(port), path="/slow?ms=200", seconds=5.0) as load:
        wait_more(load, 16)
        pinfold.stop()
    lost = [outcome for outcome in load.failed if "refused" not in outcome.error]
    assert not lost, lost


def test_a_proxy_killed_while_instances_drain_does_not_hold_them_up(start_pinfold: StartPinfold) -> None:
    pinfold = start_pinfold(config(port := free_port(), 1, 'drain = "20s"'))
    asking = ask_slowly(port, 15_000)
    wait_busy(pinfold, 1)
    told: list[object] = []
    stopping = threading.Thread(target=lambda: told.extend(Client(pinfold.run_directory).run("stop", ["app"])))
    stopping.start()
    wait_for(lambda: Client(pinfold.run_directory).status().programs[0].instances[0].phase == "draining", 10.0)
    began = time.monotonic()
    os.kill(pinfold.find("pinfold-proxy").pid, signal.SIGKILL)
    stopping.join(10.0)
    assert isinstance(told[-1], Verdict)
    assert time.monotonic() - began < 10.0
    asking.join(10.0)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_stop_says_whom_it_waits_for_and_a_second_interrupt_cuts_it(
    start_pinfold: StartPinfold, signals: int
) -> None:
    pinfold = start_pinfold(config(port := free_port(), 1, 'drain = "3s"' if signals == 1 else ""))
    daemon = pinfold.daemon
    assert daemon is not None
    asking = ask_slowly(port, 30_000)
    wait_busy(pinfold, 1)
    pinfold.processes()
    daemon.signal(signal.SIGINT)
    daemon.wait_line(r"waiting for 1 request in flight \(app.1 1\)", 10.0)
    if signals == 2:
        daemon.signal(signal.SIGINT)
    assert daemon.wait(15.0) == 0
    pinfold.daemon = None
    pinfold.assert_nothing_left()
    asking.join(10.0)
