"""Opening the data folder, and a run in it by its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitlm.errors import ConfigError
from bitlm.session import RunStore, Session


@contextmanager
def open_store(data_dir: Path, run: str = "latest") -> Iterator[tuple[RunStore, str]]:
    """Yield the store of a data folder and the id of a run in it; 'latest' means the newest run.

    Raises:
        RunNotFoundError: There is no such run in the data folder.
        ConfigError: The data folder has no runs at all.
    """
    require_runs(data_dir)
    store = RunStore(data_dir)
    try:
        yield store, store.run(resolved(store, run)).run_id
    finally:
        store.close()


def open_run(data_dir: Path, run: str, checkpoint: int | None = None) -> Session:
    """Return the run read-only, at its newest checkpoint or that of a step; 'latest' means the newest run.

    Raises:
        RunNotFoundError: There is no such run in the data folder.
        CheckpointError: It has no checkpoint of that step.
    """
    require_runs(data_dir)
    store = RunStore(data_dir)
    return Session.open(store, resolved(store, run), writable=False, step=checkpoint)


def require_runs(data_dir: Path) -> None:
    """Check that the data folder is one.

    Raises:
        ConfigError: It is not there, or has never held a run.
    """
    if not (data_dir / RunStore.FILE_NAME).exists():
        raise ConfigError(
            "data-dir", str(data_dir), "there are no runs in it; train one, or name the folder that has them."
        )


def resolved(store: RunStore, run: str) -> str:
    """Return a run's id; 'latest' means the newest run.

    Raises:
        RunNotFoundError: There is no run yet.
    """
    if run != "latest":
        return run
    runs = store.runs()
    if not runs:
        raise ConfigError(
            "data-dir", str(store.data_dir), "there are no runs in it; train one, or name another folder."
        )
    return runs[0].run_id
