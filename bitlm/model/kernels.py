"""Arithmetic on rows of 32-bit floats, compiled: what decoding is made of.

A row is added up in one order, whatever stands beside it: products from the first input to the last, sums in
eight parts. The factors of a product are [input, output].
"""

import numpy as np
import numpy.typing as npt

from bitlm.compiled import compiled, fused, to_whole

Array = npt.NDArray[np.float32]

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
NORM_EPSILON = np.float32(1e-5)
"""As torch's LayerNorm has it."""

LOWEST_EXPONENT, LOG2_E = np.float32(-87.0), np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
EXPONENTIAL = tuple(
    np.float32(factor)
    for factor in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
)
"""Of (e^r − 1 − r) / r² for |r| ≤ ln 2 / 2, highest power first (Moshier, Cephes, expf)."""

LOGARITHM = tuple(
    np.float32(factor)
    for factor in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
"""Of (ln(1 + r) − r + r² / 2) / r³ for r from √½ − 1 to √2 − 1, highest power first (Cephes, logf)."""

ROOT_HALF, ERF_REACH = np.float32(0.70710678), np.float32(0.3275911)
ERF = tuple(
    np.float32(factor) for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
)
"""Abramowitz & Stegun, Handbook of Mathematical Functions, 7.1.26: the error is below 1.5·10⁻⁷."""


@compiled
def exponential(value: np.float32) -> np.float32:
    """Return e^value, to 2 units in the last place; 0 below -87. Not for values above 88."""
    bounded = max(value, LOWEST_EXPONENT)
    whole = to_whole(bounded * LOG2_E)
    rest = fused(-whole, LN2_LOW, fused(-whole, LN2_HIGH, bounded))
    power = EXPONENTIAL[0]
    power = fused(power, rest, EXPONENTIAL[1])
    power = fused(power, rest, EXPONENTIAL[2])
    power = fused(power, rest, EXPONENTIAL[3])
    power = fused(power, rest, EXPONENTIAL[4])
    power = fused(power, rest, EXPONENTIAL[5])
    fraction = fused(power, rest * rest, rest) + ONE
    scale = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    return fraction * scale.view(np.float32) if value >= LOWEST_EXPONENT else ZERO


@compiled
def logarithm(value: np.float32) -> np.float32:
    """Return ln value, to 2 units in the last place, for normal numbers above 0."""
    bits = np.float32(value).view(np.int32)
    exponent = np.float32(np.int32(bits >> np.int32(23)) - np.int32(126))
    half_to_one = np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)).view(np.float32)
    low = half_to_one < ROOT_HALF
    exponent = exponent - ONE if low else exponent
    rest = half_to_one + half_to_one - ONE if low else half_to_one - ONE
    power = LOGARITHM[0]
    power = fused(power, rest, LOGARITHM[1])
    power = fused(power, rest, LOGARITHM[2])
    power = fused(power, rest, LOGARITHM[3])
    power = fused(power, rest, LOGARITHM[4])
    power = fused(power, rest, LOGARITHM[5])
    power = fused(power, rest, LOGARITHM[6])
    power = fused(power, rest, LOGARITHM[7])
    power = fused(power, rest, LOGARITHM[8])
    square = rest * rest
    small = fused(exponent, LN2_LOW, power * rest * square)
    return fused(exponent, LN2_HIGH, rest + fused(-HALF, square, small))


@compiled
def gelu(value: np.float32) -> np.float32:
    """Return value · Φ(value), Φ the normal distribution's, to 3·10⁻⁷."""
    tail = normal_tail(abs(value), exponential(-HALF * value * value))
    return value * (tail if value < ZERO else ONE - tail)


@compiled
def normal_tail(size: np.float32, density: np.float32) -> np.float32:
    """Return Φ(-size), given e^(-size² / 2)."""
    reach = ONE / fused(ERF_REACH * ROOT_HALF, size, ONE)
    series = ERF[0]
    series = fused(series, reach, ERF[1])
    series = fused(series, reach, ERF[2])
    series = fused(series, reach, ERF[3])
    series = fused(series, reach, ERF[4])
    return HALF * series * reach * density


@compiled
def total(row: Array) -> np.float32:
    """Return the sum of a row, in eight parts."""
    a = b = c = d = e = f = g = h = ZERO
    most = len(row) - len(row) % 8
    for j in range(0, most, 8):
        a += row[j]
        b += row[j + 1]
        c += row[j + 2]
        d += row[j + 3]
        e += row[j + 4]
        f += row[j + 5]
        g += row[j + 6]
        h += row[j + 7]
    rest = ZERO
    for j in range(most, len(row)):
        rest += row[j]
    return ((a + e) + (b + f)) + ((c + g) + (d + h)) + rest


@compiled
def normalise(row: Array, gain: Array, out: Array) -> np.float32:
    """Write the layer norm of a row; return what its distances from the mean are multiplied by."""
    count = np.float32(len(row))
    mean = total(row) / count
    for j in range(len(row)):
        out[j] = (row[j] - mean) * (row[j] - mean)
    scale: np.float32 = ONE / np.sqrt(total(out) / count + NORM_EPSILON)
    for j in range(len(row)):
        out[j] = (row[j] - mean) * scale * gain[j]
    return scale


@compiled
def product(rows: Array, weights: Array, out: Array) -> None:
    """Write rows @ weights: four rows at a time, so that weights are read once for them; the rest singly."""
    inputs = weights.shape[0]
    quarter = inputs - inputs % 4
    out[:] = ZERO
    together = len(rows) - len(rows) % 4
    for r in range(0, together, 4):
        a, b, c, d = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        into_a, into_b, into_c, into_d = out[r], out[r + 1], out[r + 2], out[r + 3]
        for k in range(0, quarter, 4):
            first, second, third, fourth = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
            d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
            for j in range(len(first)):
                w0, w1, w2, w3 = first[j], second[j], third[j], fourth[j]
                into_a[j] = fused(a3, w3, fused(a2, w2, fused(a1, w1, fused(a0, w0, into_a[j]))))
                into_b[j] = fused(b3, w3, fused(b2, w2, fused(b1, w1, fused(b0, w0, into_b[j]))))
                into_c[j] = fused(c3, w3, fused(c2, w2, fused(c1, w1, fused(c0, w0, into_c[j]))))
                into_d[j] = fused(d3, w3, fused(d2, w2, fused(d1, w1, fused(d0, w0, into_d[j]))))
        for row in range(r, r + 4):
            for k in range(quarter, inputs):
                add_scaled(rows[row, k], weights[k], out[row])
    for row in range(together, len(rows)):
        add_product(rows[row], weights, out[row])


@compiled
def add_product(row: Array, weights: Array, into: Array) -> None:
    """Add row @ weights."""
    inputs = weights.shape[0]
    quarter = inputs - inputs % 4
    for k in range(0, quarter, 4):
        first, second, third, fourth = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        a0, a1, a2, a3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        for j in range(len(into)):
            low = fused(a1, second[j], fused(a0, first[j], into[j]))
            into[j] = fused(a3, fourth[j], fused(a2, third[j], low))
    for k in range(quarter, inputs):
        add_scaled(row[k], weights[k], into)


@compiled
def add_scaled(factor: np.float32, row: Array, into: Array) -> None:
    """Add a multiple of a row."""
    for j in range(len(into)):
        into[j] = fused(factor, row[j], into[j])


@compiled
def bend(row: Array) -> None:
    """Apply GELU, in place."""
    for j in range(len(row)):
        row[j] = gelu(row[j])
