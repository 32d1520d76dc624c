"""What is claimed of telemetry, λ, the gate and the test for drift."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Topic, asserted_by, row
from bitlm.calibration.failures import FAILURES

SEPARATION = Benchmark(
    "gate_separation", "python -m benchmarks.gate_separation --corpus embedded kjv sotu", 4
)
CALIBRATION = Benchmark(
    "gate_calibration", "python -m benchmarks.gate_separation --calibrated --corpus embedded kjv sotu", 12
)
DRIFT = Benchmark("drift", "python -m benchmarks.drift", 8)
LAMBDA = Benchmark("lambda_effect", "python -m benchmarks.lambda_effect", 90)
MEASURES = Benchmark("measures", "python -m benchmarks.measures --corpus embedded kjv sotu", 2)
OURS, RULE = "Page–Hinkley in blocks", "level rule"
CORRELATIONS = (0.0, 0.9)
LENGTHS = (32, 64, 128, 256, 512, 1024)
TEMPERATURE = 0.3


def at_default_floors(kept: Mapping[str, Any], *corpora: str) -> Sequence[float]:
    """Return in percent the most text refused and the least of any failure caught, and the lowest AUC."""
    text = [row(kept["rows"], corpus=corpus, kind="held-out text") for corpus in corpora]
    failures = [row(kept["rows"], corpus=corpus, kind=kind) for corpus in corpora for kind in FAILURES]
    return [
        100 * max(one["refused"] for one in text),
        100 * min(one["refused"] for one in failures),
        min(one["margin_auc"] for one in failures),
    ]


def calibrated(kept: Mapping[str, Any], *, length: int, fitted_on: str) -> Sequence[float]:
    """Return the same of the embedded text at floors fitted on one half and tried on the other."""
    lengths = row(kept["calibrations"], corpus="embedded", fitted_on=fitted_on)["lengths"]
    found = row(lengths, length_bytes=length)
    failures = [one for one in found["failures"] if one["counted"]]
    return [
        100 * found["refused_unseen"],
        100 * min(one["caught"] for one in failures),
        min(one["auc"] for one in failures),
    ]


def twins(kept: Mapping[str, Any], name: str, value: float) -> tuple[float, float]:
    """Return bits per byte and in percent the loops at a low temperature, means over the seeds."""
    found = [one for one in kept["twins"] if (one["name"], one["value"]) == (name, value)]
    if not found:
        raise LookupError(f"twins with λ_{name} = {value:g}")
    loops = [row(one["drawn"], temperature=TEMPERATURE)["loops"] for one in found]
    return fmean(one["bits_per_byte"] for one in found), 100 * fmean(loops)


def lambda_c(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return loops with λ_C = 0.1 and without, and what it costs."""
    (plain, loops), (changed, fewer) = twins(kept, "", 0), twins(kept, "C", 0.1)
    return [fewer, loops, changed - plain]


def slowest(kept: Mapping[str, Any], measure: str, length: int) -> Sequence[float]:
    """Return the longest that a measure takes on any corpus, in milliseconds."""
    found = [
        row(kept["rows"], corpus=corpus, measure=measure, length_bytes=length)["milliseconds"]
        for corpus in ("embedded", "kjv", "sotu")
    ]
    return [max(found)]


def alerts(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return how many alerts a disturbed run gave after either disturbance and in all, and one left alone."""
    disturbance, told = kept["run"]["disturbance"], kept["run"]["alerts"]
    steps = [one["step"] for one in told["disturbed"]]
    text = sum(disturbance["text_at"] < step <= disturbance["rate_at"] for step in steps)
    rate = sum(step > disturbance["rate_at"] for step in steps)
    return [text, rate, len(steps), len(told["left alone"])]


GATE_BAR = Bar(
    "at most 3 % refused; each caught at least 97 %; AUC at least 0.99",
    lambda refused, caught, auc: refused <= 3 and caught >= 97 and auc >= 0.99,
)
GATE_SHOWN = "{:.1f} % · {:.1f} % · {:.4f}"
EACH = "text refused · each of eleven failures caught, at least · AUC, at least"

THE_GATE = Topic(
    "Telemetry and gate",
    [
        Claim(
            f"gate, 128 bytes, default floors, King James Bible and State of the Union: {EACH}",
            SEPARATION.take(lambda kept: at_default_floors(kept, "kjv", "sotu")),
            GATE_SHOWN,
            GATE_BAR,
            ["text refused · each of eleven failures caught | {0:.0f} % · {1:.0f} % |"],
        ),
        Claim(
            f"… embedded text, default floors, which the bar leaves out: {EACH}",
            SEPARATION.take(lambda kept: at_default_floors(kept, "embedded")),
            GATE_SHOWN,
        ),
        Claim(
            f"… embedded text, floors fitted on the first half of what was held out: {EACH}",
            CALIBRATION.take(partial(calibrated, length=128, fitted_on="first")),
            GATE_SHOWN,
            GATE_BAR,
            ["unseen text refused · each of eleven failures caught, at least | {0:.1f} % · {1:.1f} % |"],
        ),
        Claim(
            f"… embedded text, floors fitted on the second half: {EACH}",
            CALIBRATION.take(partial(calibrated, length=128, fitted_on="second")),
            GATE_SHOWN,
            GATE_BAR,
        ),
        *(
            Claim(
                f"… of {length:,} bytes, fitted on the first half: {EACH}",
                CALIBRATION.take(partial(calibrated, length=length, fitted_on="first")),
                GATE_SHOWN,
            )
            for length in LENGTHS
            if length != 128
        ),
        Claim(
            "each of 32 requests at once gets the verdict that it gets alone",
            asserted_by(
                "tests/app/test_server.py",
                "test_each_of_32_requests_at_once_gets_the_verdict_it_gets_alone",
            ),
        ),
        Claim(
            "drift, 100 streams, autocorrelation 0 · 0.9: false alarms in a million values",
            DRIFT.take(
                lambda kept: [
                    row(kept["rows"], detector=OURS, autocorrelation=one)["false_alarms"]
                    for one in CORRELATIONS
                ]
            ),
            "{} · {}",
            Bar("0 · 0", lambda *alarms: not any(alarms)),
            ["| drift, 100 streams, autocorrelation 0 · 0.9: false alarms in a million values | {} · {} |"],
        ),
        Claim(
            "… steps of 2 σ and ramps found, the fewest of the four; the level rule, the most",
            DRIFT.take(
                lambda kept: [
                    choose(
                        row(kept["rows"], detector=detector, autocorrelation=one)[f"{change}_found"]
                        for one in CORRELATIONS
                        for change in ("step", "ramp")
                    )
                    for detector, choose in ((OURS, min), (RULE, max))
                ]
            ),
            "{} of 100; {}",
            Bar("100 of 100", lambda found, _: found == 100),
            ["| … steps of 2 σ and ramps found; the level rule | {} of 100 each; {} |"],
        ),
        Claim(
            "… values from the change to the alarm, at most: step · ramp",
            DRIFT.take(
                lambda kept: [
                    max(
                        row(kept["rows"], detector=OURS, autocorrelation=one)[f"{change}_delay_most"]
                        for one in CORRELATIONS
                    )
                    for change in ("step", "ramp")
                ]
            ),
            "{} · {}",
        ),
        Claim(
            "a run whose text changes at one step and whose rate is multiplied by ten at another: "
            "alerts after either · all of them · of the same run left alone",
            DRIFT.take(alerts),
            "{}, {} · {} · {}",
            Bar("1, 1 · 2 · 0: both and nothing else", lambda *counts: counts == (1, 1, 2, 0)),
        ),
        Claim(
            "the window after a change that the run is told of is ignored",
            asserted_by(
                "tests/bitlm/session/test_drift_monitor.py",
                "test_the_window_after_a_known_change_is_ignored",
            ),
        ),
        Claim(
            "λ_C = 0.1 against none, twins of three seeds, temperature 0.3: texts that are loops; "
            "bits per byte it costs",
            LAMBDA.take(lambda_c),
            "{:.0f} % against {:.0f} %; {:.2f}",
            Bar("fewer, at a stated cost", lambda fewer, loops, _: fewer < loops),
            ["rarer ({:.0f} % instead of {:.0f} %) and costs {:.2f} bpb"],
        ),
        Claim(
            "… λ_C = 0.3: bits per byte (a coin: 8)",
            LAMBDA.take(lambda kept: [twins(kept, "C", 0.3)[0]]),
            "{:.2f}",
        ),
        Claim(
            "C of 1,024 bits",
            MEASURES.take(lambda kept: slowest(kept, "C", 128)),
            "{:.2f} ms",
            Bar("at most 1.5 ms", lambda ms: ms <= 1.5),
        ),
        Claim(
            "S of 1 KB",
            MEASURES.take(lambda kept: slowest(kept, "S", 1024)),
            "{:.2f} ms",
            Bar("at most 1 ms", lambda ms: ms <= 1),
        ),
        Claim(
            "C is antropy's",
            asserted_by(
                "tests/bitlm/telemetry/test_lempel_ziv.py",
                "test_phrases_and_complexity_equal_antropys",
                "test_phrases_of_text_and_of_noise_equal_antropys",
            ),
        ),
        Claim(
            "finite differences of the objective with every λ agree with autograd",
            asserted_by(
                "tests/bitlm/training/test_objective.py",
                "test_finite_differences_agree_with_autograd",
            ),
        ),
    ],
)
