"""What is claimed of the core's speed, in training and in generation."""

from benchmarks.claim import Bar, Benchmark, Claim, Taken, Topic, row

TRAINING = Benchmark("training_speed", "python -m benchmarks.training_speed", 6)
GENERATION = Benchmark("generation_speed", "python -m benchmarks.generation_speed", 3)
STORE, RECOMPUTE, BIT = "BitLM store", "BitLM recompute", "BitLM, a position a bit"
LSH, FULL = "reformer-pytorch, LSH", "reformer-pytorch, full"


def trained(*sides: tuple[str, int]) -> Taken:
    """Return the source of bytes a second of training, of each side with so many threads."""
    return TRAINING.take(
        lambda kept: [row(kept["rows"], side=side, threads=threads)["bytes_per_s"] for side, threads in sides]
    )


def times_as_fast(side: str, other: str, least: float, readme: str = "") -> Claim:
    """Return the claim of how many times as fast as another one side trains, by processor time."""
    return Claim(
        f"training, {side} against {other}, one thread · two, by processor time",
        TRAINING.take(
            lambda kept: [
                row(kept["verdicts"], bar=f"{side} ≥ {least:g} × {other}", threads=threads)["cpu_ratio"]
                for threads in (1, 2)
            ]
        ),
        "{:.2f} × · {:.2f} ×",
        Bar(f"at least {least:g} ×", lambda one, two: min(one, two) >= least),
        [readme] if readme else [],
    )


def generated(batch: int, least: float, more: str = "") -> Claim:
    """Return the claim of how many times as fast as GPT-2 texts are generated, so many side by side."""
    return Claim(
        f"generation with the cache against GPT-2, {batch} side by side, one thread · two",
        GENERATION.take(
            lambda kept: [
                row(kept["rows"], model="BitLM", batch=batch, threads=threads)["ratio"] for threads in (1, 2)
            ]
        ),
        "{:.1f} × · {:.1f} ×",
        Bar(f"at least {least:g} ×{more}", lambda one, two: min(one, two) >= least),
    )


THE_SPEED = Topic(
    "The core: speed",
    [
        Claim(
            "bytes/s of training, 128 wide, 4 layers, 16 × 256 bytes, one thread · two: BitLM `store`",
            trained((STORE, 1), (STORE, 2)),
            "{:,.0f} · {:,.0f}",
            readme=["16 × 256 bytes, one thread · two: BitLM `store` | {:,.0f} · {:,.0f} |"],
        ),
        Claim(
            "… BitLM `recompute` · GPT-2 · x-transformers, one thread",
            trained((RECOMPUTE, 1), ("GPT-2", 1), ("x-transformers", 1)),
            "{:,.0f} · {:,.0f} · {:,.0f}",
            readme=[
                "| … BitLM `recompute` · GPT-2 · x-transformers, one thread | {:,.0f} · {:,.0f} · {:,.0f} |"
            ],
        ),
        Claim(
            "… reformer-pytorch with full attention · with LSH · BitLM with a position a bit, one thread",
            trained((FULL, 1), (LSH, 1), (BIT, 1)),
            "{:,.0f} · {:,.0f} · {:,.0f}",
            readme=["· BitLM with a position a bit, one thread | {:,.0f} · {:,.0f} · {:,.0f} |"],
        ),
        times_as_fast(
            STORE, "GPT-2", 1.2, "Training is {:.2f} (one thread) and {:.2f} times (two) as fast as GPT-2"
        ),
        times_as_fast(STORE, "x-transformers", 1),
        times_as_fast(RECOMPUTE, STORE, 0.75),
        times_as_fast(RECOMPUTE, LSH, 4),
        times_as_fast(RECOMPUTE, FULL, 4),
        times_as_fast(STORE, BIT, 12),
        Claim(
            "what a step with `recompute` takes longer than with `store`, one thread · two",
            TRAINING.take(
                lambda kept: [
                    100 / row(kept["rows"], side=RECOMPUTE, threads=threads)["cpu_ratio"] - 100
                    for threads in (1, 2)
                ]
            ),
            "{:.0f} % · {:.0f} %",
            Bar(
                "a fifth to a quarter, as the README says",
                lambda *longer: all(19.5 <= one < 25.5 for one in longer),
            ),
            ['* With `memory="recompute"` a step takes a fifth to a quarter longer.'],
        ),
        Claim(
            "bytes/s of one text · of 16 side by side, one thread (GPT-2 of the same shape by transformers)",
            GENERATION.take(
                lambda kept: [
                    row(kept["rows"], model=model, batch=batch, threads=1)["bytes_per_s"]
                    for model in ("BitLM", "GPT-2")
                    for batch in (1, 16)
                ]
            ),
            "{:,.0f} · {:,.0f} ({:,.0f} · {:,.0f})",
            readme=["(GPT-2 of the same shape by transformers: {2:,.0f} · {3:,.0f}) | {0:,.0f} · {1:,.0f} |"],
        ),
        generated(1, 4, " (reach for 10 ×)"),
        generated(16, 2),
        Claim(
            "texts that are the same bits alone, in a batch and with the window computed anew for every byte",
            GENERATION.take(lambda kept: [kept["identical_texts"], kept["settings"]["seeds"]]),
            "{} of {}",
            Bar("all, bit for bit", lambda same, all_of_them: same == all_of_them > 0),
            ["with the window computed anew for every byte | {} of {} |"],
        ),
    ],
)
