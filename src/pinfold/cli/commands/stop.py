"""`pinfold stop`."""

from pinfold.cli.operations import Wishes, carry_out
from pinfold.cli.options import AsJson, Names, NoWait, RunDirectory, chosen_run_directory, command_app

__all__ = ["app"]

app = command_app()


@app.command()
def stop(names: Names, no_wait: NoWait = False, as_json: AsJson = False, run_dir: RunDirectory = None) -> None:
    """Drain programs, instances or groups, then stop them.

    They stay stopped until they are started.
    """
    carry_out("stop", names, Wishes(chosen_run_directory(run_dir), as_json=as_json, no_wait=no_wait))
