"""Opening a run by its name."""

from pathlib import Path

from bitlm.errors import RunNotFoundError
from bitlm.session import RunStore, Session


def open_run(data_dir: Path, run: str) -> Session:
    """Return the run read-only, at its newest checkpoint; 'latest' means the newest run.

    Raises:
        RunNotFoundError: There is no such run in the data folder.
    """
    if not (data_dir / RunStore.FILE_NAME).exists():
        raise RunNotFoundError(run)
    store = RunStore(data_dir)
    if run == "latest":
        runs = store.runs()
        if not runs:
            raise RunNotFoundError(run)
        run = runs[0].run_id
    return Session.open(store, run, writable=False)
