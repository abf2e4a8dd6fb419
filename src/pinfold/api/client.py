"""Talks to the daemon over its unix socket, for commands: plain blocking calls, each with a deadline."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from pinfold.api.models import Progress, Report, Status, Verdict
from pinfold.base.errors import FailedError, NotRunningError

__all__ = ["Client"]

_CONNECT: Final = 5.0
_ANSWER: Final = 15.0
_SILENCE: Final = 60.0
"""Seconds between two lines of a stream; the daemon sends one at least every 15."""
_LINE_BYTES_MOST: Final = 4 * 1024 * 1024

_REPORT: Final[TypeAdapter[Progress | Verdict]] = TypeAdapter(Report)


class _Connection(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("pinfold", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(_CONNECT)
            self.sock.connect(str(self._path))
            self.sock.settimeout(self.timeout)
        except OSError:
            self.sock.close()
            raise


class Client:
    """The daemon of one run directory, as a command sees it."""

    def __init__(self, run_directory: Path) -> None:
        self._directory = run_directory

    def status(self) -> Status:
        """Everything as it is now.

        Raises:
            NotRunningError: no daemon runs there.
            FailedError: it does not answer, or not as it should.
        """
        with self._answer("GET", "/v1/status", None, _ANSWER) as response:
            try:
                return Status.model_validate_json(response.read(_LINE_BYTES_MOST))
            except ValidationError as error:
                raise FailedError("the daemon is of another version", "restart it with this one") from error

    def run(
        self, operation: Literal["apply", "restart", "start", "stop"], names: Sequence[str] = ()
    ) -> Iterator[Progress | Verdict]:
        """Have the daemon do it; what it reports as it happens, the last one the verdict.

        Raises:
            NotRunningError: no daemon runs there.
            FailedError: it ended, or fell silent, before it gave a verdict.
        """
        body = json.dumps({"names": list(names)}).encode() if operation != "apply" else b""
        with self._answer("POST", f"/v1/{operation}", body, _SILENCE) as response:
            while line := response.readline(_LINE_BYTES_MOST):
                if not line.strip():
                    continue
                report = _REPORT.validate_json(line)
                yield report
                if isinstance(report, Verdict):
                    return
        raise FailedError(f"the daemon ended before it said how the {operation} ended", "pinfold status")

    @contextlib.contextmanager
    def _answer(
        self, method: str, target: str, body: bytes | None, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self._directory / "pinfold.sock", timeout)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise _refusal(response)
            yield response
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise NotRunningError(
                f"no pinfold runs in {self._directory}",
                "pinfold run starts one; name another run directory with --run-dir or PINFOLD_RUN_DIR",
            ) from None
        except TimeoutError:
            raise FailedError(f"the daemon did not answer within {timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FailedError(f"the daemon cannot be asked: {error!r}") from None
        finally:
            connection.close()


def _refusal(response: http.client.HTTPResponse) -> FailedError:
    """What the daemon says instead of doing it."""
    try:
        told = json.loads(response.read(_LINE_BYTES_MOST))
        return FailedError(str(told["summary"]), str(told["hint"]))
    except (ValueError, KeyError, TypeError):
        return FailedError(f"the daemon answered {response.status} {response.reason}")
