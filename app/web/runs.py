"""What is and what was: the status, the runs, their metrics and their events."""

from http import HTTPStatus

from app.service import ModelManager, Status
from app.service.answers import flat
from app.web.routes import Route
from app.web.schemas import EventsAnswer, EventsQuery, MetricsAnswer, MetricsQuery, RunList, RunSummary
from bitlm.session import RunRecord


class RunRoutes:
    """Everything that can be looked at without asking the model."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        missing = (HTTPStatus.NOT_FOUND,)
        one = "/runs/<run_id>"
        return [
            Route("GET", "/status", self.status, Status),
            Route("GET", "/runs", self.runs, RunList),
            Route("GET", one, self.run, RunSummary, errors=missing),
            Route("GET", f"{one}/metrics", self.metrics, MetricsAnswer, query=MetricsQuery, errors=missing),
            Route("GET", f"{one}/events", self.events, EventsAnswer, query=EventsQuery, errors=missing),
        ]

    def status(self) -> Status:
        """Return the status; never waits for the model."""
        return self._manager.status()

    def runs(self) -> RunList:
        """Return all runs, the newest first."""
        return RunList(runs=[self._summary(record) for record in self._manager.runs()])

    def run(self, run_id: str) -> RunSummary:
        """Return one run."""
        return self._summary(self._manager.run(run_id))

    def metrics(self, run_id: str, query: MetricsQuery) -> MetricsAnswer:
        """Return a run's metrics by column, thinned for a chart."""
        columns = self._manager.metrics(run_id, since=query.since, max_points=query.max_points)
        cursor = int(columns["step"][-1]) if columns["step"] else query.since
        return MetricsAnswer(run_id=run_id, columns=columns, cursor=cursor)

    def events(self, run_id: str, query: EventsQuery) -> EventsAnswer:
        """Return a run's events, the oldest first, a thousand at a time."""
        events = self._manager.events(run_id, since=query.since)
        cursor = events[-1].event_id if events else query.since
        return EventsAnswer(run_id=run_id, events=events, cursor=cursor)

    def _summary(self, record: RunRecord) -> RunSummary:
        return RunSummary(
            run_id=record.run_id,
            created_at=record.created_at,
            parameters=record.parameters,
            step=record.last_step,
            bits_per_byte=record.bits_per_byte,
            validation_bits_per_byte=record.validation_bits_per_byte,
            config=flat(record.config),
            live=record.run_id == self._manager.status().run_id,
        )
