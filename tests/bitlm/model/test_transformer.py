import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from bitlm.bits import add_parity, bytes_to_bits, encode_frames
from bitlm.errors import BitFormatError, ConfigError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.bit_tree import leaf_bits, patch_values

FORMATS = list(product([1, 8], [False, True]))


def lively_model(patch_bits: int = 8, *, parity: bool = False, **settings: Any) -> BitTransformer:
    """A tiny model with weights large enough for every input to matter."""
    shape: dict[str, Any] = {
        "d_model": 16,
        "nhead": 2,
        "num_layers": 2,
        "dim_feedforward": 32,
        "max_seq_len": 45,
    }
    model = BitTransformer(ModelConfig(patch_bits=patch_bits, parity=parity, **(shape | settings)), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(100 if name.startswith("head") else 10)
    return model.eval()


def some_frames(*, parity: bool, count: int, rows: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    values = torch.randint(0, 256, (rows, count), dtype=torch.uint8, generator=draw)
    return encode_frames(values, parity=parity)


@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
def test_no_bit_influences_a_logit_at_its_place_or_before(*, patch_bits: int, parity: bool) -> None:
    model = lively_model(patch_bits, parity=parity)
    bits = some_frames(parity=parity, count=4, rows=1)
    with torch.no_grad():
        before = model(bits)
        for place in range(bits.shape[1]):
            flipped = bits.clone()
            flipped[0, place] ^= 1
            after = model(flipped)
            change = (after.logits - before.logits).abs()[0]
            assert change[: place + 1].max() == 0
            later = before.is_payload[place + 1 :]
            seen = bool(before.is_payload[place]) or patch_bits == 1
            if seen and later.any():
                assert change[place + 1 :][later].max() > 0


@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
def test_every_bit_of_every_row_has_a_logit_and_parity_bits_are_marked(
    *, patch_bits: int, parity: bool
) -> None:
    output = lively_model(patch_bits, parity=parity)(some_frames(parity=parity, count=3))
    frame = 9 if parity else 8
    assert output.logits.shape == (2, 3 * frame)
    assert output.logits.isfinite().all()
    assert output.is_payload.tolist() == ([True] * 8 + [False] * (frame - 8)) * 3


def test_a_byte_patch_never_sees_the_parity_bit() -> None:
    with_parity, without = lively_model(parity=True, max_seq_len=72), lively_model(max_seq_len=64)
    payload = some_frames(parity=False, count=5)
    frames = add_parity(payload.reshape(2, 5, 8)).flatten(1)
    output = with_parity(frames)
    assert torch.equal(output.logits[:, output.is_payload], without(payload).logits)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("patch_bits", [1, 8])
def test_the_bit_probabilities_of_the_256_next_bytes_sum_to_one(*, patch_bits: int, parity: bool) -> None:
    model = lively_model(patch_bits, parity=parity)
    history = bytes_to_bits(b"ab", parity=parity).expand(256, -1)
    nexts = leaf_bits(8).to(torch.uint8)
    last = add_parity(nexts) if parity else nexts
    with torch.no_grad():
        output = model(torch.cat([history, last], dim=1))
    logits = output.logits[:, output.is_payload][:, -8:]
    log_p = torch.nn.functional.logsigmoid(logits * (nexts * 2.0 - 1)).sum(-1)
    assert log_p.double().exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert log_p.std() > 0.1


def test_the_logits_of_byte_patches_are_the_trees_gathered_by_hand() -> None:
    model = lively_model()
    bits = some_frames(parity=False, count=4)
    with torch.no_grad():
        logits = model(bits).logits
        trees = model.head(model.trunk(model.embedding(patch_values(bits.reshape(2, 4, 8)))))
    for row, place in product(range(2), range(4)):
        prefix = 0
        for depth in range(8):
            node = 2**depth - 1 + prefix
            assert logits[row, 8 * place + depth] == trees[row, place, node]
            prefix = 2 * prefix + int(bits[row, 8 * place + depth])


def test_a_new_model_is_no_worse_than_a_coin() -> None:
    model = BitTransformer(ModelConfig(d_model=64, nhead=4, max_seq_len=256))
    bits = some_frames(parity=False, count=32, rows=8)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(bits).logits, bits.float())
    assert loss.item() == pytest.approx(math.log(2), abs=0.001)


def test_the_seed_alone_decides_the_weights_and_the_global_generator_is_left_alone() -> None:
    config = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, patch_bits=1)
    state = torch.get_rng_state()
    first = BitTransformer(config, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    second, third = BitTransformer(config, seed=5), BitTransformer(config, seed=6)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
        assert torch.equal(weight, third.state_dict()[name]) == (weight.min() == weight.max())
    torch.set_rng_state(state)


def test_running_a_model_with_dropout_leaves_the_global_generator_alone() -> None:
    model = lively_model(dropout=0.2).train()
    state = torch.get_rng_state()
    model(some_frames(parity=False, count=2), dropout_seed=3).logits.sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_without_a_key_names_both_ways_out() -> None:
    model = lively_model(dropout=0.2).train()
    with pytest.raises(ConfigError, match=r"dropout_seed=None: .*pass dropout_seed, or call model\.eval\(\)"):
        model(some_frames(parity=False, count=2))
    model.eval()(some_frames(parity=False, count=2))


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (torch.zeros(8, dtype=torch.uint8), r"shape \(8,\).*\[batch, bit\]"),
        (torch.zeros(1, 8), "torch.float32; give whole numbers"),
        (torch.zeros(1, 9, dtype=torch.uint8), "1 row.* of 9 bits are not whole frames.*multiple of 8"),
        (torch.zeros(1, 0, dtype=torch.uint8), "0 bits are not whole frames"),
        (torch.zeros(0, 8, dtype=torch.uint8), "0 row"),
        (torch.zeros(1, 48, dtype=torch.uint8), "48 bits do not fit max_seq_len=45.*at most 5 frames"),
        (torch.full((1, 8), 2, dtype=torch.uint8), "neither 0 nor 1"),
        (torch.full((1, 8), -1), "neither 0 nor 1"),
    ],
)
def test_what_is_not_a_batch_of_frames_is_refused(unchecked_types: None, bits: Tensor, message: str) -> None:
    with pytest.raises(BitFormatError, match=message):
        lively_model()(bits)


def test_any_whole_number_type_of_bits_gives_the_same_logits() -> None:
    model = lively_model()
    bits = some_frames(parity=False, count=3)
    assert torch.equal(model(bits).logits, model(bits.long()).logits)
