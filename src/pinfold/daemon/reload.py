"""`apply`: a changed config becomes what is in force, whole, or nothing changes.

The programs come first, while the routes, listeners and certificates before still serve: only when each new version
has proved ready does the proxy get the new snapshot, and only then do programs that are gone drain. A version that does
not become ready takes back what was replaced before it.

A program whose ports get other names gets other pools with them, which the routes before do not know: between its
rollout and the new snapshot its requests find no endpoint.
"""

from collections.abc import Sequence

from pinfold.base.errors import PinfoldError, RolledBackError
from pinfold.base.seam import SeamLostError
from pinfold.config.model import Config, DaemonSettings
from pinfold.config.model import Program as ProgramConfig
from pinfold.daemon.listening import addresses_of, union
from pinfold.daemon.parts import InForce, Parts
from pinfold.daemon.start import dismiss, explain, listen
from pinfold.proxy.link import RejectedError
from pinfold.supervise.program import RolloutError

__all__ = ["apply", "next_start_notes"]


async def apply(parts: Parts, wanted: InForce) -> str:
    """Put `wanted` in force; returns what was done, in a sentence.

    Raises:
        ConfigError: an address cannot be listened on; nothing has changed.
        RolledBackError: a program's new version did not become ready, or the proxy refuses the snapshot.
    """
    before = parts.force
    old, new = (addresses_of(force.config, parts.site.threads) for force in (before, wanted))
    await listen(parts, wanted.loaded, union(old, new))
    gone = [name for name in parts.supervisor.programs if name not in wanted.config.programs]
    leaving = {name: parts.supervisor.programs[name].config for name in gone}
    try:
        changed = await _converge(parts, wanted.config)
        parts.change(loaded=wanted.loaded, certificates=wanted.certificates, leaving=leaving)
        await parts.keeper.apply_now()
    except (RolloutError, RejectedError, SeamLostError) as error:
        why = explain(parts, error) if isinstance(error, RolloutError) else f"the proxy refuses it: {error}"
        await _take_back(parts, before)
        raise RolledBackError(
            f"{why}\nWhat ran before runs on: {_state(parts)}.", "mend the config or the program, then apply again"
        ) from None
    await listen(parts, wanted.loaded, new)
    await dismiss(parts, gone)
    return _summary(changed, gone, sockets=old != new)


def next_start_notes(before: DaemonSettings, wanted: DaemonSettings) -> str:
    """Which changed settings hold only from the next start on; empty when there are none."""
    names = ("proxy_threads", "log_directory", "state_directory")
    waiting = [f"daemon.{name}" for name in names if getattr(before, name) != getattr(wanted, name)]
    if before.access_log.path != wanted.access_log.path:
        waiting.append("daemon.access_log.path")
    return f"{', '.join(waiting)}: from the next start on" if waiting else ""


async def _converge(parts: Parts, config: Config) -> list[str]:
    """Bring every program to `config`; the names of those that had to change."""
    changed = []
    for name, program in config.programs.items():
        known = parts.supervisor.programs.get(name)
        if known is None:
            changed.append(name)
            await parts.supervisor.add(name, program).first_start()
        else:
            if known.stale(program) or len(known.instances) != program.instances:
                changed.append(name)
            await known.converge(program)
    return changed


async def _take_back(parts: Parts, before: InForce) -> None:
    """Make what was in force before true again; a failure on the way is told, and tried on by the instances."""
    parts.force = before
    tell = parts.outside.events.tell
    for name, known in list(parts.supervisor.programs.items()):
        program: ProgramConfig | None = before.config.programs.get(name)
        try:
            if program is None:
                await parts.supervisor.remove(name)
            else:
                await known.converge(program)
        except RolloutError as error:
            tell(name, f"cannot go back to what it was: {error}")
    try:
        await parts.keeper.apply_now()
        await listen(parts, before.loaded, addresses_of(before.config, parts.site.threads))
    except (RejectedError, SeamLostError, PinfoldError) as error:
        tell("pinfold", f"cannot go back to what was listened on: {error}")


def _state(parts: Parts) -> str:
    programs = parts.supervisor.programs.values()
    ready = (f"{program.name} {sum(one.ready for one in program.everyone)} ready" for program in programs)
    return ", ".join(ready) or "no programs"


def _summary(changed: Sequence[str], gone: Sequence[str], *, sockets: bool) -> str:
    said = []
    if changed:
        said.append(f"changed: {', '.join(changed)}")
    if gone:
        said.append(f"removed: {', '.join(gone)}")
    if sockets:
        said.append("listeners rebound")
    return "applied; " + ("; ".join(said) if said else "no program had to change")
