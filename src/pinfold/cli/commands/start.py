"""`pinfold start`."""

from pinfold.cli.operations import Wishes, carry_out
from pinfold.cli.options import AsJson, Names, NoWait, RunDirectory, chosen_run_directory, command_app

__all__ = ["app"]

app = command_app()


@app.command()
def start(names: Names, no_wait: NoWait = False, as_json: AsJson = False, run_dir: RunDirectory = None) -> None:
    """Start programs, instances or groups; wait until they are ready.

    Exit code 0 when all are ready, 1 when one is not; it is tried on.
    """
    carry_out("start", names, Wishes(chosen_run_directory(run_dir), as_json=as_json, no_wait=no_wait))
