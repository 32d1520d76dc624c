"""What is claimed of files made small with a model, and of models that grow or are made smaller."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Topic, asserted_by, row

COMPRESSION = Benchmark(
    "compression", "python -m benchmarks.compression --corpus kjv --preset small --minutes 2", 8
)
GROWTH = Benchmark(
    "growth",
    "python -m benchmarks.growth --corpus kjv --minutes 3 --rate-factor 1 --warmup 0 --frozen 0 "
    "--targets 3 2.5 2.25 2.1",
    7,
)
DISTILLATION = Benchmark("distillation", "python -m benchmarks.distillation", 12)
RUN_LENGTH = Benchmark("run_length", "python -m benchmarks.run_length", 1)
LARGE_BITS = 2**20
TIMES_A_LOOP = 20
KILO = 1000
LONGER_AT_MOST = 1.01
BAR_KB_PER_S = 3
TARGETS = (2.25, 2.1)
MOST_SHARE, MOST_WORSE, LEAST_BETTER = 0.4, 0.1, 0.03


def coded(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what became of the held-out tenth of the King James Bible."""
    return row(kept["rows"], corpus="kjv")


def speeds(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return thousands of bytes a second of processor time, there and back."""
    found = coded(kept)
    return [found["length"] / KILO / found[way]["cpu_s"] for way in ("compressing", "giving_back")]


def run_lengths(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return how many times as fast as a loop run lengths are on large batches, at least: there, and back."""
    large = [one for one in kept["speeds"] if one["batch"] * one["row_bits"] >= LARGE_BITS]
    return [min(one["loop_ratio"] for one in large if one["what"] == what) for what in ("encode", "decode")]


def minutes_to(kept: Mapping[str, Any], *, target: float) -> Sequence[float]:
    """Return after how many minutes either side is first at a quality: grown, and large from the first."""
    return [
        next(point["minutes"] for point in side["curve"] if point["bits_per_byte"] <= target)
        for side in kept["sides"]
    ]


def sides(kept: Mapping[str, Any], what: str, *names: str) -> Sequence[float]:
    """Return a figure of each side of a distillation."""
    return [row(kept["sides"], name=name)[what] for name in names]


def smaller(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return the student's share of its teacher's parameters, and both models' bits per byte."""
    many, few = sides(kept, "parameters", "teacher", "student")
    return [few / many, *sides(kept, "bits_per_byte", "student", "teacher")]


THE_CHANGES = Topic(
    "Compression, growth and distillation",
    [
        Claim(
            "King James Bible's held-out tenth by `small` after 2 min: bits per byte of the file · claimed",
            COMPRESSION.take(lambda kept: [coded(kept)["bits_per_byte"], coded(kept)["claim"]]),
            "{:.3f} · {:.3f}",
            Bar("at most 1 % more", lambda size, claimed: size <= LONGER_AT_MOST * claimed),
            ["bits per byte of the file · what `evaluate` says | {0:.3f} · {1:.3f} |"],
        ),
        Claim(
            "… xz, given the rest of the text as the model was · alone",
            COMPRESSION.take(
                lambda kept: [
                    coded(kept)["bits_per_byte"],
                    coded(kept)["added"]["xz"],
                    coded(kept)["alone"]["xz"],
                ]
            ),
            "{:.2f} against {:.2f} · {:.2f}",
            Bar("below xz", lambda size, given, alone: size < min(given, alone)),
        ),
        Claim(
            "… kB a second of processor time: compressing · giving back",
            COMPRESSION.take(speeds),
            "{:.1f} · {:.1f}",
            Bar("at least 3", lambda there, back: min(there, back) >= BAR_KB_PER_S),
            ["kB/s there · back | {0:.1f} · {1:.1f} |"],
        ),
        Claim(
            "files of 200 kinds and lengths come back to the last byte, and damage is an error",
            asserted_by(
                "tests/bitlm/compression/test_files.py",
                "test_two_hundred_files_of_all_kinds_come_back",
                "test_any_byte_changed_or_missing_is_an_error_and_never_other_bytes",
            ),
        ),
        Claim(
            "run lengths of a million bits and more beside a Python loop, at least: encoding · decoding",
            RUN_LENGTH.take(run_lengths),
            "{:.0f} × · {:.0f} ×",
            Bar("at least 20 ×", lambda there, back: min(there, back) >= TIMES_A_LOOP),
        ),
        *(
            Claim(
                f"`tiny` grown by a layer, in width and by a layer, one seed: minutes to {target} bits per "
                "byte · the same shape from the beginning",
                GROWTH.take(partial(minutes_to, target=target)),
                "{:.2f} · {:.2f}",
            )
            for target in TARGETS
        ),
        Claim(
            "a layer more and a longer window change no logit; twice the width changes those of small "
            "untrained models by less than 0.001 (of trained ones by more: docs/growth.md)",
            asserted_by(
                "tests/bitlm/growth/test_growing.py",
                "test_a_layer_more_changes_nothing_whatever_the_model_has",
                "test_twice_the_window_changes_nothing_inside_the_old_one_and_goes_on_behind_it",
                "test_twice_the_width_changes_logits_by_rounding_alone",
            ),
        ),
        Claim(
            "a grown run goes on bit for bit after a death, and is replayed",
            asserted_by(
                "tests/bitlm/history/test_enlarging.py",
                "test_a_grown_run_goes_on_bit_for_bit_after_a_death_and_is_replayed",
            ),
        ),
        Claim(
            "a student of `base`, King James Bible: share of the parameters · bits per byte · its teacher's",
            DISTILLATION.take(smaller),
            "{:.3f} · {:.3f} · {:.3f}",
            Bar(
                "at most 0.4, and 0.1 worse",
                lambda share, student, teacher: share <= MOST_SHARE and student <= teacher + MOST_WORSE,
            ),
        ),
        Claim(
            "… the same shape trained alone for as long, looking at the teacher included: bits per byte",
            DISTILLATION.take(lambda kept: sides(kept, "bits_per_byte", "student", "alone")),
            "{:.3f} against {:.3f}",
            Bar("at least 0.03 better", lambda student, alone: student <= alone - LEAST_BETTER),
        ),
        Claim(
            "… cut out of the teacher and trained on the text alone for as long: bits per byte",
            DISTILLATION.take(
                lambda kept: sides(kept, "bits_per_byte", "student", "cut out, without its teacher's say")
            ),
            "{:.3f} against {:.3f}",
        ),
        Claim(
            "a student goes on as a run, is verified from its capsule, and made again it is the same",
            asserted_by(
                "tests/bitlm/history/test_distilling.py",
                "test_a_student_is_a_run_with_a_receipt_that_goes_on_and_comes_out_again",
            ),
        ),
    ],
)
