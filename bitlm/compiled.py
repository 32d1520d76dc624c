"""Functions compiled for this processor (numba): loops over numbers that no library's call covers.

The compiler may reorder nothing, and `fused` and `to_whole` round once, as IEEE 754 defines them. So 32-bit
sums and products of a compiled function are the same bits on every processor.
"""

import hashlib
import inspect
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function at its first call, for later runs as well; it runs without the interpreter's lock.

    Args:
        function: Of arrays, numbers and named tuples of them, in the part of Python that numba compiles.
    """
    plain = inspect.unwrap(function)  # without checks of types while it runs
    folder, others = code_folder(), config.CACHE_DIR  # type: ignore[attr-defined] # set when it is loaded
    config.CACHE_DIR = folder  # type: ignore[attr-defined]
    try:
        return njit(plain, nogil=True, cache=bool(folder), error_model="numpy")  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = others  # type: ignore[attr-defined]


@cache
def code_folder() -> str:
    """Return where the machine's code is kept: beside the package, or in the user's cache; "" for nowhere.

    The folder's name tells the sources apart: code is compiled together with what it calls from other files,
    whose changes numba would not notice.
    """
    package = Path(__file__).parent
    sources = sorted([*package.glob("*.py"), *package.glob("model/*.py")])
    digest = hashlib.blake2b(b"".join(source.read_bytes() for source in sources), digest_size=8).hexdigest()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    for place in (package / "__pycache__", caches / "bitlm"):
        try:
            folder = place.expanduser() / f"compiled-{digest}"
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # it cannot be written, or the user has no home
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return ""


def _fused(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    signature = types.float32(types.float32, types.float32, types.float32)
    return signature, lambda _target, builder, _signature, arguments: builder.fma(*arguments)


def _to_whole(_context: Any, _value: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [value.type]), [value])

    return types.float32(types.float32), generate


def _ones_in(_context: Any, _word: Any) -> Any:
    signature = types.uint64(types.uint64)
    return signature, lambda _target, builder, _signature, arguments: builder.ctpop(*arguments)


fused = cast("Callable[[np.float32, np.float32, np.float32], np.float32]", intrinsic(_fused))
"""In compiled functions: a·b + c in 32 bits, rounded once."""

to_whole = cast("Callable[[np.float32], np.float32]", intrinsic(_to_whole))
"""In compiled functions: the nearest whole number in 32 bits, ties to even, as torch's `round`."""

ones_in = cast("Callable[[np.uint64], np.uint64]", intrinsic(_ones_in))
"""In compiled functions: how many bits of a 64-bit word are 1."""
