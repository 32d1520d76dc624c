"""What is claimed of the service, whatever is sent to it."""

from collections.abc import Callable
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Topic, asserted_by

FAULTS = ("server_errors", "disagreements", "hangs", "other", "logged_errors")
SIDES = {
    "openapi": "requests made from its own OpenAPI document",
    "raw": "requests as raw bytes, most of them malformed",
    "socket": "packets to the socket, most of which no page would send",
}
MINUTES = {"openapi": 10, "raw": 4, "socket": 4}
LOAD = Benchmark("load", "python -m benchmarks.load --seconds 32 --turns 3", 10)
SOAK = Benchmark("soak", "python -m benchmarks.soak", 12)
ATTACKS = {
    "half-open sockets": "64 sockets that are opened and never used",
    "slowloris": "96 requests that come byte by byte, twice as many as there are threads",
    "deflate bomb": "messages of 64 MB in 64 kB, again and again",
    "stalled readers": "20 readers of 4.8 MB that do not read",
}
FEWEST_CASES = 20_000


def faults(kept: Any) -> list[float]:
    """Return all that was wrong, the cases, and whether the same process was well afterwards."""
    row = kept["row"]
    return [sum(row[name] for name in FAULTS), row["cases"], row["same_worker"] and row["well_after"]]


def of_attack(what: str) -> Callable[[Any], list[float]]:
    """Return what takes the slowest answer, the growth in MB, whether a viewer came in, and the verdict."""

    def take(kept: Any) -> list[float]:
        (row,) = (row for row in kept["rows"] if row["what"] == what)
        values = row["values"]
        measured = (values["slowest_answer_s"], values["grown_bytes"] / 2**20, values["viewer_admitted"])
        return [*measured, row["passed"]]

    return take


def of_viewers(kept: Any) -> list[float]:
    """Return the viewers, the steps missed, the lateness in ms, by how much training slowed, the verdict."""
    (row,) = (row for row in kept["rows"] if row["what"].endswith("viewers"))
    values = row["values"]
    return [
        values["viewers"],
        values["missed_steps"],
        1000 * values["lateness_p99_s"],
        values["training_slowed"],
        row["passed"],
    ]


def of_soak(kept: Any) -> list[float]:
    """Return the figures, visits and forks, the growth in MB, what is left over, and errors and failures."""
    row = kept["row"]
    grown = (row["resident_after_bytes"] - row["resident_before_bytes"]) / 1e6
    troubles = row["logged_errors"] + row["failed_visits"]
    return [
        row["figures"],
        row["visits"],
        row["forks"],
        grown,
        row["checkpoints"],
        row["left_over"],
        troubles,
    ]


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
        *(
            Claim(
                f"attacked while it trains by {told}: slowest answer; memory grown; a viewer still comes in",
                LOAD.take(of_attack(what)),
                "{0:.2f} s; {1:.0f} MB; {2:.0f}",
                Bar(
                    "at most 10 s; of bombs less than 20 MB; 1; the same process, its threads free again",
                    lambda *measured: measured[-1] is True,
                ),
            )
            for what, told in ATTACKS.items()
        ),
        Claim(
            "viewers at 4 Hz: steps missed; 99th percentile of lateness; by how much training is slower",
            LOAD.take(of_viewers),
            "{0:.0f}: {1:.0f}; {2:.0f} ms; {3:.0%}",
            Bar(
                "200: 0; below 500 ms; less than 25 %",
                lambda viewers, missed, late_ms, slowed, passed: (
                    viewers >= 200 and missed == 0 and late_ms < 500 and slowed < 0.25 and passed is True
                ),
            ),
        ),
        Claim(
            "soaked: figures kept, clients that came and went, runs branched off and deleted; memory grown; "
            "checkpoints kept, folders left over, errors",
            SOAK.take(of_soak),
            "{0:,} · {1} · {2}; {3:.0f} MB; {4}, {5}, {6}",
            Bar(
                "a million, 200, 500; less than 50 MB; at most 5, 0, 0",
                lambda figures, visits, forks, grown_mb, checkpoints, left, troubles: (
                    figures >= 10**6
                    and visits >= 200
                    and forks >= 500
                    and grown_mb < 50
                    and checkpoints <= 5
                    and left == troubles == 0
                ),
            ),
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
