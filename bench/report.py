"""What was found, in words and in JSON: medians, ratios beside their bars, and whether the load was a bottleneck."""

import statistics
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.measure import Sample, Samples
from bench.scenarios import IDLE_BAR, INSTALLED_BAR, THREADS_BAR, Scenario

__all__ = [
    "LEGEND",
    "Judged",
    "as_json",
    "best",
    "judge",
    "judge_idle",
    "judge_installed",
    "judge_threads",
    "table",
    "verdicts",
]

SATURATED: Final = 0.9
"""Share of the time; a proxy that has work for so much of it is the bottleneck."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure of pinfold, or of another build of it, beside its bar."""

    name: str
    who: str
    figure: float
    bar: float
    against: str
    spread: str = ""
    least: bool = False
    """The bar is what it has to reach, not what it may not exceed."""

    @property
    def passes(self) -> bool:
        """Whether the bar is met."""
        return self.figure >= self.bar if self.least else self.figure <= self.bar


def median(samples: list[Sample], field: str) -> float:
    """The median of one field."""
    return float(statistics.median(getattr(sample, field) for sample in samples))


def best(samples: Samples, candidates: tuple[str, ...]) -> str | None:
    """The candidate that needs least CPU."""
    present = [name for name in candidates if name in samples]
    return min(present, key=lambda name: median(samples[name], "cpu_us"), default=None)


def judge(scenario: Scenario, samples: Samples, who: str, against: str) -> Judged:
    """One build of pinfold against a peer in the same rounds."""
    return _judge(scenario.name, scenario.bar, (who, samples[who]), (against, samples[against]))


def judge_installed(unix: Samples, tcp: Samples, who: str, against: str) -> Judged:
    """Pinfold on unix sockets against the best peer on TCP."""
    return _judge("installed", INSTALLED_BAR, (who, unix[who]), (f"{against}, TCP", tcp[against]))


def _judge(name: str, bar: float, ours: tuple[str, list[Sample]], theirs: tuple[str, list[Sample]]) -> Judged:
    who, mine = ours
    against, other = theirs
    rounds = sorted(one.cpu_us / two.cpu_us for one, two in zip(mine, other, strict=True))
    quarter = len(rounds) // 4
    spread = f"{rounds[quarter]:.2f}..{rounds[-1 - quarter]:.2f}"
    return Judged(name, who, statistics.median(rounds), bar, f"÷ {against}", spread)


def judge_idle(kib: float, who: str) -> Judged:
    """Memory of an idle connection."""
    return Judged("idle", who, kib, IDLE_BAR, "KiB a connection")


def judge_threads(gain: float, who: str) -> Judged:
    """Two threads against one."""
    return Judged("threads", who, gain, THREADS_BAR, "of one thread", least=True)


def table(scenario: Scenario, samples: Samples) -> str:
    """One scenario, each peer a line."""
    lines = [f"\n{scenario.name}: {scenario.title}", f"  {'':<12}" + "".join(f"{head:>8}" for head, _, _ in _COLUMNS)]
    for name in sorted(samples, key=lambda name: median(samples[name], "cpu_us")):
        cells = "".join(f"{median(samples[name], field):{form}}" for _, field, form in _COLUMNS)
        lines.append(f"  {name:<12}{cells}{_remark(samples[name])}")
    return "\n".join(lines)


_COLUMNS: Final = (
    ("CPU µs", "cpu_us", "8.2f"),
    ("req/s", "rate", "8.0f"),
    ("ran", "ran", "8.0%"),
    ("waited", "waited", "8.0%"),
    ("load", "load", "8.0%"),
    ("p50 ms", "p50", "8.2f"),
    ("p99 ms", "p99", "8.2f"),
    ("RSS MiB", "rss_mib", "8.1f"),
)


def _remark(samples: list[Sample]) -> str:
    """A mark where the proxy was not the bottleneck, and where requests failed."""
    wanted = median(samples, "ran") + median(samples, "waited")
    failed = sum(sample.failed for sample in samples)
    return ("  ~" if wanted < SATURATED else "") + (f"  {failed} FAILED" if failed else "")


LEGEND: Final = f"""
CPU µs: user and system of all of a peer's processes, a request. ran: share of the
time in which it ran; waited: in which it could have run but others had its core;
load: in which clients and endpoints ran or could have, 100% unless they --sleep.
Where ran and waited make {SATURATED:.0%}, the proxy always had work: neither clients nor
endpoints were the bottleneck. Elsewhere (~) CPU compares, req/s does not.
p50, p99: at a fixed rate, from when a request was due."""


def verdicts(judged: list[Judged]) -> str:
    """The bars, one a line."""
    lines = [f"\n{'scenario':<10} {'build':<12} {'found':>6}  {'bar':<7} {'':<24} {'rounds':<12}"]
    for one in judged:
        bar = f"{'≥' if one.least else '≤'} {one.bar:.2f}"
        verdict = "pass" if one.passes else "FAIL"
        lines.append(
            f"{one.name:<10} {one.who:<12} {one.figure:6.2f}  {bar:<7} {one.against:<24} {one.spread:<12} {verdict}"
        )
    return "\n".join(lines)


def as_json(found: dict[str, Samples], judged: list[Judged], facts: dict[str, Any]) -> dict[str, Any]:
    """All samples and all verdicts."""
    samples = {name: {who: [asdict(one) for one in rounds] for who, rounds in by.items()} for name, by in found.items()}
    return {**facts, "samples": samples, "judged": [{**asdict(one), "passes": one.passes} for one in judged]}
