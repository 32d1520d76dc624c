import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bitlm.compression.identity import model_hash
from bitlm.data import Corpus
from bitlm.errors import ModelFileError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model_file import RoundingReceipt, load_model, save_model
from bitlm.quantisation import PRECISIONS, Precision, with_weights
from bitlm.reference import ReferenceModel

SHAPE: dict[str, Any] = {
    "d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 288,
    "mixing": "reference", "mixing_order": 4,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "bytes": {"ngram_order": 3, "ngram_slots": 64, "recall": True, "parity": True},
    "bits": {"patch_bits": 1, "mixing": "none"},
    "denoising": {"objective": "mixed", "use_act": True, "num_layers": 3, "nhead": 3, "head_width": 4},
}


@pytest.fixture(scope="module")
def reference(corpus: Corpus) -> ReferenceModel:
    return ReferenceModel.fit(corpus.train)


@pytest.fixture(scope="module")
def model(reference: ReferenceModel) -> BitTransformer:
    made = BitTransformer(ModelConfig(**SHAPE), seed=1).eval()
    made.reference = reference
    return made


@pytest.fixture(scope="module")
def file(model: BitTransformer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "model.safetensors"
    save_model(model, path, precision="int8")
    return path


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_predicts_what_was_written_to_the_last_bit(
    kind: str, precision: Precision, reference: ReferenceModel, tmp_path: Path
) -> None:
    model = BitTransformer(ModelConfig(**SHAPE | KINDS[kind]), seed=2).eval()
    model.reference = reference
    path = tmp_path / "model.safetensors"
    save_model(model, path, precision=precision)
    kept = load_model(path)
    # The hash is over configuration, weights and counts; what is rounded is `with_weights`'s business.
    assert model_hash(kept.model) == model_hash(with_weights(model, precision))
    assert (kept.model.config, kept.precision, kept.model.training) == (model.config, precision, False)
    assert kept.model.reference is not None
    assert kept.model.reference.bits_per_byte(b"The manual") == reference.bits_per_byte(b"The manual")


def test_a_file_takes_a_byte_or_half_of_one_for_a_weight_and_says_what_each_part_takes(
    corpus: Corpus, tmp_path: Path
) -> None:
    shape = {"d_model": 64, "dim_feedforward": 256, "num_layers": 4, "ngram_order": 3, "ngram_slots": 1024}
    model = BitTransformer(ModelConfig(**SHAPE | shape))
    model.reference = ReferenceModel.fit(corpus.train[:2000])
    shares = {}
    for precision in PRECISIONS:
        path = tmp_path / f"{precision}.safetensors"
        save_model(model, path, precision=precision)
        kept = load_model(path)
        assert set(kept.part_bytes) == {"embedding", "trunk", "head", "mixer", "counts"}
        assert kept.weight_bytes == sum(kept.part_bytes.values()) - kept.part_bytes["counts"]
        assert 0 < path.stat().st_size - sum(kept.part_bytes.values()) < 16_000  # names and places
        shares[precision] = kept.weight_bytes / (4 * model.parameter_count)
    assert shares["float32"] == 1
    assert shares["int8"] == pytest.approx(34 / 32 / 4, rel=0.05)
    assert shares["int4"] == pytest.approx(18 / 32 / 4, rel=0.15)


def test_a_model_without_counts_is_kept_without(tmp_path: Path) -> None:
    save_model(BitTransformer(ModelConfig(**SHAPE)), tmp_path / "model", precision="int4")
    kept = load_model(tmp_path / "model")
    assert kept.model.reference is None
    assert "counts" not in kept.part_bytes
    assert kept.provenance is None


def test_any_byte_changed_and_any_end_missing_is_an_error(file: Path, tmp_path: Path) -> None:
    whole, path = file.read_bytes(), tmp_path / "model"
    for place in range(3, len(whole), len(whole) // 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            load_model(path)
    for end in (0, 5, 700, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelFileError, match="is no whole model file"):
            load_model(path)


def test_other_files_are_told_from_ours(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(ModelFileError, match=r"absent' cannot be read"):
        load_model(tmp_path / "absent")
    other = tmp_path / "reference.safetensors"
    ReferenceModel.fit(corpus.train[:100]).save(other)
    with pytest.raises(ModelFileError, match="holds no model of BitLM; give a file that `bitlm save` wrote"):
        load_model(other)


def rewritten(file: Path, to: Path, **changes: Any) -> Path:
    """A file as another version might have written it: other words in the record, and a fitting hash."""
    from bitlm.model_file import _digest  # noqa: PLC0415 - what no user needs

    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        record = json.loads(opened.metadata()["bitlm-model"])["record"] | changes
    entry = json.dumps({"record": record, "sha256": _digest(tensors, record)})
    save_file(tensors, to, metadata={"bitlm-model": entry})
    return to


def test_a_file_of_another_version_says_so(file: Path, model: BitTransformer, tmp_path: Path) -> None:
    later = rewritten(file, tmp_path / "later", layout=2, version="9.0")
    with pytest.raises(ModelFileError, match=r"has layout 2 and this BitLM knows 1; use BitLM 9\.0"):
        load_model(later)
    config = asdict(model.config)
    for changed in (config | {"spirals": 3}, config | {"num_layers": 3}, config | {"d_model": 15}):
        other = rewritten(file, tmp_path / "other", config=changed, version="9.0")
        with pytest.raises(ModelFileError, match=r"written by BitLM 9\.0, whose models are not those of"):
            load_model(other)
    del config["head_width"]  # a version that did not have it yet
    earlier = rewritten(file, tmp_path / "earlier", config=config)
    assert model_hash(load_model(earlier).model) == model_hash(with_weights(model, "int8"))


def test_the_receipt_says_what_rounding_costs(model: BitTransformer, corpus: Corpus, tmp_path: Path) -> None:
    found = RoundingReceipt.of(model, "int4", corpus.held_out)
    before, after = found.bits_per_byte
    assert before != after
    assert found.logit_difference > 0
    assert found.held_out_bytes == len(corpus.held_out)
    again = RoundingReceipt.of(with_weights(model, "int4"), "int4", corpus.held_out)
    assert again.logit_difference == 0
    assert again.bits_per_byte == (after, after)
    save_model(model, tmp_path / "model", precision="int4", receipt=found)
    assert load_model(tmp_path / "model").receipt == found


def test_writing_replaces_and_leaves_nothing_beside(model: BitTransformer, tmp_path: Path) -> None:
    path = tmp_path / "model"
    save_model(model, path)
    first = path.read_bytes()
    save_model(model, path)
    assert path.read_bytes() == first
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
    assert torch.equal(load_model(path).model.head.weight, model.head.weight)
