"""`pinfold cert new` and `pinfold cert show`."""

import dataclasses
import json
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from pinfold.base.clock import SystemClock
from pinfold.base.errors import FailedError, UsageError
from pinfold.base.files import write_atomically
from pinfold.certs.report import report
from pinfold.certs.self_signed import DAYS, DAYS_MOST, make_self_signed
from pinfold.cli.certificate_text import render_certificate
from pinfold.cli.options import AsJson, command_app

__all__ = ["app"]

app = command_app()


@app.callback()
def cert() -> None:
    """Make a certificate, or look at one."""


@app.command()
def new(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Host names or IP addresses clients use.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="By default the first name with .pem.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=DAYS_MOST, help="How long it is good.")] = DAYS,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Make a P-256 key and a self-signed certificate for it, in one file that only you may read."""
    path = output or Path(f"{names[0].replace('*', '_').replace('/', '_')}.pem")
    try:
        pem = make_self_signed(names, SystemClock().now(), days)
    except ValueError as error:
        raise UsageError(str(error)) from None
    _write(path, pem.encode(), replace=force)
    made = report(pem, SystemClock().now())
    quoted, host = shlex.quote(str(path)), made.names[0].replace("*", "www")
    host = f"[{host}]" if ":" in host else host
    print(f"{path}: key and certificate for {', '.join(made.names)}, good until {made.not_after:%Y-%m-%d}")
    print(f'  in a config:  tls = {{ certificates = ["{path.absolute()}"] }}')
    print(f"  try it with:  curl --cacert {quoted} https://{host}:8443/")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PEM file.")],
    as_json: AsJson = False,
) -> None:
    """Show what a PEM file holds, and what is wrong with it; exit code 1 when it cannot be used."""
    try:
        found = report(file.read_bytes().decode("ascii", errors="replace"), SystemClock().now())
    except OSError as error:
        raise FailedError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        hint = "PEM is wanted: -----BEGIN CERTIFICATE-----"
        raise FailedError(f"{file} holds no certificate that can be read", hint) from None
    if as_json:
        print(json.dumps(dataclasses.asdict(found), default=lambda time: time.isoformat()))
    else:
        print(render_certificate(found, SystemClock().now()), end="")
    raise typer.Exit(1 if found.problems else 0)


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    try:
        if replace:
            write_atomically(path, content, 0o600)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise FailedError(f"{path} exists already", "--force replaces it, -o names another file") from None
    except OSError as error:
        raise FailedError(f"cannot write {path}: {error.strerror}", "-o names another file") from None
