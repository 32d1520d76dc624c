import numpy as np
import numpy.typing as npt
import pytest

from bitlm.compiled import compiled
from bitlm.tiles import add_tile_16, add_tile_32, add_turned_16, add_turned_32

Array = npt.NDArray[np.float32]


@compiled
def by_rows(out: Array, a: Array, w: Array, count: int, columns: int) -> None:
    if columns == 16:
        add_tile_16(out, 1, 2, a, 3, 1, w, 2, 5, count)
    else:
        add_tile_32(out, 1, 2, a, 3, 1, w, 2, 5, count)


@compiled
def by_columns(out: Array, a: Array, w: Array, count: int, columns: int) -> None:
    if columns == 16:
        add_turned_16(out, 1, 2, a, 1, 3, w, 2, 5, count)
    else:
        add_turned_32(out, 1, 2, a, 1, 3, w, 2, 5, count)


@pytest.mark.parametrize("count", [1, 2, 33])
@pytest.mark.parametrize("columns", [16, 32])
def test_a_tile_adds_its_products_and_touches_nothing_else(count: int, columns: int) -> None:
    draw = np.random.default_rng(count)
    a, w, start = (draw.standard_normal(shape, dtype=np.float32) for shape in ((40, 40), (40, 40), (7, 40)))
    expected = start.astype(np.float64)
    expected[1:5, 2 : 2 + columns] += (
        a[3:7, 1 : 1 + count].astype(np.float64) @ w[2 : 2 + count, 5 : 5 + columns]
    )
    out = start.copy()
    by_rows(out, a, w, count, columns)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    outside = np.ones(out.shape, dtype=bool)
    outside[1:5, 2 : 2 + columns] = False
    assert (out[outside] == start[outside]).all()
    turned = start.copy()
    by_columns(turned, np.ascontiguousarray(a.T), w, count, columns)
    assert (turned == out).all()
