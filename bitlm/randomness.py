"""Counter-based randomness: every draw is a function of (seed, step, purpose).

Nothing about a generator is ever saved. Two draws of the same name are equal, so a step can be
recomputed, replayed or forked without remembering what was drawn before it.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011 (the idea of keyed counters).
"""

import hashlib

import torch


def counter_seed(seed: int, step: int, purpose: str, *indices: int) -> int:
    """Return the 63-bit key of one draw.

    Args:
        seed: The run's seed.
        step: The step, or any other counter, the draw belongs to.
        purpose: What is drawn ("batch", "dropout", …), so that purposes never share a stream.
        indices: Further counters, such as layer and branch.
    """
    name = "/".join([str(seed), str(step), purpose, *(str(index) for index in indices)])
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1


def uniform(seed: int, step: int, purpose: str, *indices: int) -> float:
    """Return one draw from [0, 1), 53 bits of it, keyed as `counter_seed` is."""
    return (counter_seed(seed, step, purpose, *indices) >> 10) * 2.0**-53


def generator(seed: int, step: int, purpose: str, *indices: int) -> torch.Generator:
    """Return a fresh CPU generator keyed by `counter_seed` of the same arguments."""
    return torch.Generator().manual_seed(counter_seed(seed, step, purpose, *indices))
