from hypothesis import given
from hypothesis import strategies as st

from bitlm.characters import CharacterSplitter, characters


@given(text=st.text())
def test_text_is_split_into_its_characters(text: str) -> None:
    assert list(characters(text.encode())) == [(one, len(one.encode())) for one in text]


@given(data=st.binary())
def test_every_byte_belongs_to_one_character(data: bytes) -> None:
    found = list(characters(data))
    assert sum(length for _, length in found) == len(data)
    assert all(length == 1 for character, length in found if character == "\ufffd")


def test_a_byte_that_is_not_utf8_is_a_character_of_its_own() -> None:
    assert list(characters(b"a\xffb")) == [("a", 1), ("\ufffd", 1), ("b", 1)]
    assert list(characters(b"\xe2\x82a")) == [("\ufffd", 1), ("\ufffd", 1), ("a", 1)]
    assert list(characters(b"\xc3")) == [("\ufffd", 1)]


def test_a_character_is_told_with_the_byte_that_completes_or_breaks_it() -> None:
    splitter = CharacterSplitter()
    assert [splitter.read(value) for value in "€".encode()] == [[], [], [("€", 3)]]
    assert [splitter.read(value) for value in b"\xe2a"] == [[], [("\ufffd", 1), ("a", 1)]]
    assert splitter.end() == []
