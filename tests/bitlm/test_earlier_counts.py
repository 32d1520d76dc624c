import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitlm.context_index import ContextIndex, context_order
from bitlm.data import Corpus
from bitlm.earlier_counts import AdaptiveCounts, EarlierCounts, earlier_in_row

ORDER = 8
few_letters = st.text("ab\xff", min_size=1, max_size=24).map(lambda text: text.encode("latin-1"))


def values(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)


def index_of(data: bytes) -> ContextIndex:
    return ContextIndex.of(values(data)[context_order(values(data))])


def counted_before(data: bytes, place: int, bit: int, order: int, *, ring: bool) -> list[int]:
    context = data[place - order : place]
    found = [0, 0]
    for other in range(0 if ring else order, place):
        before = bytes(data[(other - distance) % len(data)] for distance in range(order, 0, -1))
        if before == context and data[other] >> (8 - bit) == data[place] >> (8 - bit):
            found[data[other] >> (7 - bit) & 1] += 1
    return found


@given(data=few_letters, order=st.integers(0, ORDER), bit=st.integers(0, 7), draw=st.data())
def test_of_a_short_text_the_earlier_counts_are_exact(
    data: bytes, order: int, bit: int, draw: st.DataObject
) -> None:
    start = draw.draw(st.integers(0, len(data) - 1))
    place = draw.draw(st.integers(start, len(data) - 1))
    counts = EarlierCounts(values(data)).before(values(data)[None, start:], np.array([start]), ORDER)
    known = place - start >= order
    expected = counted_before(data, place, bit, order, ring=True) if known else [0, 0]
    at = (0, place - start, bit, order)
    assert [counts.zeros[at], counts.ones[at]] == expected


def test_a_byte_never_meets_its_own_answer() -> None:
    # Whatever the byte at a place is, the counts it is predicted from are the same.
    text = bytearray(Corpus.embedded().data[:4000])
    start, place = 3000, 3100
    found = []
    for value in (text[place], text[place] ^ 1):
        text[place] = value
        data = np.frombuffer(bytes(text), dtype=np.uint8)
        counts = EarlierCounts(data).before(data[None, start : start + 200], np.array([start]), ORDER)
        found.append((counts.zeros[0, place - start, 7], counts.ones[0, place - start, 7]))
    rare = np.add(*found[0]) <= 5
    assert rare[4:].all()
    assert (np.array(found[0])[:, rare] == np.array(found[1])[:, rare]).all()


def test_a_common_context_counts_about_as_often_as_it_came_earlier() -> None:
    data = values(Corpus.embedded().data[:60_000])
    starts = np.array([10_000, 30_000, 50_000])
    rows = np.stack([data[start : start + 64] for start in starts])
    counts = EarlierCounts(data).before(rows, starts, 2)
    seen = counts.zeros[:, :, 0, 0] + counts.ones[:, :, 0, 0]
    assert np.abs(seen / (starts[:, None] + np.arange(64)) - 1).max() < 0.6


def test_every_other_row_of_a_step_is_counted_as_if_the_text_had_ended_a_sixteenth_earlier() -> None:
    data = values(Corpus.embedded().data[:16_000])
    counted = EarlierCounts(data)
    starts = np.array([400, 5_000, 9_000])
    rows = np.stack([data[start : start + 64] for start in starts])
    near, far = counted.before(rows, starts, 4), counted.before(rows, starts - 1_000, 4)
    for step, are_far in ((0, [True, False, True]), (1, [False, True, False])):
        found = counted.of_step(step, rows, starts, 4)
        for row, is_far in enumerate(are_far):
            expected = far if is_far else near
            assert np.array_equal(found.zeros[row], expected.zeros[row])
            assert np.array_equal(found.ones[row], expected.ones[row])
    assert counted.of_step(0, rows, starts, 4).zeros[0].max() == 0  # nothing lies so far before it


@given(data=few_letters, order=st.integers(0, ORDER), bit=st.integers(0, 7), draw=st.data())
def test_counts_in_one_row_equal_those_of_looking_at_every_place(
    data: bytes, order: int, bit: int, draw: st.DataObject
) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    counts = earlier_in_row(values(data), ORDER)
    expected = counted_before(data, place, bit, order, ring=False) if place >= order else [0, 0]
    assert [counts.zeros[0, place, bit, order], counts.ones[0, place, bit, order]] == expected


def test_adaptive_counts_are_the_training_texts_and_those_of_what_was_read() -> None:
    text = values(Corpus.embedded().held_out[:3000])
    trained = index_of(Corpus.embedded().train[:5000])
    adaptive = AdaptiveCounts(trained, text, 3)
    read = earlier_in_row(text, 3)
    for starts in (np.array([0, 128]), np.array([256, 384]), np.array([2000])):
        counts = adaptive.before(starts, 256)
        where = starts[:, None] + np.arange(256)
        fixed = trained.path_counts(text[where], 3)
        # A row's first bytes have no context in the training text: it was not given.
        assert (counts.ones[:, 3:] == (fixed.ones + read.ones[0][where])[:, 3:]).all()
        assert (counts.zeros[:, 3:] == (fixed.zeros + read.zeros[0][where])[:, 3:]).all()


def test_a_new_segment_changes_no_count_but_at_the_seam_of_its_ring() -> None:
    text = values(Corpus.embedded().held_out[:3000])
    trained = index_of(b"abc")
    straight, late = AdaptiveCounts(trained, text, 4), AdaptiveCounts(trained, text, 4)
    late._begin_segment(1024, 1500)
    starts = np.array([1100, 1200])
    one, other = straight.before(starts, 200), late.before(starts, 200)
    # A context across the seam is not the row's; the ring of what was read closes over it.
    assert np.abs(one.ones - other.ones)[:, 4:].max() <= 4
    assert (one.ones == other.ones)[:, 4:].mean() > 0.99
