from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitlm.bits import (
    LEAST_BYTE_OF_A_LONG_CHARACTER,
    LONGEST_CHARACTER,
    FaultFinder,
    add_parity,
    as_bits,
    bits_to_bytes,
    bits_to_text,
    bytes_to_bits,
    drop_parity,
    encode_frames,
    enforce_parity,
    first_fault,
    frame_bits,
    pack_bytes,
    parity_errors,
    text_to_bits,
    unpack_bytes,
    utf8_validity,
)
from bitlm.errors import BitFormatError, ParityError

# "A" is 0x41 = 0100 0001: two ones, so its parity bit is 0; "C" is 0x43 and has three.
A_BITS = [0, 1, 0, 0, 0, 0, 0, 1]
C_BITS = [0, 1, 0, 0, 0, 0, 1, 1]


@given(text=st.text(), parity=st.booleans())
def test_bits_to_text_undoes_text_to_bits(text: str, parity: bool) -> None:  # noqa: FBT001
    assert bits_to_text(text_to_bits(text, parity=parity), parity=parity) == text


@given(data=st.binary(), parity=st.booleans())
def test_bits_to_bytes_undoes_bytes_to_bits(data: bytes, parity: bool) -> None:  # noqa: FBT001
    bits = bytes_to_bits(data, parity=parity)
    assert bits.dtype == torch.uint8
    assert len(bits) == frame_bits(parity) * len(data)
    assert bits_to_bytes(bits, parity=parity) == data


def test_bits_are_most_significant_first_and_parity_makes_the_sum_even() -> None:
    assert bytes_to_bits(b"A").tolist() == A_BITS
    assert bytes_to_bits(b"AC", parity=True).tolist() == [*A_BITS, 0, *C_BITS, 1]


def test_there_is_no_parity_unless_it_is_asked_for() -> None:
    assert text_to_bits("A").tolist() == A_BITS
    assert bits_to_text(A_BITS) == "A"
    assert bits_to_bytes(A_BITS) == b"A"


def test_a_row_of_bits_is_taken_as_it_is_and_not_copied() -> None:
    row = torch.tensor(A_BITS, dtype=torch.uint8)
    assert as_bits(row).data_ptr() == row.data_ptr()


@given(rows=st.lists(st.binary(min_size=3, max_size=3), min_size=1, max_size=4), parity=st.booleans())
def test_a_batch_is_encoded_as_its_rows_are(rows: list[bytes], parity: bool) -> None:  # noqa: FBT001
    values = torch.tensor([list(row) for row in rows], dtype=torch.uint8)
    expected = torch.stack([bytes_to_bits(row, parity=parity) for row in rows])
    assert torch.equal(encode_frames(values, parity=parity), expected)


@given(data=st.binary(min_size=1), where=st.data())
def test_any_single_flip_is_noticed(data: bytes, where: st.DataObject) -> None:
    bits = bytes_to_bits(data, parity=True)
    flip = where.draw(st.integers(0, len(bits) - 1))
    bits[flip] ^= 1
    assert parity_errors(bits) == [flip // 9]
    with pytest.raises(ParityError) as caught:
        bits_to_bytes(bits, parity=True)
    assert caught.value.frames == (flip // 9,)


@given(data=st.binary(min_size=1), where=st.data())
def test_enforcing_parity_counts_the_frames_it_changed_and_leaves_the_payload(
    data: bytes, where: st.DataObject
) -> None:
    frames = bytes_to_bits(data, parity=True).reshape(-1, 9)
    wrong = where.draw(st.sets(st.integers(0, len(frames) - 1)))
    for frame in wrong:
        frames[frame, where.draw(st.integers(0, 8))] ^= 1
    repaired, count = enforce_parity(frames.flatten())
    assert count == len(wrong)
    assert parity_errors(repaired) == []
    assert torch.equal(drop_parity(repaired.reshape(-1, 9)), drop_parity(frames))


@given(data=st.binary())
def test_packing_and_dropping_undo_unpacking_and_adding(data: bytes) -> None:
    values = torch.tensor(list(data), dtype=torch.uint8)
    assert torch.equal(pack_bytes(drop_parity(add_parity(unpack_bytes(values)))), values)


@pytest.mark.parametrize(
    "bits",
    [A_BITS, tuple(A_BITS), np.array(A_BITS), np.array(A_BITS, dtype=bool), torch.tensor(A_BITS)],
    ids=["list", "tuple", "array", "booleans", "tensor"],
)
def test_bits_may_come_as_a_sequence_an_array_or_a_tensor(bits: torch.Tensor) -> None:
    assert bits_to_bytes(bits) == b"A"


def test_no_bits_are_no_bytes() -> None:
    assert bits_to_bytes([]) == b""
    assert text_to_bits("").tolist() == []
    assert enforce_parity([])[1] == 0


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (torch.tensor([0, 1, 2]), "element 2 is 2; a bit is 0 or 1"),
        (torch.tensor([0, 256]), "element 1 is 256"),
        (np.array([-1, 0]), "element 0 is -1"),
        (torch.tensor([0.0, 1.0]), "the type float32; pass whole numbers"),
        (torch.tensor([1.0], dtype=torch.bfloat16), "not a row of numbers"),
        (torch.zeros(2, 8, dtype=torch.uint8), r"shape \(2, 8\); pass one row"),
    ],
)
def test_what_is_no_bit_is_refused_by_name(bits: torch.Tensor, message: str) -> None:
    with pytest.raises(BitFormatError, match=message):
        as_bits(bits)


@pytest.mark.parametrize("convert", [pack_bytes, add_parity])
def test_a_payload_with_something_that_is_no_bit_is_refused(convert: Callable[[Tensor], Tensor]) -> None:
    payload = torch.tensor([A_BITS, A_BITS], dtype=torch.uint8)
    payload[1, 3] = 2
    with pytest.raises(BitFormatError, match="element 11 is 2; a bit is 0 or 1"):
        convert(payload)


@pytest.mark.usefixtures("unchecked_types")
def test_a_ragged_row_is_refused() -> None:
    with pytest.raises(BitFormatError, match="not a row of numbers"):
        as_bits([0, [1, 0]])  # type: ignore[list-item]


@pytest.mark.parametrize(("parity", "missing"), [(False, 7), (True, 8)])
def test_half_a_frame_is_refused_with_what_is_missing(parity: bool, missing: int) -> None:  # noqa: FBT001
    with pytest.raises(BitFormatError, match=f"1 left over; cut to 0 bits or supply {missing} more"):
        bits_to_bytes([1], parity=parity)


def test_bytes_that_are_not_utf8_are_refused_with_their_offset() -> None:
    with pytest.raises(BitFormatError, match=r"byte 2 \(0xff\) is not UTF-8"):
        bits_to_text(bytes_to_bits(b"ab\xff"))


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(BitFormatError, match="character 1 of the text is a lone surrogate"):
        text_to_bits("a\ud800")


def test_a_parity_error_names_the_first_frames_and_the_remedy() -> None:
    bits = bytes_to_bits(bytes(7), parity=True)
    bits[8::9] = 1
    with pytest.raises(
        ParityError, match=r"7 frame\(s\) fail even parity \(first: 0, 1, 2, 3, 4\).*enforce_parity"
    ):
        bits_to_bytes(bits, parity=True)


def test_the_longest_character_and_the_least_byte_of_a_long_one_are_those_of_utf_8() -> None:
    assert len("\U0010ffff".encode()) == LONGEST_CHARACTER
    assert len(chr(LEAST_BYTE_OF_A_LONG_CHARACTER - 1).encode()) == 1
    assert len(chr(LEAST_BYTE_OF_A_LONG_CHARACTER).encode()) == 2


@given(st.text(), st.integers(0, 3), st.integers(0, 3))
def test_a_passage_cut_out_of_utf_8_has_no_fault(text: str, before: int, after: int) -> None:
    data = text.encode()
    passage = data[before : len(data) - after]
    assert first_fault(passage, history=data[:before]) is None


@pytest.mark.parametrize(
    ("data", "history", "place"),
    [
        (b"ab\xff", b"", 2),
        (b"\x80", b"", 0),
        (b"\x80", b"a", 0),
        (b"\xe2a", b"", 0),
        (b"a\xe2\x82b", b"", 1),
        (b"\x82\xacb\x80", b"\xe2", 3),
        (b"\xc0\x80", b"", 0),
    ],
)
def test_the_first_byte_that_utf_8_cannot_have_is_found(data: bytes, history: bytes, place: int) -> None:
    assert first_fault(data, history=history) == place


@pytest.mark.parametrize(
    ("data", "share"),
    [
        (b"", 1.0),
        (b"abcd", 1.0),
        (b"ab\xffd", 0.75),
        (b"\x80\x80\x80\x80", 0.0),
        ("a€".encode(), 1.0),
        (b"a\xe2\x82b", 0.5),
        (b"ab\xe2\x82", 1.0),
    ],
)
def test_the_share_of_bytes_that_belong_to_characters(data: bytes, share: float) -> None:
    assert utf8_validity(data) == share


@given(data=st.binary() | st.text().map(str.encode), cut=st.integers(0, 3))
def test_all_bytes_belong_to_characters_exactly_where_there_is_no_fault(data: bytes, cut: int) -> None:
    passage = data[: max(0, len(data) - cut)]
    assert (utf8_validity(passage) == 1.0) == (first_fault(passage) is None)
    assert 0.0 <= utf8_validity(passage) <= 1.0


fragments = st.lists(
    st.sampled_from(
        [b"a", "é".encode(), "€".encode(), "🦆".encode(), b"\xc3", b"\xe2\x82", b"\x82", b"\xff"]
    ),
    max_size=8,
).map(b"".join)


@given(data=fragments, history=fragments)
def test_a_fault_is_noticed_with_the_first_byte_that_makes_it_one(data: bytes, history: bytes) -> None:
    finder = FaultFinder(history)
    for end in range(1, len(data) + 1):
        is_broken = finder.is_broken_by(data[end - 1])
        assert is_broken == (first_fault(data[:end], history=history) is not None)
        if is_broken:
            break
