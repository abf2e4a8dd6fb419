"""`pinfold apply`."""

from pinfold.cli.operations import Wishes, carry_out
from pinfold.cli.options import AsJson, NoWait, RunDirectory, chosen_run_directory, command_app

__all__ = ["app"]

app = command_app()


@app.command()
def apply(no_wait: NoWait = False, as_json: AsJson = False, run_dir: RunDirectory = None) -> None:
    """Make the config on disk true; what did not change is left alone.

    A config with problems changes nothing (exit code 2); a new version that does not become ready leaves the old one
    in place (exit code 5).
    """
    carry_out("apply", (), Wishes(chosen_run_directory(run_dir), as_json=as_json, no_wait=no_wait))
