from typing import Any

import pytest
import torch
from torch import Tensor

from bitlm.bits import MASK
from bitlm.errors import BitFormatError
from bitlm.model import BitTransformer, ModelConfig, cpu_autocast, known_log_probabilities
from tests.bitlm.model.test_reversible import lively_model, some_bits


def some_states(rows: int = 2, length: int = 16) -> Tensor:
    return torch.randint(0, 3, (rows, length, 8), generator=torch.Generator().manual_seed(3))


def gradients(model: BitTransformer, autocast: str = "off") -> dict[str, Tensor]:
    model.zero_grad()
    states = some_states()
    with cpu_autocast(model, autocast):
        logits = model.denoise(states, dropout_seed=11)
    known = known_log_probabilities(logits, states)
    known[..., 0][torch.isfinite(known[..., 0])].sum().backward()  # type: ignore[no-untyped-call] # torch's
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_all_memory_modes_give_the_same_gradients_to_the_last_bit(dropout: float, autocast: str) -> None:
    model = lively_model(num_layers=4, dropout=dropout, objective="diffusion")
    stored = gradients(model, autocast)
    assert "denoiser.project.weight" in stored
    assert "embedding.project.weight" not in stored, "what causal bytes come in by has no part"
    for memory in ("checkpoint", "recompute"):
        model.trunk.memory = memory
        again = gradients(model, autocast)
        assert again.keys() == stored.keys()
        assert all(torch.equal(again[name], stored[name]) for name in stored)


@pytest.mark.parametrize(
    "settings", [{}, {"chunk_size": 32, "overlap": 16}, {"use_act": True, "num_layers": 3}]
)
def test_every_byte_is_seen_from_every_place_however_causal_bits_are_read(settings: dict[str, Any]) -> None:
    model = lively_model(objective="mixed", **settings).eval()
    causal = model(some_bits()).logits
    states = some_states()
    first = model.denoise(states)
    for place in (0, 15):
        other = states.clone()
        other[0, place] = (other[0, place] + 1) % 3
        changed = (model.denoise(other) != first).any(-1)
        assert changed[0].all(), "attention goes both ways, and has no chunks"
        assert not changed[1].any(), "rows know nothing of each other"
    assert torch.equal(model(some_bits()).logits, causal)


def test_a_model_that_also_denoises_is_causally_the_one_that_does_not() -> None:
    causal, mixed = (lively_model(objective=objective).eval() for objective in ("causal", "mixed"))
    assert torch.equal(mixed(some_bits()).logits, causal(some_bits()).logits)
    assert mixed.parameter_count == mixed.config.parameter_count > causal.parameter_count


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (torch.zeros(2, 8, dtype=torch.int64), r"shape \(2, 8\); give \[batch, byte, 8\]"),
        (torch.zeros(1, 2, 9, dtype=torch.int64), "give .batch, byte, 8."),
        (torch.zeros(1, 17, 8, dtype=torch.int64), "1 to 16 bytes"),
        (torch.zeros(1, 0, 8, dtype=torch.int64), "1 to 16 bytes"),
        (torch.full((1, 2, 8), MASK + 1), "none of 0, 1 and 2"),
        (torch.full((1, 2, 8), -1), "none of 0, 1 and 2"),
        (torch.zeros(1, 2, 8), "torch.float32; give whole numbers"),
    ],
)
def test_states_that_cannot_be_are_refused(unchecked_types: None, states: Tensor, message: str) -> None:
    with pytest.raises(BitFormatError, match=message):
        lively_model(objective="diffusion").denoise(states)


def test_bits_one_by_one_are_not_denoised() -> None:
    with pytest.raises(ValueError, match="objective='mixed': use 'causal': with patch_bits=1"):
        ModelConfig(patch_bits=1, objective="mixed")
