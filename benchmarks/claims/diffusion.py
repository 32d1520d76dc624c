"""What is claimed of text by denoising: its bound beside the causal code, and what its texts are like."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Topic, asserted_by, row

DIFFUSION = Benchmark(
    "diffusion",
    "python -m benchmarks.diffusion --minutes 15 --only causal diffusion-block4 mixed-block4",
    75,
)
UNITS = Benchmark(
    "diffusion_units",
    "python -m benchmarks.diffusion --minutes 5 --only diffusion-byte diffusion-bit --name diffusion_units",
    60,
)
SOME_WORDS = 60


def side(kept: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what was measured of a side in fifteen minutes on the King James Bible."""
    return row(kept["rows"], side=name, corpus="kjv", minutes=15.0, size="small")


def bound(kept: Mapping[str, Any], name: str) -> Sequence[float]:
    """Return a side's bound by either estimator with its interval's reach, and the causal twin's code."""
    found = side(kept, name)
    twin = side(kept, "causal")["bits_per_byte"]
    return [*found["bound_by_time"], *found["bound_by_count"], twin]


def agree(time: float, within: float, count: float, also: float, _twin: float) -> bool:
    """Return whether either estimator lies within the other's interval."""
    return abs(time - count) <= max(within, also)


def beside(kept: Mapping[str, Any], name: str) -> Sequence[float]:
    """Return by how much in percent a side's bound is above the causal twin's code."""
    return [100 * (side(kept, name)["bound_by_count"][0] / side(kept, "causal")["bits_per_byte"] - 1)]


def mixed_costs(kept: Mapping[str, Any], name: str) -> Sequence[float]:
    """Return what a mixed model's causal code is, and in percent how far above the twin's."""
    reached, twin = side(kept, name)["bits_per_byte"], side(kept, "causal")["bits_per_byte"]
    return [reached, 100 * (reached / twin - 1)]


def units(kept: Mapping[str, Any]) -> Sequence[float]:
    """Return the bound by count, and its interval's reach, of masking whole bytes and of masking bits."""
    found = [row(kept["rows"], side=f"diffusion-{unit}", minutes=5.0) for unit in ("byte", "bit")]
    return [number for one in found for number in one["bound_by_count"]]


def words(kept: Mapping[str, Any], name: str, sampler: str, steps: int) -> Sequence[float]:
    """Return in percent the share of known words and in bits the entropy of bytes, and those of the twin."""
    found, (twin,) = (
        row(side(kept, name)["texts"], sampler=sampler, steps=steps),
        side(kept, "causal")["texts"],
    )
    return [number for one in (found, twin) for number in (100 * one["words_known"], one["entropy_bits"])]


THE_DIFFUSION = Topic(
    "Text by denoising",
    [
        Claim(
            "King James Bible, `small` without mixing, 15 min of one core, blocks of 4: bound by time · by "
            "count · the causal twin's code",
            DIFFUSION.take(lambda kept: bound(kept, "diffusion-block4")),
            "{:.3f} ± {:.3f} · {:.3f} ± {:.3f} · {:.3f}",
            Bar("the two estimators agree within their 95 % interval", agree),
            ["bits per byte at most · its causal twin | {2:.2f} ± {3:.2f} · {4:.2f} |"],
        ),
        Claim(
            "… that bound above the twin's code",
            DIFFUSION.take(lambda kept: beside(kept, "diffusion-block4")),
            "{:.0f} %",
            Bar("at most 30 % (reach for 15 %)", lambda above: above <= 30),
        ),
        Claim(
            "… what mixed training makes of the causal code; above the twin's",
            DIFFUSION.take(lambda kept: mixed_costs(kept, "mixed-block4")),
            "{:.3f}; {:.1f} %",
            Bar("at most 5 %", lambda _reached, above: above <= 5),
        ),
        Claim(
            "… words of texts denoised in 4 steps a block, the surest first, that are known, and the entropy "
            "of their bytes · the twin's",
            DIFFUSION.take(lambda kept: words(kept, "diffusion-block4", "confidence", 4)),
            "{:.0f} %, {:.2f} bits · {:.0f} %, {:.2f} bits",
            Bar("at least 60 %", lambda known, _entropy, *_twin: known >= SOME_WORDS),
            ["of its texts' words are known · of the twin's | {0:.0f} % · {2:.0f} % |"],
        ),
        Claim(
            "… in 8 steps a block, any first, which is what the bound is of",
            DIFFUSION.take(lambda kept: words(kept, "diffusion-block4", "ancestral", 8)),
            "{:.0f} %, {:.2f} bits · {:.0f} %, {:.2f} bits",
        ),
        Claim(
            "King James Bible, `small`, 5 min of one core, whole windows: bound, bytes masked · bits masked",
            UNITS.take(units),
            "{:.2f} ± {:.2f} · {:.2f} ± {:.2f}",
        ),
        Claim(
            "on three bits of chance the bound is the enumerated one, and samples have the distribution (χ²)",
            asserted_by(
                "tests/bitlm/training/test_bound.py",
                "test_three_bits_of_chance_are_learned_bounded_and_sampled",
                "test_both_estimators_have_the_exact_bound_as_their_mean",
            ),
        ),
        Claim(
            "filling in keeps every byte that is given",
            asserted_by(
                "tests/bitlm/diffusion/test_inference.py",
                "test_a_template_is_filled_in_and_what_was_given_is_kept",
            ),
        ),
    ],
)
