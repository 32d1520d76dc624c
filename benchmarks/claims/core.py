"""What is claimed of the core's memory and depth."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Taken, Topic, asserted_by, row

MIB = 2**20
DEPTHS = (4, 32, 128)
MEMORY = Benchmark("memory", "python -m benchmarks.memory", 15)
LONG = Benchmark("long_context", "python -m benchmarks.long_context", 12)
CORPUS = Benchmark("corpus_memory", "python -m benchmarks.corpus_memory", 4)
TELEMETRY = Benchmark("telemetry_overhead", "python -m benchmarks.telemetry_overhead --seconds 150", 4)
ACT = Benchmark("adaptive_depth", "python -m benchmarks.adaptive_depth", 18)
MOST_COST = 0.02
ACT_BAR = Bar(
    "for at most 0.02 bpb at least 10 % (reach for 20 %)",
    lambda cost, evaluation, text: cost <= MOST_COST and min(evaluation, text) >= 10,
)
HALTING = "{:+.3f}; {:.0f} % · {:.0f} %"


def kept(model: str, *depths: int) -> Taken:
    """Return the source of what a model keeps for the backward pass at these depths, in MiB."""
    return MEMORY.take(
        lambda kept: [row(kept["rows"], model=model, layers=depth)["kept_bytes"] / MIB for depth in depths]
    )


def halting(results: Mapping[str, Any], **which: Any) -> Sequence[float]:
    """Return a model's bits per byte less those of full depth, and what it saves of the times, in percent.

    Without `which` it is the one that saves most of an evaluation at a cost of at most MOST_COST.
    """
    full, rows = row(results["rows"], model="without ACT"), results["rows"]
    affordable = [
        one
        for one in rows
        if one["model"] == "ACT" and one["bits_per_byte"] - full["bits_per_byte"] <= MOST_COST
    ]
    found = row(rows, **which) if which else min(affordable, key=lambda one: one["evaluation_ms"])
    saved = (100 * (1 - found[name] / full[name]) for name in ("evaluation_ms", "generation_ms"))
    return [found["bits_per_byte"] - full["bits_per_byte"], *saved]


def with_fewer(layers: int) -> Taken:
    """Return the source of what `halting` says of a model that has fewer layers from the beginning."""
    return ACT.take(lambda kept: halting(kept, model=f"without, {layers} layers"))


def growth(results: Mapping[str, Any]) -> Sequence[float]:
    """Return how many times as much 18,000 bits keep and peak at as 2,250, a bit a position, in chunks."""
    short, long = (
        row(results["rows"], attention="chunked", patch_bits=1, length_bits=bits) for bits in (2250, 18000)
    )
    return [long[name] / short[name] for name in ("kept_bytes", "peak_bytes")]


def differences(results: Mapping[str, Any], of: str) -> Sequence[float]:
    """Return the greatest difference between chunks that cover everything and full attention."""
    found = [value for name, value in results["difference_where_all_is_seen"].items() if name.endswith(of)]
    return [max(found)]


THE_MEMORY = Topic(
    "The core: memory, depth, length",
    [
        Claim(
            "inversion error and difference of the gradients between `store` and `recompute` "
            "at 4, 32 and 128 layers, dropout on",
            MEMORY.take(
                lambda kept: [
                    max(row(kept["exactness"], layers=depth)[name] for depth in DEPTHS)
                    for name in ("inversion_error", "gradient_agreement")
                ]
            ),
            "{} and {}",
            Bar("exactly 0.0, gradients bitwise equal", lambda error, difference: error == difference == 0),
            ["| inversion error at 4, 32 and 128 layers, dropout on | {}, and gradients equal bit for bit |"],
        ),
        Claim(
            "kept for the backward pass at 4 · 128 layers: BitLM `recompute`",
            kept("BitLM recompute", *DEPTHS),
            "{0:.1f} MB · {2:.1f} MB",
            Bar("the same from 4 to 128 layers", lambda *kept: len(set(kept)) == 1),
            ["| kept for the backward pass at 4 · 128 layers: BitLM `recompute` | {0:.1f} MB · {2:.1f} MB |"],
        ),
        Claim(
            "… BitLM `checkpoint`",
            kept("BitLM checkpoint", 4, 128),
            "{:.1f} MB · {:.0f} MB",
            readme=["| … BitLM `checkpoint` | {:.1f} MB · {:.0f} MB |"],
        ),
        Claim(
            "… a plain transformer (and BitLM `store`)",
            kept("plain transformer", 4, 128),
            "{:.0f} MB · {:,.0f} MB",
            readme=["| … a plain transformer (and BitLM `store`) | {:.0f} MB · {:,.0f} MB |"],
        ),
        Claim(
            "… a plain transformer with `torch.utils.checkpoint`",
            kept("plain, checkpointed", 4, 128),
            "{:.1f} MB · {:.0f} MB",
            readme=["| … a plain transformer with `torch.utils.checkpoint` | {:.1f} MB · {:.0f} MB |"],
        ),
        Claim(
            "peak of a training process beyond weights, gradients and optimizer, 4 · 32 · 128 layers, "
            "`recompute`",
            MEMORY.take(
                lambda kept: [row(kept["peaks"], layers=depth)["beyond_bytes"] / MIB for depth in DEPTHS]
            ),
            "{:.0f} · {:.0f} · {:.0f} MB",
            Bar("flat within 15 %", lambda *peaks: max(peaks) <= 1.15 * min(peaks)),
            ["4 · 32 · 128 layers, `recompute` | {:.0f} · {:.0f} · {:.0f} MB |"],
        ),
        Claim(
            "layers that train in 2 GB: BitLM `recompute`; GPT-2 without · with its checkpointing",
            MEMORY.take(
                lambda kept: [
                    row(kept["depths"], model=model)["layers"]
                    for model in ("BitLM recompute", "GPT-2", "GPT-2, checkpointed")
                ]
            ),
            "{}; {} · {}",
            Bar("at least 5 × GPT-2's", lambda ours, theirs, _: ours >= 5 * theirs),
            [
                "| layers that train in 2 GB, 128 wide, 4 × 512 bytes: BitLM `recompute` | {0} |",
                "| … Hugging Face's GPT-2, without · with its checkpointing | {1} · {2} |",
            ],
        ),
        Claim(
            "peak of a process, 40 MB of packed text to the first 10 MB of it: build · train · evaluate",
            CORPUS.take(lambda kept: [kept["ratios"][command] for command in ("build", "train", "evaluate")]),
            "{:.3f} · {:.3f} · {:.3f}",
            Bar("within 5 %", lambda *ratios: all(0.95 <= ratio <= 1.05 for ratio in ratios)),
        ),
        Claim(
            "18,000 bits against 2,250, in chunks, a bit a position: bytes kept · peak of memory",
            LONG.take(growth),
            "{:.1f} × · {:.1f} ×",
            Bar(
                "peak linear in length: 8 ×, at most a quarter more",
                lambda bytes_kept, peak: bytes_kept <= 8.1 and peak <= 10,
            ),
        ),
        Claim(
            "chunks that cover everything against full attention: greatest difference of the output",
            LONG.take(lambda kept: differences(kept, "output")),
            "{:.1e}",
            Bar("within 1e-5", lambda difference: difference <= 1e-5),
        ),
        Claim(
            "… of the gradients, which the bar does not speak of",
            LONG.take(lambda kept: differences(kept, "gradients")),
            "{:.1e}",
        ),
        Claim(
            "adaptive depth, 16 layers: bpb that it costs; time of an evaluation · of a text that it saves",
            ACT.take(halting),
            HALTING,
            ACT_BAR,
            ["saves {1:.0f} % of an evaluation's time and {2:.0f} % of a text's for {0:.3f} bpb"],
        ),
        Claim(
            "… at the default price, budget and threshold",
            ACT.take(
                lambda kept: halting(kept, model="ACT", ponder_cost=0.005, ponder_budget=0.75, threshold=0.5)
            ),
            HALTING,
        ),
        *(
            Claim(
                f"… with {layers} layers from the beginning, and no adaptive depth",
                with_fewer(layers),
                HALTING,
            )
            for layers in (12, 8)
        ),
        Claim(
            "at a low threshold positions halt before the last layer",
            asserted_by(
                "tests/bitlm/model/test_halting.py",
                "test_a_low_threshold_lets_positions_halt_before_the_last_layer",
            ),
        ),
        Claim(
            "what telemetry takes of a step at the default settings, by the clock · of processor time",
            TELEMETRY.take(
                lambda kept: [100 * row(kept["rows"], what="all")[name] for name in ("wall", "cpu")]
            ),
            "{:.1f} % · {:.1f} %",
            Bar("below 2 %", lambda wall, cpu: max(wall, cpu) < 2),
            ["| what telemetry takes at the default settings | {:.1f} % of a step |"],
        ),
    ],
)
