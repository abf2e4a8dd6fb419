"""A WSGI application: what it was told of the request, as JSON."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """See above; the body is read to its end, however it was framed."""
    digest, count = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        digest.update(piece)
        count += len(piece)
    told = {
        key: value for key, value in environ.items() if isinstance(value, str) and key.startswith(("HTTP_", "PATH"))
    }
    report = {"pid": os.getpid(), "environ": told, "bytes": count, "sha256": digest.hexdigest()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(report).encode()]
