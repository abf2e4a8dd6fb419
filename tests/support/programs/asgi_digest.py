"""An ASGI application: what it was told of the request, as JSON; `/stream` answers in pieces of unknown number."""

import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """See above."""
    assert scope["type"] == "http"
    digest, count, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        digest.update(message.get("body", b""))
        count += len(message.get("body", b""))
        more = message.get("more_body", False)
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    report = {
        "pid": os.getpid(),
        "raw_path": scope["raw_path"].decode("latin-1"),
        "scheme": scope["scheme"],
        "headers": headers,
        "bytes": count,
        "sha256": digest.hexdigest(),
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    if scope["path"] == "/stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"piece\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": json.dumps(report).encode()})
