import pytest
import torch

from bitlm.distributed import PairwiseSum


def summed(vectors: list[torch.Tensor]) -> torch.Tensor:
    pairwise = PairwiseSum()
    for vector in vectors:
        pairwise.add(vector)
    return pairwise.total


def test_neighbours_are_added_first() -> None:
    # In fp32 a one is lost beside 1e8: from left to right 1.0 would remain.
    terms = [torch.tensor([term]) for term in (1e8, 1.0, -1e8, 1.0)]
    assert summed(terms).item() == 0.0


@pytest.mark.parametrize("adders", [1, 2, 4, 8])
def test_the_sum_is_the_same_however_many_add_it_up(adders: int) -> None:
    terms = list(torch.randn(8, 1000, generator=torch.Generator().manual_seed(1)))
    each = len(terms) // adders
    sums = [summed(terms[first : first + each]) for first in range(0, len(terms), each)]
    assert torch.equal(summed(sums), summed(terms))
