"""How fast is text, and is it the same without the cache? Prints a table, writes it to results/.

BitLM's `generate` and `generate_batch` beside `generate` of a GPT-2 of the same shape with a byte vocabulary
(Hugging Face transformers, key-value cache, sampling), both untrained, in turns: what slows one down slows
the other. The ratio is of medians of processor time, which other programs disturb less than the clock. Then
texts of several seeds with the cache, alone and in a batch, and with the window computed anew for every byte.

`.venv/bin/python -m pip install -r benchmarks/requirements.txt`, then `python -m benchmarks.generation_speed`
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32, Int64

from benchmarks.peers import gpt2, peer
from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits
from bitlm.generation import collect, generate, generate_batch
from bitlm.model import BitTransformer, DecodingCache, ModelConfig

PROMPT = b"\n"
LIVELINESS = 20.0
"""Factor on a fresh head's weights, so that untrained bytes depend on those before them."""


@dataclass(frozen=True)
class Row:
    """One line of the table, medians of its repeats.

    Attributes:
        threads: Torch's.
        batch: Texts side by side.
        model: Whose.
        bytes_per_s: All texts' bytes by the clock.
        bytes_per_cpu_s: By processor time, of all threads.
        ratio: Processor time of GPT-2 by this one's.
        clock_ratio: The same by the clock.
    """

    threads: int
    batch: int
    model: str
    bytes_per_s: float
    bytes_per_cpu_s: float
    ratio: float
    clock_ratio: float


class Forgetful:
    """A cache that keeps nothing but the bytes: each tree is computed from the window's beginning."""

    def __init__(self, cache: DecodingCache) -> None:
        self._cache = cache
        self.clear()

    def clear(self) -> None:
        """Begin another window."""
        self._seen = np.zeros((self._cache.batch, 0), dtype=np.int64)

    def read(self, values: Int64[np.ndarray, "batch patch"]) -> Float32[np.ndarray, "batch node"]:
        """Take in the next patches; return the tree after them."""
        self._seen = np.concatenate([self._seen, values], axis=1)
        self._cache.clear()
        return self._cache.read(self._seen)


class WithoutCache(BitTransformer):
    """The same model, which computes its whole window anew for every tree."""

    def new_cache(self, batch: int = 1) -> DecodingCache:
        """Return what stands in for a cache."""
        return cast("DecodingCache", Forgetful(super().new_cache(batch)))


def lively(model: BitTransformer) -> BitTransformer:
    """Return the model with a head that is not nearly indifferent."""
    with torch.no_grad():
        model.head.weight.mul_(LIVELINESS)
    return model.eval()


def gpt2_texts(model: Any, batch: int, count: int) -> None:
    """Sample texts as its users do."""
    prompt = torch.tensor([list(PROMPT)] * batch)
    texts = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=count,
        do_sample=True,
        top_k=0,
        use_cache=True,
    )
    assert texts.shape == (batch, len(PROMPT) + count)


def bitlm_texts(model: BitTransformer, batch: int, count: int) -> None:
    """Sample texts by the public functions."""
    prompt = bytes_to_bits(PROMPT)
    if batch == 1:
        samples = [collect(generate(model, prompt, max_new_bytes=count), parity=False)]
    else:
        samples = generate_batch(model, [prompt] * batch, seeds=range(batch), max_new_bytes=count)
    assert [len(sample.data) for sample in samples] == [count] * batch


def measure(threads: int, batch: int, options: argparse.Namespace) -> list[Row]:
    """Return the two rows of one batch size: GPT-2's and ours, timed in turns."""
    torch.set_num_threads(threads)
    config = model_config(options)
    theirs, ours = gpt2(config, generates=True).eval(), lively(BitTransformer(config))
    texts: dict[str, Callable[[int], None]] = {
        "GPT-2": lambda count: gpt2_texts(theirs, batch, count),
        "BitLM": lambda count: bitlm_texts(ours, batch, count),
    }
    for run in texts.values():
        run(4)
    clock: dict[str, list[float]] = {name: [] for name in texts}
    processor: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(options.repeats):
        for name, run in texts.items():
            before = time.perf_counter(), time.process_time()
            run(options.bytes)
            clock[name].append(time.perf_counter() - before[0])
            processor[name].append(time.process_time() - before[1])
    total = batch * options.bytes
    return [
        Row(
            threads=threads,
            batch=batch,
            model=name,
            bytes_per_s=total / median(clock[name]),
            bytes_per_cpu_s=total / median(processor[name]),
            ratio=median(processor["GPT-2"]) / median(processor[name]),
            clock_ratio=median(clock["GPT-2"]) / median(clock[name]),
        )
        for name in texts
    ]


def model_config(options: argparse.Namespace) -> ModelConfig:
    """Return BitLM's configuration of the shape."""
    return ModelConfig(
        d_model=options.width,
        nhead=options.heads,
        num_layers=options.layers,
        dim_feedforward=4 * options.width,
        max_seq_len=8 * options.positions,
    )


def identical_texts(options: argparse.Namespace) -> int:
    """Return for how many seeds the text is the same bits alone, in a batch and without the cache."""
    torch.set_num_threads(1)
    config, prompt = model_config(options), bytes_to_bits(PROMPT)
    cached, uncached = lively(BitTransformer(config)), lively(WithoutCache(config))
    count, seeds = options.bytes, range(options.seeds)
    batch = generate_batch(cached, [prompt] * options.seeds, seeds=seeds, max_new_bytes=count)
    identical = 0
    for seed, in_batch in zip(seeds, batch, strict=True):
        texts = [
            collect(generate(model, prompt, max_new_bytes=count, seed=seed), parity=False)
            for model in (cached, uncached)
        ]
        identical += all(
            text.data == in_batch.data and torch.equal(text.probabilities, in_batch.probabilities)
            for text in texts
        )
    return identical


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--positions", type=int, default=256, help="bytes of context")
    parser.add_argument("--bytes", type=int, default=240, help="length of each text")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each, in turns")
    parser.add_argument("--seeds", type=int, default=5, help="texts compared with and without the cache")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    print(f"{options.bytes} bytes a text, width {options.width}, {options.layers} layers")
    print(f"{'threads':>7}{'batch':>7}  {'model':7}{'bytes/s':>9}{'/CPU s':>9}{'ratio':>7}{'by clock':>10}")
    rows: list[Row] = []
    for threads in options.threads:
        for batch in options.batches:
            rows += measure(threads, batch, options)
            for row in rows[-2:]:
                print(
                    f"{row.threads:7}{row.batch:7}  {row.model:7}{row.bytes_per_s:9.0f}"
                    f"{row.bytes_per_cpu_s:9.0f}{row.ratio:7.2f}{row.clock_ratio:10.2f}",
                    flush=True,
                )
    identical = identical_texts(options)
    print(f"the same bits alone, in a batch and without the cache: {identical} of {options.seeds} texts")
    _write(options, rows, identical)


def _write(options: argparse.Namespace, rows: list[Row], identical: int) -> None:
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    keep(
        options.output,
        "generation_speed",
        by=__file__,
        settings=settings,
        peer=f"transformers {peer('transformers').__version__}",
        rows=[asdict(row) for row in rows],
        identical_texts=identical,
    )


if __name__ == "__main__":
    main()
