import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from bitlm.model import leaf_log_probabilities, path_nodes
from bitlm.model.bit_tree import gather_paths, leaf_bits, patch_values


@pytest.mark.parametrize("patch_bits", [1, 3, 8])
def test_a_patch_is_the_bits_of_its_value_most_significant_first(patch_bits: int) -> None:
    bits = leaf_bits(patch_bits)
    assert patch_values(bits).tolist() == list(range(2**patch_bits))
    assert bits[-2].tolist() == [1] * (patch_bits - 1) + [0]


def test_the_path_of_101_is_the_root_then_its_right_then_that_ones_left_child() -> None:
    assert path_nodes(torch.tensor(0b101), 3).tolist() == [0, 2, 5]


def test_every_prefix_of_a_byte_has_a_node_of_its_own() -> None:
    nodes = path_nodes(torch.arange(256), 8)
    for depth in range(8):
        prefixes = torch.arange(256) >> (8 - depth)
        assert nodes[:, depth].tolist() == (prefixes + 2**depth - 1).tolist()
    assert set(nodes.flatten().tolist()) == set(range(255))


@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.1, 5.0, 100.0]), depth=st.integers(1, 8))
def test_the_leaves_sum_to_one(seed: int, scale: float, depth: int) -> None:
    logits = np.random.default_rng(seed).normal(size=2**depth - 1) * scale
    assert np.exp(leaf_log_probabilities(logits)).sum() == pytest.approx(1, abs=1e-12)


@given(seed=st.integers(0, 2**32))
def test_a_leaf_is_the_product_of_the_bits_on_its_path(seed: int) -> None:
    logits = torch.randn(255, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    values = torch.arange(256)
    path = gather_paths(logits.expand(256, -1), values, 8)
    signs = leaf_bits(8) * 2 - 1
    by_path = torch.nn.functional.logsigmoid(path * signs).sum(-1)
    np.testing.assert_allclose(leaf_log_probabilities(logits.numpy()), by_path.numpy(), atol=1e-12)


def test_a_one_node_tree_is_one_coin() -> None:
    leaves = np.exp(leaf_log_probabilities(np.array([np.log(3.0)])))
    np.testing.assert_allclose(leaves, [0.25, 0.75])


def test_shapes_are_checked_while_tests_of_parts_run() -> None:
    with pytest.raises(TypeCheckError):
        gather_paths(torch.zeros(2, 3, 255), torch.zeros(3, 2, dtype=torch.int64), 8)
