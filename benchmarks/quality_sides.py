"""The sides of the quality benchmark: compressors, counts, BitLM, and a transformer that predicts bytes."""

import bz2
import gzip
import lzma
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks.byte_transformer import ByteTransformer, nats_per_byte
from benchmarks.peers import PeerMissingError, peer
from bitlm.cli.train import ANNEAL_SHARE
from bitlm.data import Corpus, even_windows, windows
from bitlm.errors import HaltedError
from bitlm.model import ModelConfig
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.session import Anneal, RunStore, Session
from bitlm.training import Annealing, HybridOptimizer, TrainingConfig, learning_rate_factor
from bitlm.training.evaluation import overlapping_windows

VALIDATION_WINDOWS = 16
PPMD_MEMORY = 512 << 20
ZSTD_WINDOW_LOG = 27


def _zstd(data: bytes) -> bytes:
    library = peer("zstandard")
    settings = library.ZstdCompressionParameters.from_level(
        22, source_size=len(data), window_log=ZSTD_WINDOW_LOG, enable_ldm=True
    )
    compressed: bytes = library.ZstdCompressor(compression_params=settings).compress(data)
    return compressed


def _ppmd(order: int) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        encoder = peer("pyppmd").Ppmd7Encoder(order, PPMD_MEMORY)
        compressed: bytes = encoder.encode(data) + encoder.flush()
        return compressed

    return compress


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, compresslevel=9, mtime=0),
    "bzip2": lambda data: bz2.compress(data, compresslevel=9),
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "zstd": _zstd,
    "PPMd order 6": _ppmd(6),
    "PPMd order 8": _ppmd(8),
}


def compressed_bits_per_byte(corpus: Corpus) -> Iterator[tuple[str, float]]:
    """Yield each compressor and what the held-out tenth adds to its compressed training part.

    One that is not installed is left out, and said to be.
    """
    for name, compress in COMPRESSORS.items():
        try:
            added = len(compress(bytes(corpus.data))) - len(compress(bytes(corpus.train)))
        except PeerMissingError as error:
            print(f"{corpus.name}, {name}: not measured, {error}")
            continue
        yield name, 8 * added / len(corpus.held_out)


def counted_bits_per_byte(corpus: Corpus) -> Iterator[tuple[str, float]]:
    """Yield each order of the reference model fitted on the training part."""
    reference = ReferenceModel.fit(corpus.train)
    orders = reference.bits_per_byte_of_orders(corpus.held_out, history=corpus.train)
    for order, bits_per_byte in enumerate(orders):
        yield f"order {order}", bits_per_byte


class BusyClock:
    """Seconds a run would take on an idle machine, whatever else runs on this one.

    The greater of the processor time divided by the threads and of the calling thread's own processor time:
    that thread has a part in all parallel work and does all the rest, during which the others wait.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __call__(self) -> float:
        """Return the seconds since some moment."""
        return max(time.process_time() / self._threads, time.thread_time())


@dataclass(frozen=True)
class Setting:
    """What a model is made from.

    Attributes:
        corpus: The text.
        model: The shape.
        training: The recipe.
        threads: Threads to compute with.
        seed: Key of every draw.
        folder: An empty folder for what is written meanwhile.
    """

    corpus: Corpus
    model: ModelConfig
    training: TrainingConfig
    threads: int
    seed: int
    folder: Path


class Learning(Protocol):
    """A model that is trained step by step.

    Attributes:
        parameters: Its weights.
    """

    parameters: int

    def step(self) -> float | None:
        """Do one update; return a quick estimate of held-out bits per byte when one is due."""

    def anneal(self, steps: int) -> None:
        """Let the learning rate fall over the next steps."""

    def finish(self) -> None:
        """Do what a user waits for at the end."""

    def evaluate(self) -> dict[str, float]:
        """Return bits per byte of the held-out tenth by a `Figure`'s names; nothing is asked after it."""


class BitlmLearning:
    """BitLM as `bitlm train` trains it: a session, with its journal, validation, probes and checkpoints."""

    def __init__(self, setting: Setting) -> None:
        self._session = Session.create(
            RunStore(setting.folder),
            model=setting.model,
            training=setting.training,
            corpus=setting.corpus,
            seed=setting.seed,
            threads=setting.threads,
        )
        self.parameters = self._session.model.parameter_count

    def step(self) -> float | None:
        """Do one update; raises `HaltedError` if it is not finite."""
        return self._session.step().validation_bits_per_byte

    def anneal(self, steps: int) -> None:
        """Enter it in the journal."""
        self._session.apply(Anneal(steps=steps), source="session")

    def finish(self) -> None:
        """Write the last checkpoint."""
        self._session.save()

    def evaluate(self) -> dict[str, float]:
        """Measure, and close the run."""
        quality = {"bits_per_byte": self._session.evaluate()}
        if self._session.model.mixer is not None:
            quality["adapting_bits_per_byte"] = self._session.evaluate(adaptive=True)
        self._session.close()
        self._session.store.close()
        return quality


class SoftmaxLearning:
    """The byte transformer under BitLM's recipe: the same batches, optimizer, clipping and schedule."""

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        self._corpus = setting.corpus
        self._training = setting.training
        self._window = setting.model.window_bytes
        self._seed = setting.seed
        self._model = ByteTransformer(setting.model, seed=counter_seed(setting.seed, 0, "weights"))
        self._optimizer = HybridOptimizer(
            self._model,
            learning_rate=setting.training.learning_rate,
            matrix_learning_rate=setting.training.matrix_learning_rate,
            weight_decay=setting.training.weight_decay,
        )
        self._annealing: Annealing | None = None
        self._steps = 0
        self.parameters = sum(parameter.numel() for parameter in self._model.parameters())

    def step(self) -> float | None:
        """Do one update on the batch that BitLM's step of this number has."""
        draw = generator(self._seed, self._steps, "batch")
        text = windows(self._corpus.train, self._window, self._training.batch_size, draw)
        self._optimizer.zero_grad()
        nats_per_byte(self._model(text), text).mean().backward()  # type: ignore[no-untyped-call] # torch's
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._training.gradient_clip)
        if not torch.isfinite(norm):
            raise HaltedError(f"step {self._steps + 1} of the byte softmax: its gradient is not finite.")
        self._optimizer.set_learning_rate_factor(self._rate_factor())
        self._optimizer.step()
        self._steps += 1
        return None if self._steps % self._training.validation_interval else self._validate()

    def anneal(self, steps: int) -> None:
        """Begin now."""
        self._annealing = Annealing(self._steps, steps, self._rate_factor())

    def finish(self) -> None:
        """Do nothing: it keeps nothing."""

    def evaluate(self) -> dict[str, float]:
        """Measure on the windows that BitLM is measured on, each byte counted once."""
        bits = 0.0
        values = np.frombuffer(bytes(self._corpus.held_out), dtype=np.uint8)
        for starts, length, counted in overlapping_windows(len(values), self._window):
            text = torch.from_numpy(values[starts[:, None] + np.arange(length)])
            bits += float(self._bits(text)[:, -counted:].sum())
        return {"bits_per_byte": bits / len(self._corpus.held_out)}

    def _validate(self) -> float:
        text = even_windows(self._corpus.held_out, self._window, VALIDATION_WINDOWS)
        return float(self._bits(text)[:, self._window // 2 :].mean())

    @torch.no_grad()
    def _bits(self, text: UInt8[Tensor, "batch byte"]) -> Float[Tensor, "batch byte"]:
        return nats_per_byte(self._model(text).double(), text) / log(2)

    def _rate_factor(self) -> float:
        return learning_rate_factor(self._steps, self._training.warmup_steps, self._annealing)


def train(make: Callable[[Setting], Learning], setting: Setting, minutes: float) -> dict[str, Any]:
    """Make a model and train it for so many busy minutes, the learning rate falling over the second half.

    All that a user waits for counts, from counting the text to the last checkpoint; the evaluation does not.

    Returns:
        What a `Figure` says of a training, its bits per byte included.
    """
    clock = BusyClock(setting.threads)
    began, wall, cpu = clock(), time.monotonic(), time.process_time()
    learning = make(setting)
    first, budget, steps, annealing = clock(), 60 * minutes, 0, False
    curve: list[tuple[float, float]] = []
    while (now := clock()) - began < budget:
        if not annealing and steps and now - began >= (1 - ANNEAL_SHARE) * budget:
            annealing = True
            left = budget - (now - began)
            learning.anneal(max(1, round(steps * left / (now - first))))
        validation = learning.step()
        steps += 1
        if validation is not None:
            curve.append((round((clock() - began) / 60, 3), round(validation, 4)))
    learning.finish()
    spent = {
        "busy_s": round(clock() - began, 2),
        "wall_s": round(time.monotonic() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }
    return {
        **learning.evaluate(),
        "parameters": learning.parameters,
        "steps": steps,
        "bytes_seen": steps * setting.training.batch_size * setting.model.window_bytes,
        "curve": curve,
        **spent,
    }
