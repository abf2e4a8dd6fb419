"""Files that are written whole or not at all, and the ends of long ones."""

import os
import tempfile
from pathlib import Path

__all__ = ["last_lines", "write_atomically"]


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace `path` by `content` with permission bits `mode`; a crash leaves the old file or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def last_lines(path: Path, count: int, *, most_bytes: int = 65536) -> list[str]:
    """The last `count` lines of a file, looking at no more than `most_bytes` of it; empty when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - most_bytes))
            lines = file.read(most_bytes).decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[-count:] if count else []
