"""Standard output, as it is: how wide, and whether it takes colours."""

import os
import shutil
import sys

from pinfold.cli.render import WIDE, Paper

__all__ = ["paper"]


def paper() -> Paper:
    """A terminal has its width; what is piped is never cut and never coloured."""
    if not sys.stdout.isatty():
        return Paper(width=WIDE, coloured=False)
    coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "", None)
    return Paper(width=shutil.get_terminal_size().columns, coloured=coloured)
