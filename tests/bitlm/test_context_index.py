import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitlm.context_index import ContextIndex, Counts, context_order

few_letters = st.text("ab\xff", min_size=1, max_size=40).map(lambda text: text.encode("latin-1"))
ORDER = 8


def index_of(data: bytes) -> ContextIndex:
    text = np.frombuffer(data, dtype=np.uint8)
    return ContextIndex.of(text[context_order(text)])


def row(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)[None]


def counted_slowly(data: bytes, text: bytes, place: int, bit: int, order: int) -> list[int]:
    """Compare the context at every place of a ring, letter by letter."""
    context, prefix = text[place - order : place], text[place] >> (8 - bit)
    found = [0, 0]
    for other in range(len(data)):
        before = bytes(data[(other - distance) % len(data)] for distance in range(order, 0, -1))
        if before == context and data[other] >> (8 - bit) == prefix:
            found[data[other] >> (7 - bit) & 1] += 1
    return found


def assert_counts(counts: Counts, at: tuple[int, int, int], expected: list[int]) -> None:
    place, bit, order = at
    assert [counts.zeros[0, place, bit, order], counts.ones[0, place, bit, order]] == expected


@given(data=few_letters, text=few_letters, order=st.integers(0, ORDER), bit=st.integers(0, 7), draw=st.data())
def test_counts_equal_those_of_looking_at_every_place(
    data: bytes, text: bytes, order: int, bit: int, draw: st.DataObject
) -> None:
    place = draw.draw(st.integers(0, len(text) - 1))
    counts = index_of(data).path_counts(row(text), ORDER)
    known = place >= order
    expected = counted_slowly(data, text, place, bit, order) if known else [0, 0]
    assert_counts(counts, (place, bit, order), expected)


@given(data=few_letters, text=few_letters)
def test_going_down_the_tree_bit_by_bit_gives_the_counts_of_the_whole_row(data: bytes, text: bytes) -> None:
    index = index_of(data)
    whole = index.path_counts(row(text), ORDER)
    stretches, at_once = index.begin(1, ORDER + 1), index.begin(1, ORDER + 1)
    for place, value in enumerate(text):
        zeros, ones = index.node_counts(stretches, range(8))
        for bit in range(8):
            node = (1 << bit) - 1 + (value >> (8 - bit))
            assert (zeros[0, node] == whole.zeros[0, place, bit]).all()
            assert (ones[0, node] == whole.ones[0, place, bit]).all()
            below = index.node_counts(stretches, range(bit, bit + 1))
            assert (below[0][0, 0] == whole.zeros[0, place, bit]).all()
            index.descend(stretches, bit, np.array([bool(value >> (7 - bit) & 1)]))
        read = np.array([value], dtype=np.uint8)
        index.lengthen(stretches, read)
        index.read(at_once, read)
        assert (stretches == at_once).all()


def test_a_hand_worked_ring() -> None:
    # Of the ring "abab" both "a" are followed by "b" (0110 0010): at its last node but one, a 1 twice.
    counts = index_of(b"abab").path_counts(row(b"ab"), 1)
    assert_counts(counts, (1, 6, 1), [0, 2])
    # Nothing before the row's first byte was given.
    assert_counts(counts, (0, 0, 1), [0, 0])
    assert_counts(counts, (0, 0, 0), [4, 0])


def test_an_index_takes_one_and_a_half_bytes_a_byte_of_text() -> None:
    index = index_of(bytes(range(256)) * 64)
    words = index.matrix.words.nbytes
    assert words / index.length < 1.01
    assert (words + index.matrix.ones_before.nbytes) / index.length < 1.52
