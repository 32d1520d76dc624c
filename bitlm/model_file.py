"""A model as one file: weights, the counts that are mixed in, shape and origin, as safetensors.

Weights are tensors `weights.NAME`; where they are quantised `weights.NAME.codes` and `weights.NAME.scales`.
The counts are `counts.…`, their words as xz makes them small: to a quarter. What else there is to say is JSON
in the file's metadata, with a hash over all.
"""

import json
import lzma
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bitlm.context_index import LEVELS
from bitlm.data import Text
from bitlm.errors import CheckpointError, ConfigError, ModelFileError
from bitlm.growth import receipt as measure
from bitlm.model import BitTransformer, ModelConfig
from bitlm.quantisation import (
    Groups,
    Precision,
    bits_of,
    dequantise,
    is_quantised,
    pack,
    quantise,
    unpack,
    with_weights,
)
from bitlm.quantisation.groups import NIBBLE_BITS
from bitlm.reference import ReferenceModel
from bitlm.session import RunStore, Session, TelemetrySettings
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.database import full_disk_named
from bitlm.session.durability import write_durably
from bitlm.session.recovery import telemetry_in_force
from bitlm.session.saved_model import saved_model
from bitlm.version import VERSION

LAYOUT = 1
ENTRY = "bitlm-model"
"""The one entry of the metadata: safetensors writes several in an order of its own at each call."""

WEIGHTS, COUNTS = "weights.", "counts."
CODES, SCALES = ".codes", ".scales"
WORDS = "words"

Tensors = dict[str, Tensor]


class Provenance(BaseModel):
    """Where a model comes from.

    Attributes:
        run_id: The run that trained it.
        step: Updates done.
        bytes_seen: Bytes trained on.
        corpus: Where its text came from, in words.
        corpus_fingerprint: SHA-256 of the text.
        telemetry: λ, floors and causal share that were in force.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    step: int
    bytes_seen: int
    corpus: str
    corpus_fingerprint: str
    telemetry: TelemetrySettings

    @classmethod
    def of(cls, session: Session) -> "Provenance":
        """Return where a session's model comes from."""
        return cls(
            run_id=session.run_id,
            step=session.step_count,
            bytes_seen=session.bytes_seen,
            corpus=session.config.corpus,
            corpus_fingerprint=session.config.corpus_fingerprint,
            telemetry=session.telemetry,
        )


class RoundingReceipt(BaseModel):
    """What keeping the weights in fewer bits changed; of each pair the first is before, the second after.

    Attributes:
        logit_difference: Greatest |difference| of two logits on the same bits; 0.0 is equal to the last bit.
        bits_per_byte: On held-out text.
        ms_per_byte: Processor time of predicting it.
        held_out_bytes: How much of it there was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    logit_difference: float
    bits_per_byte: tuple[float, float]
    ms_per_byte: tuple[float, float]
    held_out_bytes: int

    @classmethod
    def of(cls, model: BitTransformer, precision: Precision, held_out: Text) -> "RoundingReceipt":
        """Measure a model as it is, and with its weights kept so.

        Raises:
            CorpusError: The text is shorter than a window.
            MissingReferenceError: The model mixes counts in and has none.
        """
        found = measure(model, with_weights(model, precision), held_out)
        return cls(
            logit_difference=found.logit_difference,
            bits_per_byte=found.bits_per_byte,
            ms_per_byte=found.ms_per_byte,
            held_out_bytes=len(held_out),
        )


class _Record(BaseModel):
    """What the metadata says, beside the hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: int
    version: str
    config: dict[str, Any]
    precision: Precision
    provenance: Provenance | None
    receipt: RoundingReceipt | None


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        model: In evaluation mode, with its reference if it had one.
        precision: What its weights are kept as.
        provenance: Where it comes from; None of a model that no run trained.
        receipt: What keeping the weights so has changed; None where nobody measured it.
        version: The BitLM that wrote it.
        part_bytes: What each part takes in the file: embedding, trunk, head, … and counts.
    """

    model: BitTransformer
    precision: Precision
    provenance: Provenance | None
    receipt: RoundingReceipt | None
    version: str
    part_bytes: Mapping[str, int]

    @property
    def weight_bytes(self) -> int:
        """What weights take in the file, their scales included; counts left out."""
        return sum(taken for part, taken in self.part_bytes.items() if part != COUNTS.rstrip("."))


def save_model(
    model: BitTransformer,
    path: Path,
    *,
    precision: Precision = "float32",
    provenance: Provenance | None = None,
    receipt: RoundingReceipt | None = None,
) -> None:
    """Write a model as one file, which is whole or not there.

    What is read again predicts what `with_weights(model, precision)` does, to the last bit.

    Args:
        model: With its reference, if it mixes counts in or is to be judged by the gate.
        path: Where to; what is there is replaced.
        precision: What to keep the weights as.
        provenance: Where it comes from.
        receipt: What keeping the weights so changes, for whoever reads the file.

    Raises:
        ConfigError: There is no such precision.
        StorageFullError: It did not fit.
    """
    tensors = _stored(model.state_dict(), bits_of(precision))
    if model.reference is not None:
        tensors |= _stored_counts(model.reference)
    record = _Record(
        layout=LAYOUT,
        version=VERSION,
        config=asdict(model.config),
        precision=precision,
        provenance=provenance,
        receipt=receipt,
    ).model_dump(mode="json")
    entry = json.dumps({"record": record, "sha256": _digest(tensors, record)})
    with full_disk_named():
        write_durably(path, save(tensors, metadata={ENTRY: entry}))


def save_run(
    store: RunStore,
    run_id: str,
    path: Path,
    *,
    precision: Precision = "float32",
    step: int | None = None,
    receipts: Mapping[int, RoundingReceipt] = MappingProxyType({}),
) -> None:
    """Write a run's model as one file; nothing is computed with it.

    It may be called while another thread trains, or the run itself is trained.

    Args:
        store: Has the run.
        run_id: The run.
        path: As for `save_model`.
        precision: What to keep the weights as.
        step: Of the checkpoint; None for the newest that is whole, with the settings last in force.
        receipts: What was measured of keeping the weights so, by the checkpoint's step.

    Raises:
        RunNotFoundError: There is no such run.
        CheckpointError: No checkpoint is whole, or none of that step; or another version made it.
        CorpusError: Its text is missing or was changed.
        StorageFullError: It did not fit.
    """
    run, checkpoint = store.run(run_id), _checkpoint(store, run_id, step)
    state = checkpoint.state
    if step is None:
        telemetry = telemetry_in_force(store, run_id)
    else:
        telemetry = TelemetrySettings.model_validate(state["telemetry"])
    origin = Provenance(
        run_id=run_id,
        step=state["step"],
        bytes_seen=state["bytes_seen"],
        corpus=run.config.corpus,
        corpus_fingerprint=run.config.corpus_fingerprint,
        telemetry=telemetry,
    )
    model, _ = saved_model(store, run, checkpoint)
    save_model(model, path, precision=precision, provenance=origin, receipt=receipts.get(state["step"]))


def _checkpoint(store: RunStore, run_id: str, step: int | None) -> Checkpoint:
    if step is not None:
        return store.checkpoints.load(store.checkpoints.at(run_id, step))
    for _, loaded in store.checkpoints.good_ones(run_id):
        if not isinstance(loaded, CheckpointError):
            return loaded
    raise CheckpointError(f"no checkpoint of run {run_id!r} is whole; train it on, or save it, first.")


def load_model(path: Path) -> ModelFile:
    """Read what `save_model` wrote.

    Raises:
        ModelFileError: It cannot be read, is damaged, or no model file of this version.
    """
    tensors, entry = _read(path)
    try:
        told = json.loads(entry)
        record = told["record"]
        is_whole = told["sha256"] == _digest(tensors, record)
        layout = record["layout"]
    except (ValueError, LookupError, TypeError):
        is_whole, layout = False, LAYOUT
    if not is_whole:
        raise ModelFileError(f"the model file {str(path)!r} is damaged; fetch or copy it once more.")
    if layout != LAYOUT:
        raise ModelFileError(
            f"the model file {str(path)!r} has layout {layout} and this BitLM knows {LAYOUT}; "
            f"use BitLM {record.get('version')}, which wrote it."
        )
    try:
        known = _Record.model_validate(record)
        model = _model(known, tensors)
    except (ConfigError, ValidationError, LookupError, RuntimeError, lzma.LZMAError) as error:
        raise ModelFileError(
            f"the model file {str(path)!r} was written by BitLM {record.get('version')}, whose models are "
            f"not those of {VERSION}; use that one."
        ) from error
    told = (known.precision, known.provenance, known.receipt, known.version)
    return ModelFile(model, *told, _part_bytes(tensors))


def _read(path: Path) -> tuple[Tensors, str]:
    try:
        with safe_open(path, framework="pt") as file:
            entry = (file.metadata() or {}).get(ENTRY)
            if entry is not None:
                return {name: file.get_tensor(name) for name in file.keys()}, entry  # noqa: SIM118 - no mapping
    except OSError as error:
        raise ModelFileError(
            f"the model file {str(path)!r} cannot be read ({error.strerror or error}); check the path."
        ) from error
    except SafetensorError as error:
        raise ModelFileError(
            f"{str(path)!r} is no whole model file ({error}); give one that `bitlm save` wrote."
        ) from error
    raise ModelFileError(f"{str(path)!r} holds no model of BitLM; give a file that `bitlm save` wrote.")


def _digest(tensors: Tensors, record: dict[str, Any]) -> str:
    return sha256(save(tensors) + json.dumps(record, sort_keys=True).encode()).hexdigest()


def _stored(weights: Mapping[str, Tensor], bits: int | None) -> Tensors:
    """Return weights as they are kept."""
    tensors = {}
    for name, weight in weights.items():
        if bits is None or not is_quantised(name, weight):
            tensors[WEIGHTS + name] = weight.cpu().contiguous()
            continue
        codes, scales = quantise(weight.cpu(), bits)
        tensors[WEIGHTS + name + CODES] = pack(codes) if bits == NIBBLE_BITS else codes
        tensors[WEIGHTS + name + SCALES] = scales
    return tensors


def _model(record: _Record, tensors: Tensors) -> BitTransformer:
    """Return the model of a file; what does not fit raises one error or other."""
    known = {field.name for field in fields(ModelConfig)}
    if not record.config.keys() <= known:
        raise LookupError(*record.config.keys() - known)
    model, bits = BitTransformer(ModelConfig(**record.config)), bits_of(record.precision)
    weights = {}
    for name, weight in model.state_dict().items():
        place = WEIGHTS + name
        if bits is None or not is_quantised(name, weight):
            weights[name] = tensors[place]
            continue
        codes = tensors[place + CODES]
        groups = Groups(unpack(codes) if bits == NIBBLE_BITS else codes, tensors[place + SCALES])
        weights[name] = dequantise(groups, weight.shape)
    model.load_state_dict(weights)
    if COUNTS + WORDS in tensors:
        model.reference = _counts(tensors)
    return model.eval()


def _stored_counts(reference: ReferenceModel) -> Tensors:
    """Return counts as they are kept."""
    counts = reference.tensors()
    counts[WORDS] = np.frombuffer(lzma.compress(counts[WORDS].tobytes()), dtype=np.uint8)
    return {COUNTS + name: torch.tensor(values) for name, values in counts.items()}


def _counts(tensors: Tensors) -> ReferenceModel:
    """Return the counts of a file."""
    counts = {name.removeprefix(COUNTS): tensors[name].numpy() for name in tensors if name.startswith(COUNTS)}
    words = np.frombuffer(lzma.decompress(counts[WORDS].tobytes()), dtype=np.uint64)
    return ReferenceModel.of_tensors(counts | {WORDS: words.reshape(LEVELS, -1)})


def _part_bytes(tensors: Tensors) -> dict[str, int]:
    taken: dict[str, int] = {}
    for name, tensor in tensors.items():
        kind, part, *_ = name.split(".")
        part = kind if name.startswith(COUNTS) else part
        taken[part] = taken.get(part, 0) + tensor.nbytes
    return taken
