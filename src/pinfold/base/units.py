"""Durations and sizes as people write them. Pure; by hand, because the libraries for it are stale."""

import re
from typing import Final

__all__ = ["format_duration", "parse_duration", "parse_size"]

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZE: Final = re.compile(r"([0-9]+)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_FACTORS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def parse_duration(text: object) -> float:
    """Seconds in `500ms`, `10s`, `1m30s`, `2h`, `1d`; ValueError for anything else, a bare number included."""
    if isinstance(text, str) and _DURATION.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    hint = f'; write "{text}s"' if isinstance(text, int | float) and not isinstance(text, bool) else ""
    raise ValueError(f'expected a duration such as "10s" or "1m30s", found {text!r}{hint}')


def format_duration(seconds: float) -> str:
    """Seconds as a person reads them: `0.4s`, `75s`, `3m`, `2h05m`, `4d`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 120:
        return f"{seconds:.0f}s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 48 else f"{hours // 24}d"


def parse_size(text: object) -> int:
    """Bytes in `32k`, `512M`, `1g` (powers of 1024) or a whole number; ValueError for anything else."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'expected a size such as "32k" or "1g", found {text!r}')
    return int(found.group(1)) * _FACTORS[found.group(2).lower()]
