"""What weights may be kept as."""

from typing import Literal, get_args

from bitlm.errors import ConfigError

Precision = Literal["float32", "int8", "int4"]
"""As they are, or as whole numbers of so many bits."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_BITS = {"float32": None, "int8": 8, "int4": 4}


def bits_of(precision: str) -> int | None:
    """Return the bits of a weight's whole number; None where weights are kept as they are.

    Raises:
        ConfigError: There is no such precision.
    """
    if precision not in _BITS:
        raise ConfigError("weights", precision, f"use one of {', '.join(PRECISIONS)}.")
    return _BITS[precision]
