from math import log
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bitlm.bits import bytes_to_bits
from bitlm.context_index import Counts
from bitlm.data import Corpus
from bitlm.errors import ConfigError, MissingReferenceError
from bitlm.generation import collect, generate, generate_batch
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.initialisation import FIRST_COUNT_WEIGHTS
from bitlm.model.mixing import COUNT_PRIOR
from bitlm.reference import ReferenceModel

TEXT = Corpus.embedded().train[:20_000]
FORMATS = [{}, {"parity": True}, {"patch_bits": 1}, {"patch_bits": 1, "parity": True}]


def mixing_model(**settings: Any) -> BitTransformer:
    shape = {"d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 32 * 9}
    model = BitTransformer(ModelConfig(**(shape | {"mixing": "reference"} | settings)), seed=3)
    model.reference = ReferenceModel.fit(TEXT)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "mixer.project_out.weight":
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return model.eval()


def bits_of(data: bytes, model: BitTransformer) -> Tensor:
    return bytes_to_bits(data, parity=model.config.parity)[None]


@pytest.mark.parametrize("settings", FORMATS)
@torch.no_grad()
def test_decoding_adds_what_a_whole_window_adds(settings: dict[str, Any]) -> None:
    model = mixing_model(**settings)
    bits = bits_of(TEXT[500:520], model)
    whole = model(bits)
    patches = model.patches(bits)
    for read_at_once in (0, 1, 12):
        cache = model.new_cache()
        frame = model.config.positions_per_frame
        nodes = model.prefill(cache, bits[:, : read_at_once * model.config.frame_bits])
        for place in range(read_at_once * frame, patches.shape[1]):
            value = 0
            for bit in range(model.config.patch_bits):
                at = place * model.config.patch_bits + bit
                at += place * (model.config.parity and model.config.patch_bits == 8)
                found = nodes[0, (1 << bit) - 1 + value]
                if whole.is_payload[at]:
                    torch.testing.assert_close(found, whole.logits[0, at], atol=2e-3, rtol=1e-3)
                value = value << 1 | int(patches[0, place, bit])
            if place + 1 < patches.shape[1]:
                nodes = model.next_patch_logits(cache, patches[:, place])


@pytest.mark.parametrize("settings", FORMATS)
def test_texts_drawn_side_by_side_with_counts_are_those_drawn_alone(settings: dict[str, Any]) -> None:
    model = mixing_model(**settings)
    nothing = torch.zeros(0, dtype=torch.uint8)
    batch = generate_batch(model, [nothing] * 3, seeds=range(3), max_new_bytes=6)
    for seed, sample in enumerate(batch):
        alone = collect(generate(model, nothing, seed=seed, max_new_bytes=6), model.config.parity)
        assert sample.data == alone.data
        assert torch.equal(sample.probabilities, alone.probabilities)


@torch.no_grad()
def test_at_first_the_weighted_log_odds_of_the_counts_are_added_and_the_tree_is_believed_as_it_is() -> None:
    model = mixing_model()
    assert model.mixer is not None
    model.mixer.project_out.weight.zero_()
    zeros, ones = np.zeros((1, 1, 8, 9)), np.zeros((1, 1, 8, 9))
    zeros[0, 0, 2, 4], ones[0, 0, 2, 4], ones[0, 0, 2, 5] = 3, 1, 2
    tree = torch.arange(8.0)[None, None]
    mixed = model.mixer(tree, Counts(zeros, ones), torch.arange(8))
    after_4 = log((1 + COUNT_PRIOR) / (3 + COUNT_PRIOR))
    after_5 = log((2 + COUNT_PRIOR) / COUNT_PRIOR)
    expected = 2 + FIRST_COUNT_WEIGHTS[4] * after_4 + FIRST_COUNT_WEIGHTS[5] * after_5
    assert mixed[0, 0, 2].item() == pytest.approx(expected, rel=1e-6)
    assert mixed[0, 0, :2].tolist() == [0, 1]


@torch.no_grad()
def test_the_tree_is_believed_less_only_where_something_was_counted() -> None:
    model = mixing_model()
    assert model.mixer is not None
    model.mixer.project_out.weight.zero_()
    model.mixer.project_out.bias.copy_(torch.tensor([0.0] * 9 + [-0.25]))
    zeros, ones = np.zeros((1, 1, 8, 9)), np.zeros((1, 1, 8, 9))
    zeros[0, 0, 3, 0] = 1
    mixed = model.mixer(torch.full((1, 1, 8), 2.0), Counts(zeros, ones), torch.arange(8))
    assert mixed[0, 0].tolist() == [2, 2, 2, 1.5, 2, 2, 2, 2]


@pytest.mark.parametrize("settings", FORMATS)
@torch.no_grad()
def test_a_bit_never_influences_a_logit_at_or_before_it(settings: dict[str, Any]) -> None:
    model = mixing_model(**settings)
    bits = bits_of(TEXT[100:110], model)
    before = model(bits)
    for at in before.is_payload.nonzero().flatten().tolist()[5::17]:
        flipped = bits.clone()
        flipped[0, at] ^= 1
        after = model(flipped)
        same = before.is_payload[: at + 1]
        assert torch.equal(before.logits[0, : at + 1][same], after.logits[0, : at + 1][same])


def test_a_model_that_mixes_needs_its_counts_and_says_how_to_have_them() -> None:
    model = mixing_model()
    model.reference = None
    for ask in (lambda: model(bits_of(b"abc", model)), model.new_cache):
        with pytest.raises(MissingReferenceError, match=r"set model\.reference = ReferenceModel\.fit"):
            ask()


@torch.no_grad()
def test_without_mixing_the_reference_changes_no_bit() -> None:
    model = mixing_model(mixing="none")
    bits = bits_of(TEXT[:20], model)
    beside = model(bits).logits
    model.reference = None
    assert torch.equal(beside, model(bits).logits)
    assert model.mixer is None


@pytest.mark.parametrize("settings", FORMATS)
def test_mixing_changes_no_other_first_weight_and_counts_its_own(settings: dict[str, Any]) -> None:
    mixed, plain = mixing_model(**settings), mixing_model(**settings, mixing="none")
    weights = dict(mixed.named_parameters())
    assert all(torch.equal(weights[name], weight) for name, weight in plain.named_parameters())
    for model in (mixed, plain):
        assert model.config.parameter_count == model.parameter_count


def test_mixing_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="mixing='counts': use 'none' or 'reference'"):
        ModelConfig(mixing="counts")
    with pytest.raises(ConfigError, match="mixing_order=9: use a whole number from 0 to 8"):
        ModelConfig(mixing_order=9)
