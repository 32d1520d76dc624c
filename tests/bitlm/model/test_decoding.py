import hashlib
import math
import random
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from bitlm.bits import encode_frames
from bitlm.errors import BitFormatError, GridOverflowError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.bit_tree import gather_paths, patch_values

FORMATS = list(product([1, 8], [False, True]))
FRAMES = 5


def lively_model(patch_bits: int, *, parity: bool, **settings: Any) -> BitTransformer:
    shape: dict[str, Any] = {
        "d_model": 16,
        "nhead": 2,
        "num_layers": 3,
        "dim_feedforward": 32,
        "max_seq_len": 45,
    }
    model = BitTransformer(ModelConfig(patch_bits=patch_bits, parity=parity, **(shape | settings)), seed=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "project" in name or name.startswith("head"):
                parameter.mul_(4)
            if "ngrams" in name or "recall" in name:
                parameter.mul_(20)
    return model.eval()


def in_chunks(frames: int, *, parity: bool) -> dict[str, int]:
    """Attention in chunks of this many frames and an overlap of one; full attention for 0."""
    frame = 9 if parity else 8
    return {"chunk_size": frames * frame, "overlap": frame} if frames else {}


def some_lookups(patch_bits: int) -> dict[str, int]:
    """Vectors of up to three bytes taken together and of what they recall, where positions carry bytes."""
    return {"ngram_order": 3, "ngram_slots": 64, "recall": True} if patch_bits == 8 else {}


def some_frames(*, parity: bool, rows: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(9)
    values = torch.randint(0, 256, (rows, FRAMES), dtype=torch.uint8, generator=draw)
    return encode_frames(values, parity=parity)


def path_logits(nodes: Tensor, patch: Tensor) -> Tensor:
    return gather_paths(nodes, patch_values(patch), patch.shape[1])


@pytest.mark.parametrize("chunk_frames", [0, 1, 2, 5])
@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
def test_decoding_position_by_position_agrees_with_the_whole_window(
    *, patch_bits: int, parity: bool, chunk_frames: int
) -> None:
    model = lively_model(
        patch_bits, parity=parity, **in_chunks(chunk_frames, parity=parity), **some_lookups(patch_bits)
    )
    bits = some_frames(parity=parity)
    with torch.no_grad():
        whole = model(bits).logits
    stride = patch_bits if patch_bits == 1 else model.config.frame_bits
    cache = model.new_cache(batch=2)
    patch = None
    for place in range(0, bits.shape[1], stride):
        nodes = model.next_patch_logits(cache, patch)
        patch = bits[:, place : place + patch_bits]
        torch.testing.assert_close(
            path_logits(nodes, patch), whole[:, place : place + patch_bits], atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
@pytest.mark.parametrize("frames", [0, 1, FRAMES - 1])
@pytest.mark.parametrize("chunk_frames", [0, 2])
def test_a_history_read_at_once_continues_like_one_read_bit_by_bit(
    *, patch_bits: int, parity: bool, frames: int, chunk_frames: int
) -> None:
    model = lively_model(
        patch_bits, parity=parity, **in_chunks(chunk_frames, parity=parity), **some_lookups(patch_bits)
    )
    bits = some_frames(parity=parity)
    frame = model.config.frame_bits
    with torch.no_grad():
        whole = model(bits).logits
    cache = model.new_cache(batch=2)
    place = frames * frame
    nodes = model.prefill(cache, bits[:, :place])
    patch = bits[:, place : place + patch_bits]
    torch.testing.assert_close(
        path_logits(nodes, patch), whole[:, place : place + patch_bits], atol=1e-4, rtol=0
    )
    assert cache.length == frames * model.config.positions_per_frame + 1


@pytest.mark.parametrize("heads", [{}, {"nhead": 3, "head_width": 4}, {"nhead": 5, "head_width": 6}])
def test_decoding_after_a_history_goes_on_through_the_next_chunk(heads: dict[str, int]) -> None:
    model = lively_model(8, parity=False, **in_chunks(2, parity=False), **heads)
    bits = some_frames(parity=False)
    with torch.no_grad():
        whole = model(bits).logits
    cache = model.new_cache(batch=2)
    model.prefill(cache, bits[:, :8])
    for place in range(8, bits.shape[1] - 8, 8):
        nodes = model.next_patch_logits(cache, bits[:, place : place + 8])
        patch = bits[:, place + 8 : place + 16]
        torch.testing.assert_close(
            path_logits(nodes, patch), whole[:, place + 8 : place + 16], atol=1e-4, rtol=0
        )


def trees_by_decoding(model: BitTransformer, bits: Tensor, places: int) -> Tensor:
    cache = model.new_cache(batch=bits.shape[0])
    patches = [None, *torch.split(bits, 8, dim=1)[: places - 1]]
    return torch.stack([model.next_patch_logits(cache, patch) for patch in patches], dim=1)


SHAPES = [
    {"d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_seq_len": 8 * 40},
    {"d_model": 54, "nhead": 3, "dim_feedforward": 77, "max_seq_len": 8 * 40},
    {"d_model": 22, "nhead": 3, "head_width": 4, "dim_feedforward": 32, "max_seq_len": 8 * 40},
    {
        "d_model": 64,
        "nhead": 2,
        "dim_feedforward": 256,
        "max_seq_len": 8 * 300,
        "ngram_order": 4,
        "recall": True,
    },
    {"d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_seq_len": 8 * 80, "chunk_size": 8 * 16},
    {"d_model": 16, "nhead": 2, "max_seq_len": 8 * 80, "chunk_size": 8 * 16, "overlap": 8 * 3},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tree_is_the_same_to_the_last_bit_alone_in_a_batch_and_without_the_cache(
    shape: dict[str, int],
) -> None:
    model = lively_model(8, parity=False, **shape)
    values = torch.randint(0, 256, (6, 40), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    bits = encode_frames(values, parity=False)
    trees = trees_by_decoding(model, bits, 40)
    for rows in (1, 3, 4):
        assert torch.equal(trees_by_decoding(model, bits[:rows], 40), trees[:rows])
        for seen in (1, 16, 17, 39):
            assert torch.equal(
                model.prefill(model.new_cache(rows), bits[:rows, : 8 * seen]), trees[:rows, seen]
            )


def test_decoding_gives_these_bits_on_every_processor() -> None:
    model = lively_model(8, parity=False, d_model=48, dim_feedforward=80)
    draw = random.Random(1)  # noqa: S311 - numbers that are the same everywhere
    with torch.no_grad():
        for parameter in model.parameters():
            numbers = [draw.randrange(-128, 128) / 256 for _ in range(parameter.numel())]
            parameter.copy_(torch.tensor(numbers).view_as(parameter))
    tree = model.prefill(model.new_cache(2), some_frames(parity=False)[:, :32])
    assert hashlib.sha256(tree.numpy().tobytes()).hexdigest()[:16] == "9adec91fd99f5942"


def test_a_cache_keeps_the_weights_it_was_made_with() -> None:
    model = lively_model(8, parity=False)
    cache, other = model.new_cache(), model.new_cache()
    tree = model.next_patch_logits(cache, None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert torch.equal(model.next_patch_logits(other, None), tree)
    assert not torch.equal(model.next_patch_logits(model.new_cache(), None), tree)


def test_decoding_never_drops_even_in_training() -> None:
    model = lively_model(8, parity=False, dropout=0.5).train()
    trees = [model.prefill(model.new_cache(), some_frames(parity=False, rows=1)[:, :16]) for _ in range(2)]
    assert torch.equal(trees[0], trees[1])


def test_decoding_leaves_gradients_and_the_global_generator_alone() -> None:
    model = lively_model(8, parity=False)
    state = torch.get_rng_state()
    nodes = model.next_patch_logits(model.new_cache(), None)
    assert not nodes.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_a_full_window_says_so() -> None:
    model = lively_model(8, parity=False)
    bits = some_frames(parity=False)
    cache = model.new_cache(batch=2)
    model.prefill(cache, bits[:, :32])
    with pytest.raises(BitFormatError, match="window of 5 positions is full"):
        model.next_patch_logits(cache, bits[:, :8])
    with pytest.raises(BitFormatError, match="fills the window"):
        model.prefill(model.new_cache(batch=2), bits)


def test_a_cache_in_use_is_neither_started_nor_prefilled_again() -> None:
    model = lively_model(8, parity=False)
    bits = some_frames(parity=False)
    cache = model.new_cache(batch=2)
    with pytest.raises(BitFormatError, match="begins a window"):
        model.next_patch_logits(cache, bits[:, :8])
    model.next_patch_logits(cache, None)
    with pytest.raises(BitFormatError, match="begins a window"):
        model.next_patch_logits(cache, None)
    with pytest.raises(BitFormatError, match="in use"):
        model.prefill(cache, bits[:, :8])


@pytest.mark.parametrize("value", [1e6, math.inf, math.nan])
def test_leaving_the_exact_range_names_the_layer_and_leaves_the_cache_as_it_was(value: float) -> None:
    model = lively_model(8, parity=False)
    with torch.no_grad():
        model.get_parameter("trunk.blocks.1.feedforward.out_norm.weight").fill_(value)
    cache = model.new_cache()
    with pytest.raises(GridOverflowError, match="layer 1 feedforward"):
        model.prefill(cache, some_frames(parity=False, rows=1)[:, :16])
    assert cache.length == 0
    with pytest.raises(GridOverflowError, match="layer 1 feedforward"):
        model.next_patch_logits(cache, None)
    assert cache.length == 0


def test_a_number_of_the_input_out_of_range_is_noticed() -> None:
    model = lively_model(8, parity=False)
    cache = model.new_cache()
    model.next_patch_logits(cache, None)
    with torch.no_grad():
        model.embedding.bits.weight.fill_(math.nan)
    model.next_patch_logits(cache, torch.zeros(1, 8, dtype=torch.uint8))
    with pytest.raises(GridOverflowError, match=r"^input"):
        model.prefill(model.new_cache(), torch.zeros(1, 8, dtype=torch.uint8))
