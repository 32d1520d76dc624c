"""The service's figures for Prometheus.

Source: "Exposition formats", Prometheus documentation, text format 0.0.4.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, get_args

from flask import Blueprint, Response

from app.service import ModelManager, Status
from app.service.answers import State
from bitlm.machine import resident_bytes
from bitlm.version import VERSION

if TYPE_CHECKING:
    from app.service.relay import Publisher, Subscriber  # whose redis is an extra

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Gauge(NamedTuple):
    """A figure of the moment.

    Attributes:
        value: None where there is none, which leaves the figure out.
    """

    name: str
    meaning: str
    value: float | None


class Exposition:
    """The route that a Prometheus server asks."""

    def __init__(self, manager: ModelManager, relay: "Publisher | Subscriber | None") -> None:
        self._manager = manager
        self._relay = relay

    def blueprint(self) -> Blueprint:
        """Return the route that answers with text instead of JSON."""
        exposition = Blueprint("exposition", __name__)
        exposition.add_url_rule("/metrics", "metrics", self.metrics)
        return exposition

    def metrics(self) -> Response:
        """Return every figure of the moment; never waits for the model."""
        status, free = self._manager.status(), self._manager.disk().free_bytes
        silent_s = self._manager.silent_s
        is_heard = None if self._relay is None else int(self._relay.complaint is None)
        lines = [
            *_lines("bitlm_info", "The version, as a label.", [(f'{{version="{VERSION}"}}', 1)]),
            *_lines("bitlm_state", "1 for the state the service is in.", _states(status)),
            *(
                line
                for gauge in _gauges(status, free, silent_s, is_heard)
                if gauge.value is not None
                for line in _lines(gauge.name, gauge.meaning, [("", gauge.value)])
            ),
        ]
        return Response("\n".join(lines) + "\n", content_type=CONTENT_TYPE)


def _gauges(status: Status, free_bytes: int, silent_s: float, is_heard: int | None) -> tuple[Gauge, ...]:
    step, seen, seconds = (status.step, status.bytes_seen, status.elapsed_s) if status.run_id else (None,) * 3
    return (
        Gauge("bitlm_step", "Updates of the live run.", step),
        Gauge("bitlm_parameters", "Weights of its model.", status.parameters),
        Gauge("bitlm_seen_bytes", "Text it has trained on.", seen),
        Gauge("bitlm_training_seconds", "Time it has spent stepping.", seconds),
        Gauge("bitlm_bytes_per_second", "Speed of its last step.", status.bytes_per_s),
        Gauge("bitlm_bits_per_byte", "Of its last batch.", status.bits_per_byte),
        Gauge("bitlm_validation_bits_per_byte", "Newest held-out estimate.", status.validation_bits_per_byte),
        Gauge("bitlm_disk_free_bytes", "Room where the runs are.", free_bytes),
        Gauge("bitlm_worker_silent_seconds", "Since the model's thread gave a sign of life.", silent_s),
        Gauge("bitlm_redis_up", "0 while Redis, or the owner by way of it, is missing.", is_heard),
        Gauge("bitlm_start_time_seconds", "Unix time of the service's start.", status.service_started_at),
        Gauge("bitlm_resident_memory_bytes", "Resident set of the process.", resident_bytes()),
    )


def _states(status: Status) -> list[tuple[str, float]]:
    return [(f'{{state="{state}"}}', int(state == status.state)) for state in get_args(State)]


def _lines(name: str, meaning: str, samples: list[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} gauge"
    yield from (f"{name}{labels} {value}" for labels, value in samples)
