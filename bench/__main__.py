"""`make bench`: starts everything, runs the rounds, prints what it found and writes it to bench/results/."""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from bench import queues, report
from bench.load import Load
from bench.measure import Field, Samples, idle_kib, place_load, run_rounds, thread_gain
from bench.peers import ALL, BARS, missing
from bench.report import Judged
from bench.scenarios import NAMES, SCENARIOS
from support.ports import free_port

RESULTS: Final = Path(__file__).parent / "results"
OURS: Final = "pinfold"
ENDPOINTS: Final = 4
MEMORY: Final = Path("/dev/shm")
"""Where logs are written: no disk is to be measured."""


def main() -> int:
    """Exit 0 if every bar is met that was looked at, else 1."""
    wanted = _wanted()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="pinfold-bench-", dir=MEMORY if MEMORY.is_dir() else None))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        if wanted.queue:
            found = queues.run(directory, wanted.seconds, wanted.peers)
            print(queues.table(found))
            _write("queue", found)
            return 0
        return _bench(stack, wanted, directory)


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="of one peer in one round; default 0.5, of the queue 60"
    )
    parser.add_argument("--only", type=_words(NAMES), default=NAMES, help=",".join(NAMES))
    parser.add_argument("--peers", type=_words(ALL), default=ALL, help=",".join(ALL))
    parser.add_argument("--nice", type=int, default=-10, help="priority of all that is measured; default -10")
    parser.add_argument("--build", type=_build, action="append", default=[], help="NAME=DIRECTORY of another .venv/bin")
    parser.add_argument("--sleep", action="store_true", help="clients and endpoints sleep when they have nothing to do")
    parser.add_argument("--queue", action="store_true", help="the queue discipline, and nothing else")
    wanted = parser.parse_args()
    wanted.seconds = wanted.seconds or (60.0 if wanted.queue else 0.5)
    for name in [name for name in wanted.peers if missing(name)]:
        print(f"skipped: {name} is not installed", file=sys.stderr)
    wanted.peers = [name for name in wanted.peers if not missing(name)]
    return wanted


def _words(known: Sequence[str]) -> Any:  # noqa: ANN401 - as argparse takes it
    def words(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(known)}")
        return text.split(",")

    return words


def _build(text: str) -> tuple[str, Path]:
    name, _, directory = text.partition("=")
    if not (Path(directory) / "pinfold").exists():
        raise argparse.ArgumentTypeError(f"there is no pinfold in {directory!r}")
    return name, Path(directory)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _bench(stack: ExitStack, wanted: argparse.Namespace, directory: Path) -> int:
    tcp = tuple(f"127.0.0.1:{free_port()}" for _ in range(ENDPOINTS))
    unix = tuple(f"unix:{directory}/e{number}" for number in range(ENDPOINTS))
    load = stack.enter_context(Load([*tcp, *unix]))
    place_load(load, wanted.nice)
    builds = dict(wanted.build)
    field = Field(load, directory, tcp, unix, wanted.nice, wanted.seconds, wanted.rounds, not wanted.sleep, builds)
    ours = [OURS, *builds]
    names = [*ours, *wanted.peers]

    asked = set(wanted.only) | ({"small", "unix"} if "installed" in wanted.only else set())
    found: dict[str, Samples] = {}
    chosen = [scenario for scenario in SCENARIOS if scenario.name in asked]
    for log in dict.fromkeys(scenario.log for scenario in chosen):
        alike = [scenario for scenario in chosen if scenario.log == log]
        found |= run_rounds(field, alike, names)
        for scenario in alike:
            print(report.table(scenario, found[scenario.name]), flush=True)
    judged = _judge(found, ours)
    if "idle" in asked:
        kibs = idle_kib(field, names)
        print("\nidle: KiB a connection\n  " + "  ".join(f"{name} {kib:.2f}" for name, kib in kibs.items()), flush=True)
        judged += [report.judge_idle(kibs[who], who) for who in ours]
    if "threads" in asked:
        for who in ours:
            gain, one, two = thread_gain(field, who)
            print(f"\nthreads: {who} {one:.2f} µs a request with one thread, {two:.2f} with two", flush=True)
            judged.append(report.judge_threads(gain, who))
    print(report.LEGEND)
    print(report.verdicts(judged))
    _write("bench", report.as_json(found, judged, _facts(wanted)))
    return 0 if all(one.passes for one in judged) else 1


def _judge(found: dict[str, Samples], ours: list[str]) -> list[Judged]:
    judged = []
    for scenario in (scenario for scenario in SCENARIOS if scenario.name in found):
        samples = found[scenario.name]
        if against := report.best(samples, BARS):
            judged += [report.judge(scenario, samples, who, against) for who in ours]
    if "small" in found and "unix" in found and (against := report.best(found["small"], BARS)):
        judged += [report.judge_installed(found["unix"], found["small"], who, against) for who in ours]
    return judged


def _facts(wanted: argparse.Namespace) -> dict[str, Any]:
    words = {key: str(value) for key, value in vars(wanted).items()}
    return {"machine": platform.platform(), "cores": os.cpu_count(), "asked": words}


def _write(name: str, what: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = RESULTS / f"{name}-{stamp}.json"
    path.write_text(json.dumps(what, indent=1), encoding="utf-8")
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    sys.exit(main())
