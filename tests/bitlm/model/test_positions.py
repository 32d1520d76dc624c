import torch

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
