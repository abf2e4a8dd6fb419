"""moto_server as it comes, with a tap before its application that prints what each request was signed with.

Run as `python moto_tapped.py ARGUMENTS OF moto_server`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import moto.server as program

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def tapped(application: Application) -> Application:
    """The application behind a tap."""

    def tap(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - as WSGI has it
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        seen = {
            "target": environ["RAW_URI"] if "RAW_URI" in environ else environ["REQUEST_URI"],
            "host": environ.get("HTTP_HOST"),
            "authorization": environ.get("HTTP_AUTHORIZATION"),
            "sha256": hashlib.sha256(body).hexdigest(),
            "forwarded_host": environ.get("HTTP_X_FORWARDED_HOST"),
        }
        print("tapped", json.dumps(seen), flush=True)  # noqa: T201 - the tap
        return application(environ, start_response)

    return tap


if __name__ == "__main__":
    serve: Any = vars(program)["run_simple"]

    def serve_tapped(host: str, port: int, application: Application, **how: Any) -> None:  # noqa: ANN401 - passed on
        """In the place of werkzeug's own function."""
        serve(host, port, tapped(application), **how)

    vars(program)["run_simple"] = serve_tapped
    program.main()
