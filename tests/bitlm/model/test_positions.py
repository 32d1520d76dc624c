import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.positions import rotate, rotations, sinusoids


def test_position_zero_has_sine_zero_and_cosine_one() -> None:
    assert sinusoids(3, 6)[0].tolist() == [0, 1, 0, 1, 0, 1]


def test_the_first_pair_of_sinusoids_has_one_radian_a_position() -> None:
    torch.testing.assert_close(
        sinusoids(3, 4)[2, :2],
        torch.tensor([2.0, 2.0]).sin() * torch.tensor([1, 0])
        + torch.tensor([2.0, 2.0]).cos() * torch.tensor([0, 1]),
    )


def test_rotated_products_depend_on_the_distance_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 8, generator=draw)
    turns = rotations(40, 8)

    def product(query_at: int, key_at: int) -> float:
        turned = [
            rotate(vector.reshape(1, 1, 1, 1, 8), turns[at : at + 1])
            for vector, at in ((query, query_at), (key, key_at))
        ]
        return float((turned[0] * turned[1]).sum())

    assert abs(product(9, 4) - product(35, 30)) < 1e-5
    assert abs(product(9, 4) - product(9, 8)) > 1e-3


def test_a_rotation_keeps_the_length() -> None:
    heads = torch.randn(1, 5, 2, 3, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rotate(heads, rotations(5, 8)).norm(dim=-1), heads.norm(dim=-1))


@pytest.mark.parametrize("length", [1, 7, 250, 2048])
def test_a_position_has_the_same_waves_and_turns_however_long_the_window(length: int) -> None:
    assert torch.equal(sinusoids(2 * length, 24)[:length], sinusoids(length, 24))
    assert torch.equal(rotations(2 * length, 12)[:length], rotations(length, 12))


def test_narrower_sinusoids_are_repeated_over_the_width() -> None:
    whole, repeated = (
        BitTransformer(ModelConfig(d_model=width, nhead=2, max_seq_len=128, sinusoid_width=narrow))
        for width, narrow in ((8, 0), (16, 8))
    )
    assert torch.equal(repeated.embedding.places, whole.embedding.places.repeat(1, 2))


@pytest.mark.parametrize("chunk_frames", [0, 9])
@pytest.mark.parametrize(("patch_bits", "parity"), [(1, False), (1, True), (8, False), (8, True)])
def test_twice_the_window_changes_no_prediction_inside_the_old_one(
    *, patch_bits: int, parity: bool, chunk_frames: int
) -> None:
    frame = 9 if parity else 8
    short, long = (
        BitTransformer(
            ModelConfig(
                d_model=16,
                nhead=2,
                num_layers=2,
                dim_feedforward=32,
                max_seq_len=length,
                patch_bits=patch_bits,
                parity=parity,
                chunk_size=chunk_frames * frame,
                overlap=chunk_frames // 2 * frame,
            ),
            seed=length,
        )
        for length in (360, 720)
    )
    bits = torch.randint(0, 2, (2, 360), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(short.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(short(bits).logits, bits.float()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    long.load_state_dict(short.state_dict())
    with torch.no_grad():
        assert torch.equal(short(bits).logits, long(bits).logits)
        assert long(bits.repeat(1, 2)).logits.isfinite().all()
