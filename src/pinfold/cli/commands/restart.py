"""`pinfold restart`."""

from pinfold.cli.operations import Wishes, carry_out
from pinfold.cli.options import AsJson, Names, NoWait, RunDirectory, chosen_run_directory, command_app

__all__ = ["app"]

app = command_app()


@app.command()
def restart(names: Names, no_wait: NoWait = False, as_json: AsJson = False, run_dir: RunDirectory = None) -> None:
    """Replace instances one by one, without losing a request.

    Each is ready before the next, and drained before it is stopped.

    Exit code 5 when a new instance does not become ready; those after it are untouched.
    """
    carry_out("restart", names, Wishes(chosen_run_directory(run_dir), as_json=as_json, no_wait=no_wait))
