"""A sum whose order of additions is a binary tree over its terms, whoever adds which of them."""

from jaxtyping import Float
from torch import Tensor


class PairwiseSum:
    """Adds vectors up as they come: neighbours first, then these sums, and so on.

    Floating-point addition depends on its order. In this one, terms that are dealt to 1, 2, 4, … adders in
    stretches of equal length give the same bits as all in one place, once the adders' sums are added so, too.
    Only as many vectors wait as the count of terms has binary digits.

    Source: Higham, "The accuracy of floating point summation", SIAM Journal on Scientific Computing 14(4),
    1993.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Float[Tensor, " element"]]] = []

    def add(self, vector: Float[Tensor, " element"]) -> None:
        """Take in the next term."""
        terms = 1
        while self._waiting and self._waiting[-1][0] == terms:
            vector = self._waiting.pop()[1] + vector
            terms *= 2
        self._waiting.append((terms, vector))

    @property
    def total(self) -> Float[Tensor, " element"]:
        """The sum of all terms, whose count is a power of two."""
        assert len(self._waiting) == 1, "the count of terms is a power of two"
        return self._waiting[0][1]
