"""What the demo program answers: one function a path, found in `ANSWERS`.

    /                   who answers and what it saw, as JSON
    /work?ms=50         the same, after so many milliseconds of a busy CPU
    /slow?ms=50         the same, after so many milliseconds of sleep
    /stream?n=5&ms=100  n chunks of a line each, ms milliseconds apart
    /bytes?n=1000       n bytes
    /status?code=404    the same as /, with this status
    /exit?code=3        ends the process at once, without an answer

Any other path answers like `/`. It knows nothing of sockets.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from pinfold.demo.request import Request

__all__ = ["ANSWERS", "answer"]

PIECE: Final = b"pinfold\n" * 8192
"""What `/bytes` is made of."""


def answer(request: Request) -> Iterator[bytes]:
    """The answer in pieces that are to be written one by one; a short answer is one piece."""
    return ANSWERS.get(request.path, _root)(request)


def _number(request: Request, name: str, default: int) -> int:
    """A number from the query, never negative; the default when it is absent or none."""
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else default


def _root(request: Request, status: int = 200) -> Iterator[bytes]:
    report = {
        "instance": os.environ.get("PINFOLD_INSTANCE", ""),
        "pid": os.getpid(),
        "method": request.method,
        "path": request.target,
        "version": request.version,
        "headers": request.headers,
        "body": {"bytes": request.body_bytes, "sha256": request.body_sha256},
    }
    body = json.dumps(report).encode() + b"\n"
    framing = () if status == 204 else (f"Content-Length: {len(body)}",)
    head = _head(request, status, "application/json", *framing)
    yield head if request.method == "HEAD" or status in (204, 304) else head + body


def _work(request: Request) -> Iterator[bytes]:
    until = time.thread_time() + _number(request, "ms", 50) / 1000
    count = 0
    while time.thread_time() < until:
        count += sum(range(100))
    yield from _root(request)


def _slow(request: Request) -> Iterator[bytes]:
    time.sleep(_number(request, "ms", 50) / 1000)
    yield from _root(request)


def _stream(request: Request) -> Iterator[bytes]:
    chunked = request.version != "HTTP/1.0"
    yield _head(request, 200, "text/plain", *(("Transfer-Encoding: chunked",) if chunked else ()))
    if request.method == "HEAD":
        return
    for number in range(_number(request, "n", 5)):
        if number:
            time.sleep(_number(request, "ms", 100) / 1000)
        line = f"{os.environ.get('PINFOLD_INSTANCE', '')} {number}\n".encode()
        yield b"%x\r\n%s\r\n" % (len(line), line) if chunked else line
    if chunked:
        yield b"0\r\n\r\n"


def _bytes(request: Request) -> Iterator[bytes]:
    left = _number(request, "n", 1000)
    yield _head(request, 200, "application/octet-stream", f"Content-Length: {left}")
    while left > 0 and request.method != "HEAD":
        yield PIECE[:left]
        left -= len(PIECE[:left])


def _status(request: Request) -> Iterator[bytes]:
    code = _number(request, "code", 200)
    yield from _root(request, code if 200 <= code <= 599 else 400)


def _exit(request: Request) -> Iterator[bytes]:
    os._exit(_number(request, "code", 3) & 0xFF)


def _head(request: Request, status: int, kind: str, *framing: str) -> bytes:
    """Head of an answer; `framing` says how long its body is, and without it the body ends with the connection."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {kind}", *framing]
    if not request.keep_alive:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


ANSWERS: Final[dict[str, Callable[[Request], Iterator[bytes]]]] = {
    "/": _root,
    "/work": _work,
    "/slow": _slow,
    "/stream": _stream,
    "/bytes": _bytes,
    "/status": _status,
    "/exit": _exit,
}
