"""Requests made from the service's own OpenAPI document, judged by it: for benchmarks/fuzz.py.

schemathesis makes them, and holds every answer against all of its checks. Two checks take a status besides
those they know: what a schema cannot say (a field that goes with another, text that must be base64, a whole
number that is written without a point) is refused with 422, and what is too long with 413, 414 or 431.
"""

from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished

from benchmarks.wire import Outcome

REFUSED_FOR_LENGTH = ["413", "414", "431"]
EXPECTED = {
    "positive_data_acceptance": [
        "2xx",
        "3xx",
        "401",
        "403",
        "404",
        "409",
        "412",
        "422",
        "429",
        *REFUSED_FOR_LENGTH,
    ],
    "negative_data_rejection": [
        "400",
        "401",
        "403",
        "404",
        "405",
        "409",
        "412",
        "415",
        "421",
        "422",
        "429",
        *REFUSED_FOR_LENGTH,
    ],
}
MOST: dict[str, int] = {
    "d_model": 32, "num_layers": 3, "nhead": 4, "head_width": 16, "dim_feedforward": 64,
    "max_seq_len": 512, "batch_size": 2, "chunk_size": 512,
    "ngram_slots": 4096, "sinusoid_width": 32, "max_new_bytes": 16, "steps": 4, "block_bytes": 64,
}  # fmt: skip
"""Numbers that would have the service compute for minutes are made smaller; all else is sent as made."""

LARGEST_OF_ITS_TYPE = 100_000
"""Such a number above this is sent as it is: it is refused, and that is what is to be seen."""

MOST_STEPS = {"/train-step": 10_000, "/infer": 256}
"""What a request may ask for at most, where that is less."""

OWN_PROCESS = [
    "/compress",
    "/calibration",
    "/runs/{run_id}/distil",
    "/runs/{run_id}/replay",
    "/runs/{run_id}/rounding",
]
"""What starts a process each time, which takes seconds of the processor."""

REQUEST_DEADLINE_S = 120.0


class SchemathesisError(Exception):
    """schemathesis itself met an error."""


def outcomes(
    url: str, *, seed: int, examples: int, phases: tuple[str, ...], own_process_examples: int = 0
) -> Iterator[Outcome]:
    """Ask every operation of the document, and yield what came of each request.

    Args:
        url: Of the service.
        seed: Decides every request, given the same ids of runs and checkpoints.
        examples: Requests for each operation in the phase "fuzzing"; "coverage" makes as many as there are
            constraints.
        phases: Of schemathesis: "coverage", "fuzzing".
        own_process_examples: The same for `OWN_PROCESS`, in the phase "fuzzing" alone.

    Raises:
        SchemathesisError: schemathesis could not do its work.
    """
    config = SchemathesisConfig.from_dict(_told(seed, examples, phases, own_process_examples))
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    schema.hook("map_body")(kept_small)
    for event in from_schema(schema).execute():
        yield from _of(event)


def kept_small(context: Any, body: Any) -> Any:
    """Return a body whose numbers do not let the service compute for long."""
    if not isinstance(body, dict):
        return body
    small: dict[str, Any] = {"size": "tiny"} if body.get("size") in {"small", "base"} else {}
    for name, most in MOST.items():
        value, largest = body.get(name), LARGEST_OF_ITS_TYPE
        if name == "steps":
            largest = MOST_STEPS.get(context.operation.path, largest)
        if isinstance(value, int) and most < value <= largest:
            small[name] = most
    return {**body, **small}


def _of(event: EngineEvent) -> Iterator[Outcome]:
    if isinstance(event, FatalError):
        raise SchemathesisError(str(event.exception)) from event.exception
    if isinstance(event, NonFatalError):
        raise SchemathesisError(f"{event.label}: {event.value}") from event.value
    if not isinstance(event, ScenarioFinished):
        return
    recorder = event.recorder
    for case_id, one in recorder.interactions.items():
        failed = [check for check in recorder.checks.get(case_id, []) if check.status is Status.FAILURE]
        status = str(one.response.status_code) if one.response else "hang"
        fault = ", ".join(sorted(check.name for check in failed)) or (
            "hang" if one.response is None else None
        )
        sent = f"{one.request.method} {one.request.uri} {one.request.body!r}"
        yield Outcome(status, fault, sent.encode())


def _told(seed: int, examples: int, phases: tuple[str, ...], own_process_examples: int) -> dict[str, Any]:
    """Return what schemathesis is told, as its configuration file would have it."""
    own_process: dict[str, Any] = {"include-path": OWN_PROCESS, "enabled": own_process_examples > 0}
    if own_process_examples:
        own_process["generation"] = {"max-examples": own_process_examples}
        own_process["phases"] = {"coverage": {"enabled": False}}
    return {
        "seed": seed,
        "workers": 1,
        "continue-on-failure": True,
        "request-timeout": REQUEST_DEADLINE_S,
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "checks": {name: {"expected-statuses": statuses} for name, statuses in EXPECTED.items()},
        "operations": [own_process],
        "phases": {
            name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")
        },
    }
