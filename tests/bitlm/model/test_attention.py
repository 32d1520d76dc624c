from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.attention import attend
from bitlm.model.positions import rotate, rotations
from bitlm.model.visibility import Visibility


def sees(position: int, other: int, chunk: int, overlap: int) -> bool:
    """The definition: own chunk up to itself, and `overlap` positions before the chunk."""
    chunk_start = (position // chunk) * chunk
    return chunk_start - overlap <= other <= position


def by_torch(parts: Tensor, gain: Tensor, turns: Tensor, mask: Tensor) -> Tensor:
    """Attention from its definition, map and all."""
    normed = torch.nn.functional.layer_norm(parts[:, :, :2], gain.shape, gain)
    query, key = rotate(normed, turns).permute(2, 0, 3, 1, 4)
    value = parts[:, :, 2].transpose(1, 2)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


def assert_same(mask: Tensor, visibility: Visibility, *, heads: int = 2, channels: int = 4) -> None:
    """Compare outputs and gradients of `attend` with those of the definition."""
    length = len(mask)
    draw = torch.Generator().manual_seed(length)
    parts = torch.randn(2, length, 3, heads, channels, generator=draw).requires_grad_()
    gain = (1 + torch.randn(channels, generator=draw) / 2).requires_grad_()
    leaves = [parts, gain]
    weights = torch.randn(2, length, heads, channels, generator=draw)
    turns = rotations(length, channels)
    results = [
        [output.detach(), *torch.autograd.grad((output * weights).sum(), leaves)]
        for output in (attend(parts, gain, turns, visibility), by_torch(parts, gain, turns, mask))
    ]
    for ours, theirs in zip(*results, strict=True):
        # Two channels that are nearly equal are blown up by their norm, rounding and all.
        tolerance = 2e-5 if channels > 2 else 1e-3
        assert (ours - theirs).abs().max() <= tolerance * (1 + theirs.abs().max())


@settings(max_examples=25)
@given(length=st.integers(1, 40), chunk=st.integers(1, 40), overlap=st.integers(0, 40))
def test_what_is_visible_is_as_defined_and_blocks_share_it(length: int, chunk: int, overlap: int) -> None:
    visibility = Visibility(chunk, overlap)
    for position in range(length):
        seen = [other for other in range(length) if sees(position, other, chunk, overlap)]
        assert seen == list(range(visibility.first(position), position + 1))
    blocks = visibility.blocks(length, most=7)
    assert [position for block in blocks for position in block] == list(range(length))
    assert all(len(block) <= 7 for block in blocks)
    assert all(len({visibility.first(position) for position in block}) == 1 for block in blocks)


def test_full_attention_sees_everything_before() -> None:
    assert {Visibility().first(position) for position in range(99)} == {0}
    assert Visibility().blocks(5, most=2) == [range(2), range(2, 4), range(4, 5)]


@settings(max_examples=25)
@given(length=st.integers(1, 300), chunk=st.integers(1, 300), overlap=st.integers(0, 300))
def test_chunks_and_their_gradients_are_attention_under_the_defined_mask(
    length: int, chunk: int, overlap: int
) -> None:
    rows = [[sees(position, other, chunk, overlap) for other in range(length)] for position in range(length)]
    assert_same(torch.tensor(rows), Visibility(chunk, overlap))


@pytest.mark.parametrize("length", [1, 3, 127, 128, 129, 330])
@pytest.mark.parametrize(("heads", "channels"), [(1, 2), (3, 6), (2, 16), (1, 32), (2, 40), (1, 64)])
def test_full_attention_is_that_of_torch(length: int, heads: int, channels: int) -> None:
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    assert_same(mask, Visibility(), heads=heads, channels=channels)


@pytest.mark.parametrize(("chunk", "overlap"), [(400, 0), (330, 0), (150, 300), (32, 320), (256, 10_000)])
def test_windows_that_cover_everything_are_full_attention(chunk: int, overlap: int) -> None:
    assert_same(torch.ones(330, 330, dtype=torch.bool).tril(), Visibility(chunk, overlap))


def test_sharp_attention_neither_overflows_nor_looks_ahead() -> None:
    draw = torch.Generator().manual_seed(1)
    parts = torch.randn(1, 40, 3, 1, 8, generator=draw)
    gain, turns = torch.full((8,), 30.0), rotations(40, 8)
    taken = attend(parts, gain, turns, Visibility())
    assert taken.isfinite().all()
    for position in range(1, 40):
        changed = parts.clone()
        changed[0, position:] *= -2
        assert torch.equal(attend(changed, gain, turns, Visibility())[0, :position], taken[0, :position])


def test_how_heads_are_shared_among_threads_changes_no_bit() -> None:
    draw = torch.Generator().manual_seed(1)
    parts = torch.randn(3, 150, 3, 5, 16, generator=draw).requires_grad_()
    gain = torch.rand(16, generator=draw).requires_grad_()
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            taken = attend(parts, gain, rotations(150, 16), Visibility())
            results.append([taken.detach(), *torch.autograd.grad((taken**2).sum(), [parts, gain])])
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(result, results[0], strict=True))


@pytest.mark.parametrize("patch_bits", [1, 8])
@pytest.mark.parametrize("windows", [{"chunk_size": 360}, {"chunk_size": 72, "overlap": 288}])
def test_a_model_whose_windows_cover_everything_is_the_full_model(
    patch_bits: int, windows: dict[str, int]
) -> None:
    full, chunked = (small_model(patch_bits=patch_bits, **kind) for kind in ({}, windows))
    bits = some_bits(360)
    with torch.no_grad():
        torch.testing.assert_close(chunked(bits).logits, full(bits).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("patch_bits", [1, 8])
def test_a_layer_sees_as_far_as_its_overlap_and_two_layers_further(*, patch_bits: int, parity: bool) -> None:
    frame = 9 if parity else 8
    windows = {"chunk_size": 2 * frame, "overlap": frame, "patch_bits": patch_bits, "parity": parity}
    bits = some_bits(10 * frame)
    for layers, earliest in ((1, 5), (2, 3)):
        model = small_model(num_layers=layers, **windows)
        changed = []
        for place in range(8):
            flipped = bits.clone()
            flipped[0, frame * place + 5] ^= 1
            with torch.no_grad():
                difference = model(flipped).logits - model(bits).logits
            in_seventh = (
                difference[0, 7 * frame : 7 * frame + 8] if patch_bits == 8 else difference[0, 7 * frame]
            )
            changed.append(bool(in_seventh.abs().max() > 0))
        reach = min(place for place, moved in enumerate(changed) if moved)
        # A byte position sees the patch before its own: what it looks at lies one patch further back.
        assert reach == earliest - (1 if patch_bits == 8 else 0)


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_no_tensor_of_a_chunked_step_grows_faster_than_the_length(memory: str) -> None:
    largest = {}
    for frames in (96, 384):
        model = small_model(chunk_size=128, overlap=128, max_seq_len=8 * 384, memory=memory).train()
        with _Largest() as seen:  # type: ignore[no-untyped-call] # torch's
            model(some_bits(8 * frames)).logits.sum().backward()
        largest[frames] = seen.largest_bytes
    assert largest[384] <= 4 * largest[96]


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Notes the size of the largest storage any operation returns, forward and backward."""

    largest_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        for tensor in returned if isinstance(returned, tuple | list) else [returned]:
            if isinstance(tensor, Tensor):
                self.largest_bytes = max(self.largest_bytes, tensor.untyped_storage().nbytes())
        return returned


def small_model(**settings: Any) -> BitTransformer:
    shape: dict[str, Any] = {"d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32}
    model = BitTransformer(ModelConfig(**(shape | {"max_seq_len": 360} | settings)), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(100 if name.startswith("head") else 10)
    return model.eval()


def some_bits(count: int) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    return torch.randint(0, 2, (1, count), dtype=torch.uint8, generator=draw)
