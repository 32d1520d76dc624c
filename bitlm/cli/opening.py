"""Opening the data folder, and a run in it by its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitlm.errors import ConfigError, RunNotFoundError
from bitlm.session import RunStore, Session

LATEST = "latest"
"""Stands for the run that something last happened to."""


@contextmanager
def open_folder(data_dir: Path) -> Iterator[RunStore]:
    """Yield the store of a data folder.

    Raises:
        ConfigError: The data folder has no runs at all.
    """
    require_runs(data_dir)
    store = RunStore(data_dir)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_store(data_dir: Path, run: str) -> Iterator[tuple[RunStore, str]]:
    """Yield the store of a data folder and the id of a run in it, as `resolved` understands it.

    Raises:
        RunNotFoundError: There is no such run in the data folder.
        ConfigError: The data folder has no runs at all, or several of that name.
    """
    with open_folder(data_dir) as store:
        yield store, resolved(store, run)


def open_run(data_dir: Path, run: str, checkpoint: int | None = None) -> Session:
    """Return the run read-only, at its newest checkpoint or that of a step.

    Raises:
        RunNotFoundError: There is no such run in the data folder.
        CheckpointError: It has no checkpoint of that step.
        ConfigError: The data folder has no runs at all, or several of that name.
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
    """Return the id of the run that has this id or this name; 'latest' is what `latest` returns.

    A name of a run in the trash counts where no other run has it.

    Raises:
        RunNotFoundError: There is none.
        ConfigError: Several runs have the name.
    """
    if run == LATEST:
        return latest(store)
    there, thrown_away = store.runs(), store.runs(trashed=True)
    if any(record.run_id == run for record in (*there, *thrown_away)):
        return run
    for records in (there, thrown_away):
        named = [record.run_id for record in records if record.name == run]
        if len(named) > 1:
            raise ConfigError("run", run, f"{len(named)} runs have this name: give the id, {_either(named)}.")
        if named:
            return named[0]
    raise RunNotFoundError(run)


def latest(store: RunStore) -> str:
    """Return the id of the run that something last happened to, which the dashboard takes up as well.

    Raises:
        ConfigError: There is none, or all are archived or in the trash.
    """
    record = store.last_active_run()
    if record is not None:
        return record.run_id
    put_away = store.runs() or store.runs(trashed=True)
    if put_away:
        raise ConfigError("run", LATEST, "every run is archived or in the trash; name one by its id.")
    raise ConfigError(
        "data-dir", str(store.data_dir), "there are no runs in it; train one, or name another folder."
    )


def _either(ids: list[str]) -> str:
    return f"{', '.join(ids[:-1])} or {ids[-1]}"
