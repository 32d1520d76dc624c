"""Bytes as the characters they spell: of a whole text, or one by one while it comes."""

from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator

REPLACEMENT = "\ufffd"
"""What a byte that is not UTF-8 is shown as."""


class CharacterSplitter:
    """Says of bytes that come one by one which characters are complete; a byte that is not UTF-8 is one."""

    def __init__(self) -> None:
        self._held = bytearray()

    def read(self, value: int) -> list[tuple[str, int]]:
        """Take in a byte; return the characters that are certain now, each with its length in bytes."""
        self._held.append(value)
        return list(self._certain(final=False))

    def end(self) -> list[tuple[str, int]]:
        """Return what is left when no byte follows."""
        return list(self._certain(final=True))

    def _certain(self, *, final: bool) -> Iterator[tuple[str, int]]:
        while self._held:
            try:
                character = getincrementaldecoder("utf-8")().decode(bytes(self._held), final)
            except UnicodeDecodeError:
                del self._held[0]
                yield REPLACEMENT, 1
                continue
            if not character:
                return
            yield character, len(self._held)
            self._held.clear()


def characters(data: Iterable[int]) -> Iterator[tuple[str, int]]:
    """Yield each character and its length in bytes; a byte that is not UTF-8 is a U+FFFD of its own."""
    splitter = CharacterSplitter()
    for value in data:
        yield from splitter.read(value)
    yield from splitter.end()
