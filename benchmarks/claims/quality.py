"""What is claimed of the core's quality: bits per byte after so many minutes, beside compressors."""

from collections.abc import Iterator

from benchmarks.claim import Asked, Bar, Benchmark, Claim, Quality, Topic
from benchmarks.quality_record import BARS, MIXING, NO_MIXING, SOFTMAX

QUALITY = Benchmark(
    "quality", "python -m benchmarks.quality --corpus kjv sotu --preset base --threads 1", 220
)
TITLES = {"kjv": "King James Bible", "sotu": "State of the Union"}
COMPRESSORS = ("gzip", "xz", "bzip2", "PPMd order 6", "PPMd order 8")
ADAPTING = "adapting_bits_per_byte"
COUNTS = (("fixed", "bits_per_byte"), ("adapting", ADAPTING))


def compressors() -> Claim:
    """Return the claim of what the compressors reach."""
    five = " · ".join(["{:.2f}"] * 5)
    asked = [Asked(corpus, side) for corpus in TITLES for side in COMPRESSORS]
    return Claim(
        f"{' · '.join(COMPRESSORS)}, bits per byte; {' | '.join(TITLES.values())}",
        Quality(QUALITY, asked),
        f"{five} | {five}",
        readme=[f"| gzip · xz · bzip2 · PPMd order 6 · order 8 | {five} | {five} |"],
    )


def course(says: str, side: str, minutes: tuple[int, ...], field: str, bold: str) -> Claim:
    """Return the claim of a side's figures after several budgets, as the README's table has them.

    Args:
        says: How the README's row begins.
        side: A model.
        minutes: The budgets.
        field: Which number of a figure.
        bold: For either text a letter a budget, `b` where the README prints it bold.
    """
    cells = [
        " · ".join("**{:.2f}**" if letter == "b" else "{:.2f}" for letter in letters)
        for letters in bold.split()
    ]
    asked = [Asked(corpus, side, budget, "base", field) for corpus in TITLES for budget in minutes]
    return Claim(
        f"{says}, bits per byte; {' | '.join(TITLES.values())}",
        Quality(QUALITY, asked),
        " | ".join(cells).replace("**", ""),
        readme=[f"| {says} | {' | '.join(cells)} |"],
    )


def size(name: str, minutes: tuple[int, ...]) -> Claim:
    """Return the claim of what a size reaches on the King James Bible after each budget."""
    command = f"python -m benchmarks.quality --corpus kjv --preset {name} --only mixing --threads 1"
    measured = Benchmark("quality", f"{command} --budgets {' '.join(map(str, minutes))}", 2 * sum(minutes))
    cells = " · ".join(["{:.2f}"] * len(minutes))
    return Claim(
        f"King James Bible, `{name}`, after {' · '.join(map(str, minutes))} minutes of one core",
        Quality(measured, [Asked("kjv", MIXING, budget, name) for budget in minutes]),
        cells,
        readme=[f"| `{name}`, {' · '.join(map(str, minutes))} minutes | {cells} |"],
    )


def bars() -> Iterator[Claim]:
    """Yield every bar of `benchmarks.quality_record` for either text, with counts fixed and adapting."""
    for bar in BARS:
        for corpus, title in TITLES.items():
            for counts, field in COUNTS if bar.side == MIXING else COUNTS[:1]:
                told = f", counts {counts}" if bar.side == MIXING else ""
                reached = Asked(corpus, bar.side, bar.minutes, "base", field)
                yield Claim(
                    f"{title}, {bar.side}{told}, {bar.minutes:g} min of one core, beside {bar.below}",
                    Quality(QUALITY, [reached, Asked(corpus, bar.below)]),
                    "{:.3f} against {:.3f}",
                    Bar(f"below {bar.below}", lambda reached, needed: reached < needed),
                )


THE_QUALITY = Topic(
    "The core: quality",
    [
        compressors(),
        course("BitLM without mixing, 2 · 7 · 15 minutes", NO_MIXING, (2, 7, 15), "bits_per_byte", "nnb nnn"),
        course(
            "BitLM with mixing, 1 · 3 · 5 · 20 minutes", MIXING, (1, 3, 5, 20), "bits_per_byte", "nnnb nnnn"
        ),
        course(
            "… counts adapting, as those of bzip2 and PPMd do", MIXING, (1, 3, 5, 20), ADAPTING, "nnnb nnnb"
        ),
        course(
            "a byte-softmax GPT of equal size, 2 · 15 minutes", SOFTMAX, (2, 15), "bits_per_byte", "nn nn"
        ),
        Claim(
            "size of `base`; of the two texts",
            Quality(
                QUALITY,
                [
                    Asked("kjv", MIXING, 20, "base", "parameters"),
                    Asked("kjv", "gzip", field="corpus_bytes"),
                    Asked("sotu", "gzip", field="corpus_bytes"),
                ],
            ),
            "{:,} parameters; {:,} · {:,} bytes",
        ),
        size("tiny", (1, 5, 15, 60)),
        size("small", (1, 5, 15, 60)),
        size("base", (1, 5, 20, 60)),
        *bars(),
    ],
)
