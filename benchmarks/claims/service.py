"""What is claimed of the service, whatever is sent to it."""

from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Topic, asserted_by

FAULTS = ("server_errors", "disagreements", "hangs", "other", "logged_errors")
SIDES = {
    "raw": "requests as raw bytes, most of them malformed",
}
MINUTES = {"raw": 4}
FEWEST_CASES = 20_000


def faults(kept: Any) -> list[float]:
    """Return all that was wrong, the cases, and whether the same process was well afterwards."""
    row = kept["row"]
    return [sum(row[name] for name in FAULTS), row["cases"], row["same_worker"] and row["well_after"]]


THE_SERVICE = Topic(
    "The service",
    [
        *(
            Claim(
                f"{told}, while it trains: 5xx, disagreements, hangs and logged errors",
                Benchmark(f"fuzz_{side}", f"python -m benchmarks.fuzz --sides {side}", MINUTES[side]).take(
                    faults
                ),
                "{0} of {1:,}; well afterwards: {2}",
                Bar(
                    "0 of 20,000; well, in the same process",
                    lambda wrong, cases, well: wrong == 0 and cases >= FEWEST_CASES and well is True,
                ),
            )
            for side, told in SIDES.items()
        ),
        Claim(
            "a small share of these, at each run of the tests",
            asserted_by(
                "tests/app/test_fuzz.py",
                "test_nothing_that_is_sent_brings_it_down",
                "test_what_it_answers_is_what_it_says",
            ),
        ),
        Claim(
            "the OpenAPI document is one, says an official validator",
            asserted_by(
                "tests/app/test_openapi.py", "test_it_is_what_the_specification_takes_for_a_document"
            ),
        ),
    ],
)
