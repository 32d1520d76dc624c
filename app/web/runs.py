"""What is and what was: the status, the runs, their metrics and their events."""

from http import HTTPStatus

from app.service import ModelManager, Status
from app.service.answers import flat
from app.service.requests import DeleteRun, TrashRun
from app.web.access import Scope
from app.web.answers import (
    EventsAnswer,
    JournalAnswer,
    MetricsAnswer,
    MilestonesAnswer,
    RunDeleted,
    RunList,
    RunSummary,
    SamplesAnswer,
)
from app.web.queries import (
    CompareQuery,
    DifferenceQuery,
    EffectQuery,
    EventsQuery,
    JournalQuery,
    MetricsQuery,
    RunsQuery,
    SamplesQuery,
)
from app.web.routes import Route, asked_by
from app.web.schemas import DeleteRequest, Empty, LabelRequest
from bitlm.errors import ConfigError
from bitlm.history.comparison import Comparison, Difference, compare, difference
from bitlm.history.effects import EffectReport, effect_of
from bitlm.history.milestones import milestones
from bitlm.history.narration import TOLD_KINDS
from bitlm.session import RunRecord, RunStore

SAMPLES_AT_ONCE = 100
"""Samples along training in one answer."""


class RunRoutes:
    """Everything that can be looked at without asking the model: what runs left in the store."""

    def __init__(self, manager: ModelManager, store: RunStore) -> None:
        self._manager = manager
        self._store = store

    def table(self) -> list[Route]:
        """Return these routes."""
        missing = (HTTPStatus.NOT_FOUND,)
        return [*self._changes(missing), *self._looks(missing)]

    def _changes(self, missing: tuple[HTTPStatus, ...]) -> list[Route]:
        one, tune, destroy = "/runs/<run_id>", Scope.TUNE, Scope.DESTRUCTIVE
        live = (*missing, HTTPStatus.CONFLICT)
        return [
            Route("PATCH", one, tune, self.label, RunSummary, body=LabelRequest, errors=missing),
            Route("DELETE", one, destroy, self.delete, RunDeleted, body=DeleteRequest, errors=live),
            Route("POST", f"{one}/trash", destroy, self.trash, RunSummary, body=Empty, errors=live),
            Route("POST", f"{one}/restore", tune, self.restore, RunSummary, body=Empty, errors=missing),
        ]

    def _looks(self, missing: tuple[HTTPStatus, ...]) -> list[Route]:
        one, read = "/runs/<run_id>", Scope.READ
        live, full = (*missing, HTTPStatus.CONFLICT), (HTTPStatus.INSUFFICIENT_STORAGE,)
        metrics, events, samples = f"{one}/metrics", f"{one}/events", f"{one}/samples"
        between, effect, journal = f"{one}/difference", f"{one}/effect", f"{one}/journal"
        return [
            Route("GET", "/status", read, self.status, Status),
            Route("GET", "/runs", read, self.runs, RunList, query=RunsQuery, errors=full),
            Route("GET", one, read, self.run, RunSummary, errors=(*missing, *full)),
            Route("GET", journal, read, self.journal, JournalAnswer, query=JournalQuery, errors=missing),
            Route("GET", "/compare", read, self.compare, Comparison, query=CompareQuery, errors=missing),
            Route("GET", between, read, self.difference, Difference, query=DifferenceQuery, errors=missing),
            Route("GET", effect, read, self.effect, EffectReport, query=EffectQuery, errors=live),
            Route("GET", f"{one}/milestones", read, self.milestones, MilestonesAnswer, errors=missing),
            Route("GET", metrics, read, self.metrics, MetricsAnswer, query=MetricsQuery, errors=missing),
            Route("GET", events, read, self.events, EventsAnswer, query=EventsQuery, errors=missing),
            Route("GET", samples, read, self.samples, SamplesAnswer, query=SamplesQuery, errors=missing),
        ]

    def status(self) -> Status:
        """Return the status; never waits for the model."""
        return self._manager.status()

    def runs(self, query: RunsQuery) -> RunList:
        """Return the runs, or those in the trash, the newest first."""
        self._store.flush()
        records = self._store.runs(trashed=query.trashed)
        if query.after is not None:
            records = records[1 + _place_of(query.after, records) :]
        page = records[: query.limit]
        follows = page[-1].run_id if len(records) > len(page) else None
        return RunList(runs=[self._summary(record) for record in page], next=follows)

    def run(self, run_id: str) -> RunSummary:
        """Return one run."""
        self._store.flush()
        return self._summary(self._store.run(run_id))

    def label(self, run_id: str, body: LabelRequest) -> RunSummary:
        """Name, tag or archive a run; what is left out stays as it is."""
        given, record = body.model_fields_set, self._store.run(run_id)
        self._manager.label(
            run_id,
            name=body.name if "name" in given else record.name,
            tags=body.tags if "tags" in given else record.tags,
            archived=body.archived if "archived" in given else record.archived,
        )
        return self.run(run_id)

    def trash(self, run_id: str, body: Empty) -> RunSummary:  # noqa: ARG002 - checked to be empty
        """Throw a run away until it is restored or deleted for good."""
        self._manager.ask(TrashRun(run_id), asked_by())
        return self.run(run_id)

    def restore(self, run_id: str, body: Empty) -> RunSummary:  # noqa: ARG002 - checked to be empty
        """Take a run back out of the trash."""
        self._store.run(run_id)
        self._store.trash_run(run_id, None)
        return self.run(run_id)

    def delete(self, run_id: str, body: DeleteRequest) -> RunDeleted:
        """Forget a run for good, if whoever asks repeats its name."""
        self._store.run(run_id)
        if body.confirm != run_id:
            raise ConfigError(
                "confirm", body.confirm, f"repeat the run's id, {run_id!r}, to delete it for good."
            )
        self._manager.ask(DeleteRun(run_id), asked_by())
        return RunDeleted(run_id=run_id)

    def journal(self, run_id: str, query: JournalQuery) -> JournalAnswer:
        """Return the commands a run was given: who, when, at which step, what."""
        self._store.run(run_id)
        entries = self._store.all_events(run_id, kinds=TOLD_KINDS, since=query.after)
        page = entries[: query.limit]
        follows = page[-1].event_id if len(entries) > len(page) else None
        return JournalAnswer(run_id=run_id, entries=page, next=follows)

    def compare(self, query: CompareQuery) -> Comparison:
        """Return what differs between runs."""
        self._store.flush()
        return compare(self._store, [run_id.strip() for run_id in query.runs.split(",")])

    def difference(self, run_id: str, query: DifferenceQuery) -> Difference:
        """Return by how much a run's bits per byte differ from another's."""
        self._store.flush()
        return difference(self._store, run_id, query.other, max_points=query.max_points)

    def effect(self, run_id: str, query: EffectQuery) -> EffectReport:
        """Return a run's figures before and after something that happened to it."""
        self._store.run(run_id)
        return effect_of(self._store, run_id, query.event)

    def milestones(self, run_id: str) -> MilestonesAnswer:
        """Return the baselines that a run has passed, and when."""
        return MilestonesAnswer(run_id=run_id, milestones=milestones(self._store, run_id))

    def metrics(self, run_id: str, query: MetricsQuery) -> MetricsAnswer:
        """Return a run's metrics by column, thinned for a chart."""
        self._store.run(run_id)
        columns = self._store.metrics(run_id, since=query.since, max_points=query.max_points)
        cursor = int(columns["step"][-1]) if columns["step"] else query.since
        return MetricsAnswer(run_id=run_id, columns=columns, cursor=cursor)

    def events(self, run_id: str, query: EventsQuery) -> EventsAnswer:
        """Return a run's events, the oldest first, a thousand at a time."""
        self._store.run(run_id)
        events = self._store.events(run_id, since=query.since)
        cursor = events[-1].event_id if events else query.since
        return EventsAnswer(run_id=run_id, events=events, cursor=cursor)

    def samples(self, run_id: str, query: SamplesQuery) -> SamplesAnswer:
        """Return what was drawn along a run's training, in order of step, a hundred at a time."""
        self._store.run(run_id)
        samples = self._store.samples.page(run_id, since=query.since, most=SAMPLES_AT_ONCE)
        cursor = samples[-1].step if samples else query.since
        return SamplesAnswer(run_id=run_id, samples=samples, cursor=cursor)

    def _summary(self, record: RunRecord) -> RunSummary:
        return RunSummary(
            run_id=record.run_id,
            created_at=record.created_at,
            parameters=record.parameters,
            step=record.last_step,
            bits_per_byte=record.bits_per_byte,
            validation_bits_per_byte=record.validation_bits_per_byte,
            config=flat(record.config),
            name=record.name,
            tags=record.tags,
            archived=record.archived,
            origin=record.origin,
            trashed_at=record.trashed_at,
            live=record.run_id == self._manager.status().run_id,
            replay=self._manager.replays.last(record.run_id),
            distillation=self._manager.distillations.last(record.run_id),
            rounding=self._manager.roundings.last(record.run_id),
        )


def _place_of(run_id: str, records: list[RunRecord]) -> int:
    for place, record in enumerate(records):
        if record.run_id == run_id:
            return place
    raise ConfigError("after", run_id, "it is not in this list any more; begin again without it.")
