"""Does anything a client sends bring the service down? Prints a table and writes it to benchmarks/results/.

The real service trains a tiny run meanwhile. Three sides: requests made from its own OpenAPI document
(schemathesis, all checks), requests as raw bytes, and packets to the socket. After each the same process must
serve, be well, and have logged no error; no answer may be 5xx, other than the document says, or
missing. The seed decides what is sent.
`python -m benchmarks.fuzz`
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from itertools import count, islice
from pathlib import Path
from random import Random

from benchmarks import packets, raw_requests, schema_cases
from benchmarks.record import RESULTS, keep
from benchmarks.service_latency import START_DEADLINE_S, wait_until
from benchmarks.target import Target, target
from benchmarks.wire import Outcome

SIDES = ("openapi", "raw", "socket")
DEADLINE_S = 30.0
"""A request that is neither answered nor ended in so long hangs."""

EXAMPLES = 100
OWN_PROCESS_EXAMPLES = 2
SHOWN_FAULTS = 20


@dataclass(frozen=True)
class Row:
    """What came of one side.

    Attributes:
        side: One of `SIDES`.
        cases: How many requests or packets were sent.
        answers: How many of each status, or end.
        server_errors: Answers 5xx.
        disagreements: Answers that are not what the OpenAPI document says.
        hangs: Cases that neither an answer nor an end came of.
        other: Faults of any other kind.
        logged_errors: Lines of the log that tell of an error.
        same_worker: Whether the process that served before serves after.
        well_after: Whether it says that it is ready, and training goes on.
        processor_s: Seconds of processor time that the service used.
    """

    side: str
    cases: int
    answers: dict[str, int]
    server_errors: int
    disagreements: int
    hangs: int
    other: int
    logged_errors: int
    same_worker: bool
    well_after: bool
    processor_s: float

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        faults = self.server_errors + self.disagreements + self.hangs + self.other + self.logged_errors
        return faults == 0 and self.same_worker and self.well_after


def openapi_outcomes(service: Target, seed: int) -> Iterator[Outcome]:
    """Yield what comes of requests by the document: every constraint once, then others without end."""
    yield from schema_cases.outcomes(
        service.url, seed=seed, examples=EXAMPLES, phases=("coverage", "fuzzing")
    )
    for further in count(seed + 1):
        yield from schema_cases.outcomes(service.url, seed=further, examples=EXAMPLES, phases=("fuzzing",))


def raw_outcomes(service: Target, seed: int) -> Iterator[Outcome]:
    """Yield what comes of raw requests, without end."""
    random = Random(seed)  # noqa: S311 - cases, no secrets
    while True:
        yield raw_requests.send(service.address, random, DEADLINE_S)


def socket_outcomes(service: Target, seed: int) -> Iterator[Outcome]:
    """Yield what comes of packets, without end."""
    random = Random(seed)  # noqa: S311 - cases, no secrets
    while True:
        yield from packets.send(service.address, random, DEADLINE_S)


OUTCOMES: dict[str, Callable[[Target, int], Iterator[Outcome]]] = {
    "openapi": openapi_outcomes,
    "raw": raw_outcomes,
    "socket": socket_outcomes,
}


def judge(service: Target, side: str, outcomes: Iterable[Outcome]) -> tuple[Row, list[Outcome]]:
    """Let the cases happen; return what came of them, and those with a fault."""
    worker, began_s, logged = service.worker, service.processor_s, len(service.complaints())
    answers: Counter[str] = Counter()
    faults = []
    for outcome in outcomes:
        answers[outcome.what] += 1
        if outcome.fault is not None:
            faults.append(outcome)
    hangs = sum(one.fault == "hang" for one in faults)
    server_errors = sum(is_server_error(one) for one in faults)
    disagreements = (len(faults) - hangs - server_errors) if side == "openapi" else 0
    row = Row(
        side=side,
        cases=answers.total(),
        answers=dict(sorted(answers.items())),
        server_errors=server_errors,
        disagreements=disagreements,
        hangs=hangs,
        other=len(faults) - hangs - server_errors - disagreements,
        logged_errors=len(service.complaints()) - logged,
        same_worker=service.worker == worker,
        well_after=is_well(service),
        processor_s=service.processor_s - began_s,
    )
    return row, faults


def is_server_error(outcome: Outcome) -> bool:
    """Whether a case with a fault was answered 5xx."""
    return outcome.what.startswith("5")


def is_well(service: Target) -> bool:
    """Whether it is ready, and a new run can be made and trained."""
    try:
        if service.call("/status")["state"] == "training":
            service.call("/train/pause", {})
        service.make_run()
        return (
            bool(service.call("/train-step", {})["step"] == 1) and service.call("/readyz")["status"] == "ok"
        )
    except (OSError, HTTPException):  # an answer that is a problem is an OSError, too
        return False


def fuzz(service: Target, side: str, cases: int, seed: int) -> tuple[Row, list[Outcome]]:
    """Send at least so many cases of a side while a tiny run trains."""
    service.make_run(checkpoint_interval=1000)
    service.call("/train/start", {})
    wait_until(lambda: service.call("/status")["step"] > 0, START_DEADLINE_S)
    return judge(service, side, islice(OUTCOMES[side](service, seed), cases))


def main() -> None:
    """Send, judge, print, write; the exit code says whether nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="of each side, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    has_passed = True
    for side in options.sides:
        with target(BITLM_LOG_LEVEL="error") as service:
            row, faults = fuzz(service, side, options.cases, options.seed)
            complaints = service.complaints()
        print(f"{side}: {'passed' if row.passed else 'FAILED'}, {row}")
        for fault in faults[:SHOWN_FAULTS]:
            print(f"  {fault.what} ({fault.fault}): {fault.sent[:500]!r}")
        print(*complaints[:SHOWN_FAULTS], sep="\n")
        settings = {"cases": options.cases, "seed": options.seed}
        kept = asdict(row) | {"passed": row.passed}
        keep(options.output, f"fuzz_{side}", by=__file__, settings=settings, row=kept)
        has_passed = has_passed and row.passed
    sys.exit(0 if has_passed else 1)


if __name__ == "__main__":
    main()
