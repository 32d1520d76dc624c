"""What tells one model from another, and a machine that computes as another does from one that does not."""

import json
from dataclasses import fields
from hashlib import blake2b

from bitlm.compression.coder_kernels import probabilities_of_ones
from bitlm.errors import MissingReferenceError
from bitlm.generation import Reader
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.context_reader import plain_array

MODEL_HASH_BYTES = 6
PROBE_HASH_BYTES = 4

OF_TRAINING = frozenset({"dropout", "memory"})
"""Settings of a model that no prediction depends on."""

PROBE = bytes(range(256))
"""The probe's histories side by side: every byte is in one."""
PROBE_ROWS = 8


def model_hash(model: BitTransformer) -> bytes:
    """Return a hash of all that decides the predictions: configuration, weights, and the counts mixed in.

    Raises:
        MissingReferenceError: Counts are to be mixed in, and there are none.
    """
    digest = blake2b(json.dumps(_chosen(model.config)).encode(), digest_size=MODEL_HASH_BYTES)
    for name, weight in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(plain_array(weight).tobytes())
    if model.mixer is not None:
        if model.reference is None:
            raise MissingReferenceError
        index = model.reference.index
        digest.update(index.length.to_bytes(8, "little") + index.matrix.words.tobytes())
    return digest.digest()


def _chosen(config: ModelConfig) -> dict[str, object]:
    """Return the settings of predictions that are not what they are by default.

    So a setting that a later version adds, which is by default as if there were none, changes no hash.
    """
    return {
        field.name: getattr(config, field.name)
        for field in sorted(fields(config), key=lambda field: field.name)
        if field.name not in OF_TRAINING and getattr(config, field.name) != field.default
    }


def probe_hash(model: BitTransformer) -> bytes:
    """Return a hash of what the model predicts, on this machine, after some fixed histories."""
    each = len(PROBE) // PROBE_ROWS
    reader = Reader(model, [PROBE[begin : begin + each] for begin in range(0, len(PROBE), each)])
    probabilities = probabilities_of_ones(reader.trees())
    return blake2b(probabilities.tobytes(), digest_size=PROBE_HASH_BYTES).digest()
