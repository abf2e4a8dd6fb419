"""Writes docs/reference/config.md from the installed config model; `--check` only tells whether it is stale."""

import sys

from findings import ROOT
from pinfold.config.reference import reference

PAGE = ROOT / "docs/reference/config.md"

if __name__ == "__main__":
    made = reference()
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made else f"{PAGE} is stale: make docs")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(made, encoding="utf-8")
