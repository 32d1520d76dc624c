"""A run's checkpoints: listed, saved, named, deleted. To load one is to fork there (app/web/branches.py)."""

from http import HTTPStatus

from app.service import ModelManager
from app.service.requests import DeleteCheckpoint, SaveCheckpoint
from app.web.access import Scope
from app.web.answers import CheckpointList, CheckpointSummary
from app.web.routes import Route, asked_by
from app.web.schemas import CheckpointRequest, Empty
from bitlm.errors import CheckpointNotFoundError
from bitlm.session import RunStore
from bitlm.session.checkpoint_table import CheckpointRecord, best_of


class CheckpointRoutes:
    """What of a run is on the disk to go back to."""

    def __init__(self, manager: ModelManager, store: RunStore) -> None:
        self._manager = manager
        self._store = store

    def table(self) -> list[Route]:
        """Return these routes."""
        errors = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        every, one = "/runs/<run_id>/checkpoints", "/runs/<run_id>/checkpoints/<int:step>"
        body, made = CheckpointRequest, HTTPStatus.CREATED
        return [
            Route("GET", every, Scope.READ, self.list, CheckpointList, errors=errors[:1]),
            Route(
                "POST",
                every,
                Scope.TUNE,
                self.save,
                CheckpointSummary,
                body=body,
                is_passed_on=True,
                status=made,
                errors=errors,
            ),
            Route("PATCH", one, Scope.TUNE, self.rename, CheckpointSummary, body=body, errors=errors),
            Route("DELETE", one, Scope.DESTRUCTIVE, self.delete, CheckpointList, body=Empty, errors=errors),
        ]

    def list(self, run_id: str) -> CheckpointList:
        """Return a run's checkpoints, the newest first."""
        self._store.run(run_id)
        records = self._store.checkpoints.of(run_id)
        best = best_of(records)
        return CheckpointList(run_id=run_id, checkpoints=[_summary(record, best) for record in records])

    def save(self, run_id: str, body: CheckpointRequest) -> CheckpointSummary:
        """Save the live run now."""
        return self._one(run_id, self._manager.ask(SaveCheckpoint(run_id, body.name), asked_by()))

    def rename(self, run_id: str, step: int, body: CheckpointRequest) -> CheckpointSummary:
        """Name a checkpoint, which keeps it, or take the name away; without a name nothing changes."""
        self._store.run(run_id)
        if "name" in body.model_fields_set:
            self._store.checkpoints.rename(self._store.checkpoints.at(run_id, step), body.name)
        return self._one(run_id, step)

    def delete(self, run_id: str, step: int, body: Empty) -> CheckpointList:  # noqa: ARG002 - checked to be empty
        """Delete a checkpoint and return those that are left."""
        self._manager.ask(DeleteCheckpoint(run_id, step), asked_by())
        return self.list(run_id)

    def _one(self, run_id: str, step: int) -> CheckpointSummary:
        for checkpoint in self.list(run_id).checkpoints:
            if checkpoint.step == step and checkpoint.state == "good":
                return checkpoint
        raise CheckpointNotFoundError(f"run {run_id!r} has no checkpoint of step {step}.")


def _summary(record: CheckpointRecord, best: CheckpointRecord | None) -> CheckpointSummary:
    kept = record.model_dump(include=set(CheckpointSummary.model_fields))
    return CheckpointSummary(**kept, is_best=record is best)
