import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitlm.session.thinning import thin


@given(
    rows=st.integers(1, 600),
    every=st.integers(1, 50),
    max_points=st.integers(24, 200),
    seed=st.integers(0, 99),
)
def test_thinning_keeps_ends_and_extremes_and_never_more_than_asked(
    rows: int, every: int, max_points: int, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=rows).tolist()
    sparse = [value if index % every == 0 else None for index, value in enumerate(values)]
    columns = {"bits_per_byte": values, "validation_bits_per_byte": sparse, "C": sparse, "S": sparse}
    kept = thin(columns, max_points)
    assert kept == sorted(set(kept))
    assert len(kept) <= max(max_points, 2)
    assert {0, rows - 1, int(np.argmin(values)), int(np.argmax(values))} <= set(kept)
