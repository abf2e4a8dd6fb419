"""`start`, `stop` and `restart`: what the operator asks of programs and instances, each ending in a sentence."""

from collections.abc import Sequence

from pinfold.base.errors import FailedError, RolledBackError
from pinfold.daemon.names import Known, resolve
from pinfold.daemon.parts import Parts
from pinfold.daemon.start import explain
from pinfold.daemon.stopped import write_stopped
from pinfold.supervise.program import Program, RolloutError

__all__ = ["programs_of", "restart", "start", "stop"]

Chosen = list[tuple[Program, set[int]]]


async def start(parts: Parts, names: Sequence[str]) -> str:
    """Start what is not running; returns what was done.

    Raises:
        UnknownNameError: nothing bears one of the names.
        FailedError: one did not become ready; it is tried on.
    """
    chosen = _chosen(parts, names)
    running = [
        one.name
        for program, indices in chosen
        for index, one in program.instances.items()
        if index in indices and one.ready
    ]
    for name in running:
        parts.outside.events.tell(name, "runs already")
    for program, indices in chosen:
        try:
            await program.start(indices)
        except RolloutError as error:
            raise FailedError(explain(parts, error), f"it is tried on; pinfold status {program.name}") from None
        finally:
            _remember(parts)
    count = sum(len(indices) for _, indices in chosen) - len(running)
    return _sentence(count, "started", ", nothing to do: all run already")


async def stop(parts: Parts, names: Sequence[str]) -> str:
    """Drain and stop; returns what was done.

    Raises:
        UnknownNameError: nothing bears one of the names.
    """
    chosen = _chosen(parts, names)
    count = 0
    for program, indices in chosen:
        known = indices & program.instances.keys()
        up = {index for index in known if program.instances[index].wanted}
        count += len(up)
        await program.stop(sorted(known))
        _remember(parts)
    return _sentence(count, "stopped", ", nothing to do: all are stopped already")


async def restart(parts: Parts, names: Sequence[str]) -> str:
    """Replace instances one after the other, each ready before the next; returns what was done.

    Raises:
        UnknownNameError: nothing bears one of the names.
        RolledBackError: one did not become ready; those after it are as they were.
    """
    chosen = _chosen(parts, names)
    for program, indices in chosen:
        known = indices & program.instances.keys()
        try:
            await program.restart(known)
        except RolloutError as error:
            ready = sum(instance.ready for instance in program.everyone)
            what = f"{explain(parts, error)}\n{program.name} has {ready} of {program.config.instances} instances ready."
            raise RolledBackError(what, "mend the program, then restart it again") from None
        finally:
            _remember(parts)
    return _sentence(sum(len(indices) for _, indices in chosen), "restarted", "")


def programs_of(parts: Parts, names: Sequence[str]) -> set[str]:
    """The programs that `names` have to do with.

    Raises:
        UnknownNameError: nothing bears one of the names.
    """
    return {program.name for program, _ in _chosen(parts, names)}


def _chosen(parts: Parts, names: Sequence[str]) -> Chosen:
    programs = parts.supervisor.programs
    known = {
        name: Known(program.config.groups, range(1, program.config.instances + 1)) for name, program in programs.items()
    }
    return [(programs[name], indices) for name, indices in resolve(names, known).items()]


def _remember(parts: Parts) -> None:
    slots = [one for program in parts.supervisor.programs.values() for one in program.instances.values()]
    write_stopped(parts.site.directory.stopped, slots)


def _sentence(count: int, done: str, none: str) -> str:
    if count == 0:
        return f"0 instances {done}{none}"
    return f"{count} instance{'s' if count != 1 else ''} {done}"
