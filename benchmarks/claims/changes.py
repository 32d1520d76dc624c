"""What is claimed of small files, and of models that grow, are made smaller or kept in fewer bits."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Topic, asserted_by, row

COMPRESSION = Benchmark(
    "compression", "python -m benchmarks.compression --corpus kjv --preset small --minutes 2", 8
)
LONGER_TRAINED = Benchmark(
    "compression_sotu",
    "python -m benchmarks.compression --corpus sotu --preset small --minutes 15 --name compression_sotu",
    22,
)
LARGE_FILE = Benchmark(
    "compression_10mb",
    "python -m benchmarks.compression --corpus kjv --preset tiny --minutes 1 --file sotu "
    "--file-bytes 10000000 --name compression_10mb",
    24,
)
GROWTH = Benchmark(
    "growth",
    "python -m benchmarks.growth --corpus kjv --minutes 3 --rate-factor 1 --warmup 0 --frozen 0 "
    "--targets 3 2.5 2.25 2.1 --seeds 0 1 2",
    19,
)
GROWTH_RATES = Benchmark("growth_rates", "python -m benchmarks.growth_rates --minutes 3 --seeds 0 1 2", 42)
DISTILLATION = Benchmark("distillation", "python -m benchmarks.distillation", 15)
QUANTISATION = Benchmark(
    "quantisation", "python -m benchmarks.quantisation --texts embedded/reference kjv/none --minutes 0.5", 10
)
RUN_LENGTH = Benchmark("run_length", "python -m benchmarks.run_length", 1)
LARGE_BITS = 2**20
TIMES_A_LOOP = 20
KILO = 1000
LONGER_AT_MOST = 1.01
BAR_KB_PER_S = 3
TARGETS = (2.25, 2.1)
LEAST_SAVED = 0.25
RATES = {
    "by √2, and warmed up": "÷ √2 and warmed up at each growth",
    "fall sooner": "falling sooner (LEMON)",
    "large from the beginning": "and one that is large from the beginning",
}
MOST_SHARE, MOST_WORSE, LEAST_BETTER = 0.4, 0.1, 0.03
ALONE = {"text": "kjv", "mixing": "none"}
MIXED = {"text": "embedded", "mixing": "reference"}
MOST_INT8, MOST_INT4 = 0.30, 0.18
INT8_BPB, INT4_BPB = 0.01, 0.05
MOST_LOGIT = 1e-3
NOT_SLOWER = 0.95


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


def saved_until(kept: Mapping[str, Any], *, target: float) -> Sequence[float]:
    """Return the share of the time to a quality that growing saves, and half the width of its interval."""
    found = row(kept["savings"], target=target)
    return [found["mean"], found["margin"]]


def worse_by(kept: Mapping[str, Any], *, name: str) -> Sequence[float]:
    """Return how many bits per byte more than the plain rule another takes, and half its interval."""
    found = row(kept["differences"], name=name)
    return [found["mean"], found["margin"]]


def sides(kept: Mapping[str, Any], what: str, *names: str) -> Sequence[float]:
    """Return a figure of each side of a distillation."""
    return [row(kept["sides"], name=name)[what] for name in names]


def smaller(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return the student's share of its teacher's parameters, and both models' bits per byte."""
    many, few = sides(kept, "parameters", "teacher", "student")
    return [few / many, *sides(kept, "bits_per_byte", "student", "teacher")]


def in_bits(kept: Mapping[str, Any], field: str, *ways: str, trained: str = "exact") -> Sequence[float]:
    """Return a figure of the King James Bible's model as it was trained, for each way of keeping it."""
    return [row(kept["rows"], **ALONE, trained=trained, kept=way)[field] for way in ways]


def shares(kept: Mapping[str, Any], way: str) -> Sequence[float]:
    """Return bytes by those in float32: of weights, and of the whole file of the embedded text's model."""
    first, small = (row(kept["rows"], **MIXED, trained="exact", kept=one) for one in ("float32", way))
    return [small[field] / first[field] for field in ("weight_bytes", "file_bytes")]


def four_bits(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return bits per byte: exact weights, rounded afterwards, and trained for four bits."""
    exact = in_bits(kept, "bits_per_byte", "float32", "int4")
    return [*exact, *in_bits(kept, "bits_per_byte", "int4", trained="qat")]


THE_CHANGES = Topic(
    "Compression, growth, distillation and quantisation",
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
            "State of the Union's by `small` after 15 min: bits per byte · claimed · xz given the rest",
            LONGER_TRAINED.take(
                lambda kept: [
                    kept["rows"][0]["bits_per_byte"],
                    kept["rows"][0]["claim"],
                    kept["rows"][0]["added"]["xz"],
                ]
            ),
            "{:.3f} · {:.3f} · {:.3f}",
            Bar(
                "at most 1 % more than claimed, and below xz",
                lambda size, claimed, xz: size <= LONGER_AT_MOST * claimed and size < xz,
            ),
            ["bits per byte of the file · xz given the rest of the text | {0:.3f} · {2:.3f} |"],
        ),
        Claim(
            "… kB a second of processor time: compressing · giving back",
            COMPRESSION.take(speeds),
            "{:.1f} · {:.1f}",
            Bar("at least 3", lambda there, back: min(there, back) >= BAR_KB_PER_S),
            ["kB/s there · back | {0:.1f} · {1:.1f} |"],
        ),
        Claim(
            "10 MB of a text that it never saw, by `tiny` after a minute of another, and back again: bits "
            "per byte · claimed",
            LARGE_FILE.take(lambda kept: [kept["rows"][0]["bits_per_byte"], kept["rows"][0]["claim"]]),
            "{:.3f} · {:.3f}",
            Bar("at most 1 % more than claimed", lambda size, claimed: size <= LONGER_AT_MOST * claimed),
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
        Claim(
            "`tiny` grown by a layer, in width and by a layer, three seeds: share of the time to 2.5 bits "
            "per byte that is saved, against the same shape from the beginning",
            GROWTH.take(partial(saved_until, target=2.5)),
            "{:.0%} ± {:.0%}",
            Bar("at least 25 %", lambda mean, margin: mean - margin >= LEAST_SAVED),
        ),
        *(
            Claim(f"… to {target}", GROWTH.take(partial(saved_until, target=target)), "{:.0%} ± {:.0%}")
            for target in TARGETS
        ),
        *(
            Claim(
                f"rates of a model that grows, three minutes, {said}: bpb more than where they stay",
                GROWTH_RATES.take(partial(worse_by, name=name)),
                "{:+.3f} ± {:.3f}",
            )
            for name, said in RATES.items()
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
        Claim(
            "King James Bible, `small` without mixing: bits per byte with exact weights · kept as INT8",
            QUANTISATION.take(lambda kept: in_bits(kept, "bits_per_byte", "float32", "int8")),
            "{:.4f} · {:.4f}",
            Bar("at most 0.01 more", lambda exact, kept: kept <= exact + INT8_BPB),
        ),
        Claim(
            "… with exact weights · rounded to four bits afterwards · a fork with `qat` at half time",
            QUANTISATION.take(four_bits),
            "{:.4f} · {:.4f} · {:.4f}",
            Bar("the last at most 0.05 more", lambda exact, _after, qat: qat <= exact + INT4_BPB),
        ),
        Claim(
            "… greatest change of a logit by keeping what was trained for four bits in four",
            QUANTISATION.take(lambda kept: in_bits(kept, "logit_difference", "int4", trained="qat")),
            "{:g}",
            Bar("at most 0.001", lambda change: change <= MOST_LOGIT),
        ),
        Claim(
            "embedded text, `small`, INT8 bytes by those of float32: weights · the file with its counts",
            QUANTISATION.take(partial(shares, way="int8")),
            "{:.3f} · {:.3f}",
            Bar("at most 0.30", lambda *found: max(found) <= MOST_INT8),
        ),
        Claim(
            "… in four bits",
            QUANTISATION.take(partial(shares, way="int4")),
            "{:.3f} · {:.3f}",
            Bar("at most 0.18", lambda *found: max(found) <= MOST_INT4),
        ),
        Claim(
            "bytes a second of processor time drawn from a file in float32 · INT8 · four bits, "
            "King James Bible without mixing",
            QUANTISATION.take(lambda kept: in_bits(kept, "drawn_bytes_per_cpu_s", "float32", "int8", "int4")),
            "{:,.0f} · {:,.0f} · {:,.0f}",
            Bar("not slower (0.95 ×)", lambda exact, *kept: min(kept) >= NOT_SLOWER * exact),
        ),
        Claim(
            "what a model file gives back predicts what was written to the last bit; damage is an error",
            asserted_by(
                "tests/bitlm/test_model_file.py",
                "test_what_is_read_predicts_what_was_written_to_the_last_bit",
                "test_any_byte_changed_and_any_end_missing_is_an_error",
            ),
        ),
        Claim(
            "a run trained for four bits goes on bit for bit after a death, is replayed, and is the same in "
            "every memory mode",
            asserted_by(
                "tests/bitlm/training/test_latent.py",
                "test_a_run_goes_on_bit_for_bit_after_a_death_and_is_replayed",
                "test_memory_modes_are_the_same_bits",
            ),
        ),
    ],
)
