from math import log2
from typing import Any

import pytest
import torch
from torch import Tensor

from bitlm.errors import BitFormatError, ConfigError
from bitlm.model import AttentionSummary, BitTransformer, ModelConfig
from bitlm.model.attention_summary import FULL_CHUNK
from bitlm.model.grid import round_to_grid

ATTENTION = [
    {},
    {"chunk_size": 80, "overlap": 24},
    {"chunk_size": 32},
    {"chunk_size": 8, "nhead": 3, "head_width": 4},
]


def lively_model(**settings: Any) -> BitTransformer:
    shape: dict[str, Any] = {"d_model": 16, "nhead": 2, "num_layers": 3, "dim_feedforward": 32}
    model = BitTransformer(ModelConfig(**(shape | {"max_seq_len": 2048} | settings)), seed=4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "project" in name:
                parameter.mul_(15)
    return model


def some_bits(frames: int, rows: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(frames)
    return torch.randint(0, 2, (rows, 8 * frames), dtype=torch.uint8, generator=draw)


@torch.no_grad()
def brute_force_maps(model: BitTransformer, bits: Tensor) -> Tensor:
    """Softmax of the whole T x T products under the mask the configuration defines."""
    x1 = x2 = round_to_grid(model.embedding(model.patches(bits).long() @ 2 ** torch.arange(7, -1, -1)))
    length = x1.shape[1]
    chunk, overlap = (model.config.chunk_size // 8 or length, model.config.overlap // 8)
    rows, columns = torch.arange(length)[:, None], torch.arange(length)
    hidden = (columns > rows) | (columns < rows // chunk * chunk - overlap)
    maps = []
    for block, layer in zip(
        model.trunk.typed_blocks, model.trunk.reversible_layers(length, None), strict=True
    ):
        query, key = block.attention.queries_and_keys(x2, model.trunk.turns[:length])
        products = query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5
        maps.append(products.masked_fill(hidden, -torch.inf).softmax(-1))
        x1, x2 = layer.forward(x1, x2)
    return torch.stack(maps, dim=1)


def entropy_by_hand(row: list[float]) -> float:
    return -sum(weight * log2(weight) for weight in row if weight > 0)


@pytest.mark.parametrize("windows", ATTENTION)
@pytest.mark.parametrize("frames", [1, 37, 70])
def test_the_summary_and_the_maps_are_those_of_the_whole_map(frames: int, windows: dict[str, int]) -> None:
    model, bits = lively_model(**windows), some_bits(frames)
    summary = model.attention_summary(bits, full_attn_logging=True)
    maps = brute_force_maps(model, bits)
    assert summary.maps is not None
    torch.testing.assert_close(summary.maps, maps, atol=1e-6, rtol=0)
    chunk = summary.chunk_positions
    assert chunk == (windows.get("chunk_size", 0) // 8 or FULL_CHUNK)
    assert summary.entropy_bits.shape == (3, model.config.nhead, -(-frames // chunk))
    for index, start in enumerate(range(0, frames, chunk)):
        rows = maps[:, :, :, start : start + chunk]
        entropy = torch.special.entr(rows).sum(-1).mean((0, -1)) / torch.log(torch.tensor(2.0))
        torch.testing.assert_close(summary.entropy_bits[:, :, index], entropy, atol=1e-5, rtol=0)
        most = (rows[0, 0, 0] > 0).sum(-1).double().log2().mean()
        evenness = (entropy / most if most > 0 else entropy * 0).float()
        torch.testing.assert_close(summary.evenness[:, :, index], evenness, atol=1e-5, rtol=0)
    by_head = torch.special.entr(maps).sum(-1).mean((0, 3)) / torch.log(torch.tensor(2.0))
    torch.testing.assert_close(summary.head_entropy_bits, by_head, atol=1e-5, rtol=0)
    torch.testing.assert_close(summary.layer_entropy_bits, by_head.mean(-1), atol=1e-5, rtol=0)


def test_entropy_in_bits_worked_by_hand() -> None:
    model, bits = lively_model(), some_bits(9, rows=1)
    summary = model.attention_summary(bits, full_attn_logging=True)
    assert summary.maps is not None
    rows: list[list[float]] = summary.maps[0, 2, 1].tolist()
    by_hand = sum(entropy_by_hand(row) for row in rows) / len(rows)
    assert summary.entropy_bits[2, 1, 0].item() == pytest.approx(by_hand, abs=1e-5)
    most = sum(log2(seen) for seen in range(1, 10)) / 9
    assert summary.evenness[2, 1, 0].item() == pytest.approx(by_hand / most, abs=1e-5)


def test_heads_that_look_everywhere_evenly_have_evenness_one_and_all_the_entropy_there_is() -> None:
    model = lively_model(chunk_size=32, overlap=32)
    with torch.no_grad():
        for block in model.trunk.typed_blocks:
            block.attention.project_in.weight[:16] = 0
    summary = model.attention_summary(some_bits(8))
    torch.testing.assert_close(summary.evenness, torch.ones(3, 2, 2))
    second = sum(log2(seen) for seen in range(5, 9)) / 4
    torch.testing.assert_close(summary.entropy_bits[..., 1], torch.full((3, 2), second))


def test_the_summary_is_the_same_in_training_and_draws_nothing() -> None:
    model, bits = lively_model(dropout=0.5), some_bits(20)
    state = torch.get_rng_state()
    first: AttentionSummary = model.eval().attention_summary(bits)
    second = model.train().attention_summary(bits)
    assert torch.equal(first.entropy_bits, second.entropy_bits)
    assert first.maps is None
    assert torch.equal(torch.get_rng_state(), state)


def test_full_maps_of_a_long_window_are_refused_with_the_longest_that_fits() -> None:
    model = lively_model(max_seq_len=8 * 4096)
    bits = torch.zeros(1, 8 * 2366, dtype=torch.uint8)
    with pytest.raises(
        ConfigError, match=r"full_attn_logging=True: .* at most 2364 positions, or leave it out"
    ):
        model.attention_summary(bits, full_attn_logging=True)


def test_a_summary_takes_what_a_forward_pass_takes() -> None:
    with pytest.raises(BitFormatError, match="not whole frames"):
        lively_model().attention_summary(torch.zeros(1, 9, dtype=torch.uint8))
