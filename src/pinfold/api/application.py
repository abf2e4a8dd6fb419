"""The control API: which requests there are. What they do is handed in by the daemon."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from pinfold import __version__
from pinfold.api.models import NamesRequest, Progress, Status, Verdict
from pinfold.base.errors import PinfoldError

__all__ = ["Operate", "Operation", "create_application"]

Operation = Literal["apply", "restart", "start", "stop"]
Operate = Callable[[Operation, Sequence[str]], AsyncIterator[Progress | Verdict | None]]
"""Begins an operation; its reports, the last one the verdict. None says that it is still under way."""

_STREAM = "application/x-ndjson"


def create_application(status: Callable[[], Awaitable[Status]], operate: Operate) -> FastAPI:
    """The API as an ASGI application.

    Args:
        status: reads everything as it is now.
        operate: begins an operation, which runs to its end whether or not its reports are read.
    """
    application = FastAPI(title="pinfold", version=__version__, docs_url=None, redoc_url=None)

    @application.exception_handler(PinfoldError)
    async def refuse(_request: Request, error: PinfoldError) -> JSONResponse:
        told = {"code": error.code, "summary": error.summary, "hint": error.hint}
        return JSONResponse(told, status_code=error.http_status)

    @application.get("/v1/status")
    async def read_status() -> Status:
        """Everything, in one answer."""
        return await status()

    @application.post("/v1/apply")
    async def apply() -> StreamingResponse:
        """Read the config anew and make it so; a stream of reports."""
        return StreamingResponse(_lines(operate("apply", ())), media_type=_STREAM)

    @application.post("/v1/start")
    async def start(request: NamesRequest) -> StreamingResponse:
        """Start programs, instances or groups; a stream of reports."""
        return StreamingResponse(_lines(operate("start", request.names)), media_type=_STREAM)

    @application.post("/v1/stop")
    async def stop(request: NamesRequest) -> StreamingResponse:
        """Drain and stop programs, instances or groups; a stream of reports."""
        return StreamingResponse(_lines(operate("stop", request.names)), media_type=_STREAM)

    @application.post("/v1/restart")
    async def restart(request: NamesRequest) -> StreamingResponse:
        """Replace instances one after the other; a stream of reports."""
        return StreamingResponse(_lines(operate("restart", request.names)), media_type=_STREAM)

    return application


async def _lines(reports: AsyncIterator[Progress | Verdict | None]) -> AsyncIterator[bytes]:
    """One report a line; an empty line says that the operation is still under way."""
    async for report in reports:
        yield (report.model_dump_json() if report else "").encode() + b"\n"
