"""What people read: the models of the API as text. Pure: width and colour come in, nothing is printed."""

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinfold.api.models import InstanceStatus, ListenerStatus, PoolStatus, Status, Verdict
from pinfold.base.names import close_to
from pinfold.base.units import format_duration

__all__ = [
    "WIDE",
    "Paper",
    "fold_status",
    "known_names",
    "render_status",
    "render_verdict",
    "unknown_name",
]

WIDE: Final = 10_000
"""Columns of what is no terminal: nothing is ever cut or wrapped there."""
_NARROW: Final = 70
"""Below so many columns a terminal is shown less of each instance, rather than words cut in two."""
_STYLES: Final = {
    "ready": "green",
    "ok": "green",
    "starting": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
    "degraded": "red",
    "not ready": "red",
    "backoff": "red",
}


@dataclass(frozen=True, slots=True)
class Paper:
    """What is written on."""

    width: int
    coloured: bool


def known_names(status: Status) -> list[str]:
    """Every name a command may be given: programs, their instances, their groups."""
    programs = status.programs
    instances = (one.name for program in programs for one in program.instances)
    return sorted({*(program.name for program in programs), *instances, *(g for p in programs for g in p.groups)})


def unknown_name(status: Status, names: Iterable[str]) -> tuple[str, str] | None:
    """The first name that nothing bears, with a hint."""
    known = known_names(status)
    found = next((name for name in names if name not in known), None)
    return None if found is None else (found, close_to(found, known))


def fold_status(status: Status, names: Collection[str]) -> Status:
    """The status with those instances only that `names` stand for; all when there are no names."""
    if not names:
        return status
    programs = []
    for program in status.programs:
        whole = program.name in names or not set(program.groups).isdisjoint(names)
        kept = tuple(one for one in program.instances if whole or one.name in names)
        if whole or kept:
            programs.append(program.model_copy(update={"instances": kept}))
    return status.model_copy(update={"programs": tuple(programs)})


def render_status(status: Status, now: datetime, paper: Paper) -> str:
    """A heading, then listeners, instances and remote pools, then what needs attention."""
    config = status.config or "none; started with a command"
    heading = f"pinfold {status.pinfold}  {status.state}  up {format_duration(status.uptime)}  pid {status.pid}"
    lines = [
        _styled(heading, {status.state: _STYLES.get(status.state, "")}, paper),
        f"config  {config}",
        f"logs    {status.log_directory}",
    ]
    parts = ["\n".join(lines), _listeners(status.listeners, now, paper)]
    instances = [one for program in status.programs for one in program.instances]
    if instances:
        parts.append(_instances(instances, paper))
    if remote := _remote(status):
        parts.append(_pools(remote, paper))
    notes = [_note(one) for one in instances if one.wanted and (one.note or one.retry_in is not None)]
    if notes := [*notes, *_pool_notes(status.pools)]:
        parts.append("\n".join(notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _listeners(listeners: Sequence[ListenerStatus], now: datetime, paper: Paper) -> str:
    rows = []
    for one in listeners:
        scheme = "https" if one.tls else "http"
        for number, address in enumerate(one.addresses):
            counts = (one.connections, one.requests) if number == 0 else ("", "")
            rows.append((one.name if number == 0 else "", f"{scheme} {address}", _expiry(one, now), *counts))
    return _table(("LISTENER", "ADDRESS", "CERTIFICATE", "OPEN", "REQUESTS"), rows, paper, right=2)


def _expiry(listener: ListenerStatus, now: datetime) -> str:
    if not listener.certificates:
        return "-"
    days = min((one.not_after - now).days for one in listener.certificates)
    return f"good for {days}d" if days >= 0 else "EXPIRED"


def _state(instance: InstanceStatus) -> str:
    if instance.ready:
        return "ready"
    return "not ready" if instance.phase == "running" else instance.phase


def _instances(instances: Sequence[InstanceStatus], paper: Paper) -> str:
    rows = [
        (
            one.name,
            _state(one),
            "-" if one.pid is None else one.pid,
            "-" if one.uptime is None else format_duration(one.uptime),
            one.in_flight,
            one.requests,
            one.restarts,
        )
        for one in instances
    ]
    columns = ("INSTANCE", "STATE", "PID", "UP", "IN FLIGHT", "REQUESTS", "RESTARTS")
    if paper.width < _NARROW:
        return _table(columns[:4], [row[:4] for row in rows], paper, right=2)
    return _table(columns, rows, paper, right=5)


def _remote(status: Status) -> list[PoolStatus]:
    own = {program.name for program in status.programs}
    return [pool for pool in status.pools if pool.name.partition(".")[0] not in own]


def _pools(pools: Sequence[PoolStatus], paper: Paper) -> str:
    rows = [
        (pool.name, endpoint.address, endpoint.in_flight, endpoint.requests, endpoint.errors)
        for pool in pools
        for endpoint in pool.endpoints
    ]
    return _table(("POOL", "ENDPOINT", "IN FLIGHT", "REQUESTS", "ERRORS"), rows, paper, right=3)


def _note(instance: InstanceStatus) -> str:
    retry = "" if instance.retry_in is None else f"; tried again in {format_duration(instance.retry_in)}"
    return f"! {instance.name}: {instance.note}{retry}\n    pinfold logs {instance.name}"


def _pool_notes(pools: Sequence[PoolStatus]) -> Iterator[str]:
    for pool in pools:
        for one in pool.endpoints:
            if one.ejected:
                failed = one.errors + one.server_errors
                yield f"! {pool.name}: {one.name} is ejected; {failed} attempts at it failed"
        if pool.queued:
            yield f"! {pool.name}: {pool.queued} requests wait for an endpoint; {pool.overflowed} waited in vain"


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], paper: Paper, *, right: int) -> str:
    """Columns without lines around them, the last `right` of them set to the right."""
    if not rows:
        return ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if index >= len(columns) - right else "left"
        table.add_column(column, justify=justify, overflow="fold", header_style="bold")
    for row in rows:
        table.add_row(*(Text(str(cell), style=_STYLES.get(str(cell), "")) for cell in row))
    return _printed(table, paper)


def _styled(text: str, styles: dict[str, str], paper: Paper) -> str:
    marked = Text(text)
    for word, style in styles.items():
        marked.highlight_words([word], style)
    return _printed(marked, paper)


def _printed(what: Table | Text, paper: Paper) -> str:
    page = io.StringIO()
    console = Console(
        file=page,
        width=paper.width,
        color_system="standard" if paper.coloured else None,
        force_terminal=paper.coloured,
        legacy_windows=False,
    )
    console.print(what, highlight=False, soft_wrap=isinstance(what, Text))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def render_verdict(verdict: Verdict) -> str:
    """How it ended, and what to do next."""
    lines = [*verdict.problems, verdict.summary]
    if verdict.hint:
        lines.append(f"  hint: {verdict.hint}")
    return "\n".join(lines)
