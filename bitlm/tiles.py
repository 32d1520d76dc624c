"""Products of small tiles, for compiled functions: four rows times 16 or 32 columns, kept in registers.

What the compiler makes of a loop over columns reads and writes its sums at every step; these keep them, and
run at the speed of the processor's multiply-adds. Each sum starts with what is there and adds the products
from the first to the last, each rounded once.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS, LANES = 4, 16

Array = npt.NDArray[np.float32]
Tile = Callable[[Array, int, int, Array, int, int, Array, int, int, int], None]

_MATRIX = types.Array(types.float32, 2, "C")
_INTEGER = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
FMA = f"llvm.fma.v{LANES}f32"


def _tile(columns: int, *, turned: bool) -> Tile:
    """Return out[i + r, j + c] += Σ_k a[ai + r, aj + k] · w[wi + k, wj + c], or a[ai + k, aj + r] if turned.

    For 4 rows r, as many columns c as said and k below a count that is at least 1.
    """
    places = (types.intp, types.intp)
    signature = types.void(_MATRIX, *places, _MATRIX, *places, _MATRIX, *places, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrices = [_address(context, builder, signature, arguments, place) for place in (0, 3, 6)]
        _add_products(builder, matrices, arguments[9], columns, turned=turned)
        return context.get_dummy_value()

    def ten(
        _context: Any, _out: Any, _i: Any, _j: Any, _a: Any, _ai: Any, _aj: Any, _w: Any, _wi: Any, _wj: Any,
        _count: Any,
    ) -> Any:  # fmt: skip
        return signature, generate

    return cast("Tile", intrinsic(ten))


def _address(context: Any, builder: Any, signature: Any, arguments: Any, place: int) -> tuple[Any, Any]:
    """Return where the first element meant of an argument's matrix is, and how far apart its rows are."""
    array = context.make_array(signature.args[place])(context, builder, arguments[place])
    row, column = arguments[place + 1 : place + 3]
    stride = builder.extract_value(array.strides, 0)
    first = builder.add(builder.ptrtoint(array.data, _INTEGER), builder.mul(column, _INTEGER(4)))
    return builder.add(first, builder.mul(row, stride)), stride


def _add_products(builder: Any, matrices: Any, count: Any, columns: int, *, turned: bool) -> None:
    """Write the loop over k: the sums are its variables."""
    (out, out_stride), (a, a_stride), (w, w_stride) = matrices
    a_row, a_step = (_INTEGER(4), a_stride) if turned else (a_stride, _INTEGER(4))
    lanes = [_INTEGER(4 * c) for c in range(0, columns, LANES)]

    def along(first: Any, stride: Any, row: int) -> Any:
        return builder.add(first, builder.mul(stride, _INTEGER(row)))

    sums = [builder.add(along(out, out_stride, r), lane) for r in range(ROWS) for lane in lanes]
    begin, begun = builder.block, [_load(builder, place, _VECTOR) for place in sums]
    loop, done = builder.append_basic_block("products"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    step, from_a, from_w = (builder.phi(_INTEGER) for _ in range(3))
    held = [builder.phi(_VECTOR) for _ in sums]
    factors = [_load(builder, along(from_a, a_row, r), ir.FloatType()) for r in range(ROWS)]
    weights = [_load(builder, builder.add(from_w, lane), _VECTOR) for lane in lanes]
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fma = cgutils.get_or_insert_function(builder.module, kind, FMA)  # type: ignore[no-untyped-call]
    pairs = [(same, weight) for same in [_splat(builder, factor) for factor in factors] for weight in weights]
    grown = [builder.call(fma, [*pair, sum_]) for pair, sum_ in zip(pairs, held, strict=True)]
    following = builder.add(step, _INTEGER(1))
    ways = [(step, _INTEGER(0), following), (from_a, a, builder.add(from_a, a_step))]
    ways += [(from_w, w, builder.add(from_w, w_stride)), *zip(held, begun, grown, strict=True)]
    for phi, first, later in ways:
        phi.add_incoming(first, begin)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    for place, value in zip(sums, grown, strict=True):
        builder.store(value, builder.inttoptr(place, _VECTOR.as_pointer()), align=4)


def _load(builder: Any, place: Any, kind: Any) -> Any:
    return builder.load(builder.inttoptr(place, kind.as_pointer()), align=4)


def _splat(builder: Any, value: Any) -> Any:
    """Return a vector of one number."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


add_tile_16, add_tile_32 = _tile(16, turned=False), _tile(32, turned=False)
add_turned_16, add_turned_32 = _tile(16, turned=True), _tile(32, turned=True)
