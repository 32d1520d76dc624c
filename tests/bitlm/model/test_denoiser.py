from typing import Any

import pytest
import torch
from torch import Tensor

from bitlm.bits import MASK
from bitlm.errors import BitFormatError
from bitlm.model import BitTransformer, ModelConfig, cpu_autocast, known_log_probabilities
from bitlm.model.denoiser import _shifted, known_before
from bitlm.model.visibility import Denoised
from tests.bitlm.model.test_reversible import lively_model, some_bits


def some_states(rows: int = 2, length: int = 16) -> Tensor:
    return torch.randint(0, 3, (rows, length, 8), generator=torch.Generator().manual_seed(3))


def some_values(rows: int = 2, length: int = 16) -> Tensor:
    return torch.randint(0, 256, (rows, length), generator=torch.Generator().manual_seed(4))


def gradients(model: BitTransformer, autocast: str = "off") -> dict[str, Tensor]:
    model.zero_grad()
    states = some_states()
    with cpu_autocast(model, autocast):
        logits = model.denoise(states, values=some_values(), dropout_seed=11)
    known = known_log_probabilities(logits, states)
    known[..., 0][torch.isfinite(known[..., 0])].sum().backward()  # type: ignore[no-untyped-call] # torch's
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("block_bytes", [0, 4])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_all_memory_modes_give_the_same_gradients_to_the_last_bit(
    dropout: float, autocast: str, block_bytes: int
) -> None:
    model = lively_model(
        num_layers=4, dropout=dropout, objective="diffusion", block_bytes=block_bytes, ngram_order=3
    )
    stored = gradients(model, autocast)
    assert {"denoiser.project.weight", "denoiser.patterns.weight"} <= stored.keys()
    assert ("embedding.project.weight" in stored) == (block_bytes > 0), (
        "whole bytes come in with blocks alone"
    )
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


@pytest.mark.parametrize("settings", [{}, {"ngram_order": 3, "recall": True}, {"chunk_size": 32}])
def test_a_block_sees_itself_and_what_is_true_before_it(settings: dict[str, Any]) -> None:
    model = lively_model(objective="mixed", block_bytes=4, **settings).eval()
    states, values = some_states(), some_values()
    first = model.denoise(states, values=values)

    def changed(states: Tensor, values: Tensor) -> list[bool]:
        moved = (model.denoise(states, values=values) != first).any(-1)
        assert not moved[1].any(), "rows know nothing of each other"
        return [bool(block.any()) for block in torch.split(moved[0], 4)]

    for place, block in ((0, 0), (6, 1), (15, 3)):
        other = states.clone()
        other[0, place] = (other[0, place] + 1) % 3
        assert changed(other, values) == [block == one for one in range(4)]
        other = values.clone()
        other[0, place] += 1 if int(other[0, place]) < 255 else -1
        assert changed(states, other) == [one > block for one in range(4)]


@pytest.mark.parametrize("settings", [{}, {"ngram_order": 3, "recall": True}])
def test_all_blocks_at_once_are_as_each_is_alone(settings: dict[str, Any]) -> None:
    model = lively_model(objective="mixed", block_bytes=4, **settings).eval()
    states, values = some_states(), some_values()
    together = model.denoise(states, values=values)
    bits = (values[..., None] >> torch.arange(7, -1, -1)) & 1
    for start in range(0, 16, 4):
        alone = torch.cat([bits[:, :start], states[:, start : start + 4]], dim=1)
        torch.testing.assert_close(
            model.denoise(alone)[:, start:], together[:, start : start + 4], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("settings", [{}, {"ngram_order": 3, "recall": True}, {"chunk_size": 32}])
def test_the_true_text_beside_says_what_it_says_alone(settings: dict[str, Any]) -> None:
    model = lively_model(objective="mixed", block_bytes=4, **settings).eval()
    states, values = some_states(), some_values()
    trees, causal = model.denoise_and_predict(states, values)
    assert torch.equal(trees, model.denoise(states, values=values))
    bits = ((values[..., None] >> torch.arange(7, -1, -1)) & 1).flatten(1)
    torch.testing.assert_close(causal, model(bits).logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="without blocks no text is read as it is"):
        lively_model(objective="mixed").denoise_and_predict(states, values)


def test_who_is_seen_in_blocks() -> None:
    true, masked = torch.split(Denoised(2).of_masked(5), 5, dim=1)
    assert true.int().tolist() == [[1, 0, 0, 0, 0]] * 2 + [[1, 1, 1, 0, 0]] * 2 + [[1, 1, 1, 1, 1]]
    assert masked.int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_what_stands_around_a_byte_has_a_vector_whatever_is_known_of_it() -> None:
    model = lively_model(objective="diffusion", ngram_order=3)
    assert model.denoiser is not None
    states = (torch.tensor([[*b"abcdabcd", *b"abXda"]])[..., None] >> torch.arange(7, -1, -1)) & 1
    states[0, 2] = MASK
    rows = model.denoiser._slots({offset: _shifted(states, offset) for offset in (-2, -1, 1, 2)})
    assert rows[:, 0, 2].tolist() == rows[:, 0, 10].tolist(), "its own value has no part in it"
    assert rows[0, 0, 2] != rows[0, 0, 1]
    assert len(set((rows // model.config.ngram_slots)[:, 0, 2].tolist())) == 4, "each pattern has its own"
    assert rows[0, 0, 3] != rows[0, 0, 7], "a masked neighbour is a letter of its own"


def test_a_position_is_known_from_its_block_s_first_to_the_first_gap() -> None:
    states = torch.zeros(1, 8, 8, dtype=torch.int64)
    states[0, 2, 3] = states[0, 4] = MASK
    assert known_before(states, 4).tolist() == [[True, True, True, False, True, False, False, False]]


def test_a_block_divides_the_window() -> None:
    with pytest.raises(ValueError, match=r"block_bytes=5: use a divisor of the window, 16 bytes, or 0"):
        lively_model(objective="mixed", block_bytes=5)


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
