"""Opening the data folder, a run in it by its name, and a model of a run or of a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bitlm.errors import ConfigError, RunNotFoundError
from bitlm.model import BitTransformer
from bitlm.model_file import load_model
from bitlm.session import RunStore, Session, TelemetrySettings

LATEST = "latest"
"""Stands for the run that something last happened to."""


@dataclass(frozen=True)
class Opened:
    """A model to be asked.

    Attributes:
        model: In evaluation mode.
        name: Of the run and step, or of the file.
        run_id: The run that it is of; None of a model that no run trained.
        step: Updates done.
        telemetry: Floors and causal share that were last in force.
    """

    model: BitTransformer
    name: str
    run_id: str | None
    step: int
    telemetry: TelemetrySettings

    @classmethod
    def of(cls, session: Session) -> "Opened":
        """Return a session's model."""
        run_id, step = session.run_id, session.step_count
        return cls(session.model, f"{run_id}@{step}", run_id, step, session.telemetry)


def open_model(data_dir: Path, run: str, checkpoint: int | None, file: Path | None) -> Opened:
    """Return the model of a file, or of a run as `open_run` returns it.

    Raises:
        ConfigError: A file is named, and a run or checkpoint as well; or as `open_run`.
        ModelFileError: The file is damaged, or no model.
        RunNotFoundError: As `open_run`.
        CheckpointError: As `open_run`.
    """
    if file is None:
        return Opened.of(open_run(data_dir, run, checkpoint))
    if run != LATEST or checkpoint is not None:
        raise ConfigError("--model", str(file), "a model file is no run's: leave out --run and --checkpoint.")
    kept = load_model(file)
    came = kept.provenance
    if came is None:
        return Opened(kept.model, file.name, None, 0, TelemetrySettings())
    return Opened(kept.model, file.name, came.run_id, came.step, came.telemetry)


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
