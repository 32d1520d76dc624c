"""What a gate is there to refuse, made on purpose: loops, noise, damaged text and broken characters."""

from collections.abc import Callable
from functools import partial
from importlib.resources import files

import numpy as np

from bitlm.bits import LONGEST_CHARACTER
from bitlm.telemetry.repetition import LEAST_COPIES, LONGEST_PERIOD

Maker = Callable[[bytes, int, np.random.Generator], bytes]
"""Takes a text, at least as long as the sample, the sample's bytes, and what draws; makes one sample."""

NO_BYTE_OF_UTF8 = 0xFF
CONTINUATIONS = range(0x80, 0xC0)
"""The bytes of a UTF-8 character after its first."""

CUT_SHORT = "😀".encode()[:2]
"""The first half of a character of four bytes."""


def cut(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:
    """Return a passage that starts anywhere in the text, at the character that stands there."""
    start = character_start(text, int(random.integers(0, len(text) - length_bytes + 1)))
    return text[start : start + length_bytes]


def character_start(text: bytes, place: int) -> int:
    """Return where the UTF-8 character at a place of the text begins; the place itself in other texts."""
    for start in range(place, max(place - LONGEST_CHARACTER, -1), -1):
        if text[start] not in CONTINUATIONS:
            return start
    return place


def loop(text: bytes, length_bytes: int, random: np.random.Generator, *, period: int) -> bytes:
    """Return so many bytes of text over and over, the last copy possibly cut off."""
    passage = cut(text, period, random)
    return (passage * (length_bytes // period + 1))[:length_bytes]


def any_loop(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:
    """Return a loop of any period that leaves room for four copies."""
    return loop(text, length_bytes, random, period=int(random.integers(1, _longest_period(length_bytes) + 1)))


def longest_loop(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:
    """Return a loop of the longest such period: four copies in up to 256 bytes, the hardest to notice."""
    return loop(text, length_bytes, random, period=_longest_period(length_bytes))


def noise(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:  # noqa: ARG001 - a maker
    """Return bytes of any value, each equally likely."""
    return random.bytes(length_bytes)


def printable_noise(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:  # noqa: ARG001 - a maker
    """Return printable ASCII characters, each equally likely."""
    return random.integers(32, 127, length_bytes, dtype=np.uint8).tobytes()


def flipped(text: bytes, length_bytes: int, random: np.random.Generator, *, share: float) -> bytes:
    """Return text of which each bit is flipped with that chance."""
    bits = np.unpackbits(np.frombuffer(cut(text, length_bytes, random), dtype=np.uint8))
    return np.packbits(bits ^ (random.random(bits.size) < share)).tobytes()


def shuffled(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:
    """Return a passage with its bytes in random order."""
    return random.permutation(np.frombuffer(cut(text, length_bytes, random), dtype=np.uint8)).tobytes()


def broken_byte(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:
    """Return text of which one byte is none of UTF-8."""
    place = int(random.integers(0, length_bytes))
    passage = cut(text, length_bytes, random)
    return passage[:place] + bytes([NO_BYTE_OF_UTF8]) + passage[place + 1 :]


def cut_character(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:
    """Return text that has half a character before one of its own."""
    passage = cut(text, length_bytes, random)
    place = character_start(passage, int(random.integers(0, length_bytes - len(CUT_SHORT))))
    return (passage[:place] + CUT_SHORT + passage[place:])[:length_bytes]


def german(text: bytes, length_bytes: int, random: np.random.Generator) -> bytes:  # noqa: ARG001 - a maker
    """Return a passage in another language: Luther's Bible, in the wording of 1912."""
    return cut(files("bitlm.calibration").joinpath("german.txt").read_bytes(), length_bytes, random)


FAILURES: dict[str, Maker] = {
    "8-byte loop": partial(loop, period=8),
    "loop of any period": any_loop,
    "longest loop": longest_loop,
    "random bytes": noise,
    "printable noise": printable_noise,
    "5 % flipped bits": partial(flipped, share=0.05),
    "10 % flipped bits": partial(flipped, share=0.1),
    "15 % flipped bits": partial(flipped, share=0.15),
    "shuffled bytes": shuffled,
    "one broken byte": broken_byte,
    "cut character": cut_character,
}
"""What is to be refused. Periods are 1 to 64 bytes, and every loop has at least four copies."""

OTHERS: dict[str, Maker] = {
    "1 % flipped bits": partial(flipped, share=0.01),
    "2 % flipped bits": partial(flipped, share=0.02),
    "German": german,
}
"""What is between text and failure: reported, but nobody says what a gate should do about it."""

BROKEN_TEXT = ("one broken byte", "cut character")
"""The failures that are none where the training text is not UTF-8."""


def _longest_period(length_bytes: int) -> int:
    return min(LONGEST_PERIOD, length_bytes // LEAST_COPIES)
