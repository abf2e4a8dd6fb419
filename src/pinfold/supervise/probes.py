"""One probe of an instance: connect, ask, and judge the answer, all within one deadline.

An open port is not health: a program that listens while its workers die accepts and never answers. So the default
probe wants an HTTP answer.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from pinfold.base.address import Address, TcpAddress, UnixAddress
from pinfold.config.model import ReadyProbe

__all__ = ["Verdict", "probe"]

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: |\r?\n)")
_LINE_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe saw; `why` is empty when it passed."""

    passed: bool
    why: str = ""


async def probe(address: Address, wanted: ReadyProbe) -> Verdict:
    """Probe `address` as `wanted` says; never raises on what the program does."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(wanted.timeout):
            reader, writer = await _connect(address)
            if wanted.kind == "tcp":
                return Verdict(passed=True)
            return await _http(reader, writer, wanted)
    except TimeoutError:
        stage = "connected, but no answer" if writer else "no connection"
        return Verdict(passed=False, why=f"{stage} within {wanted.timeout:g} s")
    except (OSError, ValueError) as error:
        return Verdict(passed=False, why=f"{address}: {error}")
    finally:
        if writer is not None:
            writer.transport.abort()


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    match address:
        case UnixAddress(path=path):
            return await asyncio.open_unix_connection(path, limit=_LINE_LIMIT)
        case TcpAddress(host=host, port=port):
            return await asyncio.open_connection(host, port, limit=_LINE_LIMIT)


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: ReadyProbe) -> Verdict:
    request = f"GET {wanted.path} HTTP/1.1\r\nHost: {wanted.host or 'localhost'}\r\nUser-Agent: pinfold-probe\r\n"
    writer.write(f"{request}Accept: */*\r\nConnection: close\r\n\r\n".encode("ascii"))
    line = await reader.readline()
    found = _STATUS_LINE.match(line)
    if found is None:
        what = "closed without an answer" if not line else f"no HTTP answer: {line[:40]!r}"
        return Verdict(passed=False, why=what)
    status = int(found.group(1))
    low, high = wanted.statuses
    if low <= status <= high:
        return Verdict(passed=True)
    return Verdict(passed=False, why=f"GET {wanted.path} answered {status}, wanted {low} to {high}")
