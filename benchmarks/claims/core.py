"""What is claimed of the core's memory and depth."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.claim import Bar, Benchmark, Claim, Taken, Topic, asserted_by, row

MIB = 2**20
DEPTHS = (4, 32, 128)
MEMORY = Benchmark("memory", "python -m benchmarks.memory", 15)
LONG = Benchmark("long_context", "python -m benchmarks.long_context", 12)
TELEMETRY = Benchmark("telemetry_overhead", "python -m benchmarks.telemetry_overhead --seconds 150", 4)
ACT = "python -m benchmarks.adaptive_depth"
DEEP = Benchmark("adaptive_depth", f"{ACT} --ponder-costs 0.0005", 15)
FOUR = f"{ACT} --layers 4 --steps 2000 --fewer-layers 2 --ponder-costs 0.0005 --thresholds 0.9 0.5 0.3 0.2"
SHALLOW = [
    Benchmark(name, f"{FOUR} --name {name}", 15)
    for name in ("adaptive_depth_4_layers", "adaptive_depth_4_layers_again")
]
ACT_BAR = Bar(
    "where it costs at most 0.02 bpb, at least 10 % (reach for 20 %)",
    lambda cost, evaluation: cost <= 0.02 and evaluation >= 10,
)


def kept(model: str, *depths: int) -> Taken:
    """Return the source of what a model keeps for the backward pass at these depths, in MiB."""
    return MEMORY.take(
        lambda kept: [row(kept["rows"], model=model, layers=depth)["kept_bytes"] / MIB for depth in depths]
    )


def cheapest_threshold(results: Mapping[str, Any], *times: str) -> Sequence[float]:
    """Return what the best threshold costs in bits per byte, and what it saves of these times, in percent."""
    without = row(results["rows"], model="without ACT")
    best = min(
        (one for one in results["rows"] if one["model"] == "ACT"), key=lambda one: one["bits_per_byte"]
    )
    cost = best["bits_per_byte"] - without["bits_per_byte"]
    return [cost, *(100 * (1 - best[name] / without[name]) for name in times)]


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
            "adaptive depth, 8 layers: bpb that the cheapest threshold costs; time of evaluation it saves",
            DEEP.take(lambda kept: cheapest_threshold(kept, "evaluation_ms")),
            "{:.3f}; {:.0f} %",
            ACT_BAR,
        ),
        Claim(
            "… and time of a text",
            DEEP.take(lambda kept: cheapest_threshold(kept, "generation_ms")[1:]),
            "{:.0f} %",
        ),
        *(
            Claim(
                f"adaptive depth, 4 layers, {which} run: bpb; time of evaluation",
                benchmark.take(lambda kept: cheapest_threshold(kept, "evaluation_ms")),
                "{:.3f}; {:.0f} %",
                ACT_BAR,
            )
            for which, benchmark in zip(("first", "second"), SHALLOW, strict=True)
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
