"""The instances that the operator has stopped, remembered for a daemon that comes back."""

from collections.abc import Iterable
from pathlib import Path

from pinfold.base.files import write_atomically
from pinfold.supervise.instance import Instance

__all__ = ["read_stopped", "write_stopped"]


def read_stopped(path: Path) -> set[str]:
    """Names of instances; none when there is no such file."""
    try:
        return set(path.read_text(encoding="utf-8").split())
    except OSError:
        return set()


def write_stopped(path: Path, instances: Iterable[Instance]) -> None:
    """Remember those that are not wanted."""
    names = sorted(instance.name for instance in instances if not instance.wanted)
    write_atomically(path, "".join(f"{name}\n" for name in names).encode(), 0o600)
