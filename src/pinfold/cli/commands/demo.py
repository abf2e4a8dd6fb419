"""`pinfold demo`."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import typer

from pinfold.cli.flags import Wanted
from pinfold.cli.foreground import compose, front_door, serve, urls
from pinfold.cli.options import command_app
from pinfold.config.read import LoadedConfig

__all__ = ["app"]

app = command_app()
PROGRAM: Final = (sys.executable, "-m", "pinfold.demo.program", "--socket", "{socket}")
INSTANCES: Final = 4


@app.command()
def demo() -> None:
    """Try it: four instances of a small program behind HTTPS.

    HTTPS is on 8443, HTTP on 8080, or the next port that is free. Everything is in a temporary directory; Ctrl-C
    drains, stops, and leaves nothing behind.
    """
    # Short, because the paths of unix sockets may have 107 bytes only.
    directory = Path(tempfile.mkdtemp(prefix="pinfold-demo-", dir="/tmp"))
    run_directory = directory / "run"
    try:
        places = {"log_directory": str(directory / "log"), "state_directory": str(directory / "state")}
        wanted = Wanted(PROGRAM, INSTANCES, "demo")
        loaded = compose(wanted, front_door(None, None, run_directory), directory, places)
        raise typer.Exit(serve(lambda: loaded, run_directory, None, lambda: _invite(loaded, run_directory)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _invite(loaded: LoadedConfig, run_directory: Path) -> None:
    """Say what to try."""
    to_try = urls(loaded)
    pinfold = "pinfold" if shutil.which("pinfold") else sys.argv[0]
    print(
        f"""
{INSTANCES} instances of a small program run behind one front door. In another terminal:

  {to_try.https}/
  {to_try.https}/work'?'ms=50     # 50 ms of a busy CPU
  {to_try.http}/

  {pinfold} status --run-dir {run_directory}
  {pinfold} restart demo --run-dir {run_directory}

Logs are in {to_try.logs}
Ctrl-C finishes the requests in flight, stops all, and leaves nothing behind.
""",
        flush=True,
    )
