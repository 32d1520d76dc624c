import gzip
import random
from dataclasses import replace
from io import SEEK_END, BytesIO

import numpy as np
import pytest
import torch

from bitlm.compression import files, read_header
from bitlm.compression.container import HASH_BYTES, read_block, write_block
from bitlm.compression.lanes import encode_block
from bitlm.data import Corpus
from bitlm.errors import CompressionError, MissingReferenceError, OtherModelError
from bitlm.model import BitTransformer
from bitlm.reference import ReferenceModel
from tests.bitlm.compression.conftest import MakeModel
from tests.bitlm.compression.memory import compressed, given_back

LANGUAGES = "Fähre, où, naïve, Ελλάδα, Москва, 日本語, العربية, עברית, 한국어, 🙂🚲 – “so”.\r\n"
OVERHEAD_BYTES = 25 + 4 + HASH_BYTES
"""Of a file without a name and without blocks."""


def content(number: int, text: bytes) -> bytes:
    """One of many files: its kind and its length follow from its number."""
    kind, length = number % 8, number // 8 + 1
    draw = random.Random(number)  # noqa: S311 - bytes that are the same everywhere
    begin = number * 1999 % (len(text) - 500)
    return [
        text[begin : begin + length],
        LANGUAGES.encode()[number % 16 :][: 2 * length],
        draw.randbytes(length),
        bytes([number % 256]),
        bytes([number % 256]) * length,
        gzip.compress(text[begin : begin + length], mtime=0),
        text[begin : begin + length // 2] + draw.randbytes(length // 2),
        bytes(range(0, 256, 17)) * (number // 50) + text[begin : begin + 3],
    ][kind]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small files into blocks as well."""
    monkeypatch.setattr(files, "BLOCK_LOG2", 5)


def test_two_hundred_files_of_all_kinds_come_back(model: BitTransformer) -> None:
    text = bytes(Corpus.embedded().data)
    for number in range(200):
        data = content(number, text)
        small = compressed(model, data)
        assert given_back(model, small) == data, f"file {number}"
        assert len(small) <= len(data) + OVERHEAD_BYTES + 7, f"file {number}"


def test_an_empty_file_is_a_header_and_a_hash(model: BitTransformer) -> None:
    small = compressed(model, b"")
    assert len(small) == OVERHEAD_BYTES
    assert given_back(model, small) == b""


def test_ten_megabytes_of_noise_are_kept_as_they_are_at_little_cost(model: BitTransformer) -> None:
    noise = (np.random.default_rng(0).integers(0, 128, 10_000_000, dtype=np.uint8) | 128).tobytes()
    small = compressed(model, noise)
    assert given_back(model, small) == noise
    assert len(small) - len(noise) == OVERHEAD_BYTES + 10 * (1 + 32 * 2 + 4)


@pytest.mark.usefixtures("small_blocks")
def test_progress_tells_of_every_byte_once_both_ways(model: BitTransformer, corpus: Corpus) -> None:
    data, done = corpus.data[:70], list[int]()
    small = compressed(model, data, progress=done.append)
    assert sum(done) == 70
    done.clear()
    assert given_back(model, small, progress=done.append) == data
    assert sum(done) == 70


@pytest.mark.usefixtures("small_blocks")
def test_any_byte_changed_or_missing_is_an_error_and_never_other_bytes(
    model: BitTransformer, corpus: Corpus
) -> None:
    small = compressed(model, corpus.data[:40], name="run@7")
    for place in range(len(small)):
        damaged = bytearray(small)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(CompressionError):
            given_back(model, bytes(damaged))
        with pytest.raises(CompressionError):
            given_back(model, small[:place])
    with pytest.raises(CompressionError, match="goes on after its end"):
        given_back(model, small + b"\0")


@pytest.mark.usefixtures("small_blocks")
def test_an_error_says_where_the_damage_is(model: BitTransformer, corpus: Corpus) -> None:
    small = compressed(model, corpus.data[:40])
    for place, what in ((6, "header"), (40, "block 1 of 2"), (len(small) - HASH_BYTES - 1, "block 2 of 2")):
        damaged = bytearray(small)
        damaged[place] ^= 1
        with pytest.raises(CompressionError, match=f"the file's {what} is damaged"):
            given_back(model, bytes(damaged))
    with pytest.raises(CompressionError, match="ends within its block 1 of 2"):
        given_back(model, small[:36])
    with pytest.raises(CompressionError, match="not written by `bitlm compress`"):
        given_back(model, b"PK")


def test_what_passes_every_check_and_still_comes_out_otherwise_is_thrown_away(
    model: BitTransformer, corpus: Corpus
) -> None:
    source = BytesIO(compressed(model, corpus.data[:60]))
    header, forged = read_header(source), BytesIO()
    read_block(source, 60, "block")
    header.write(forged)
    write_block(forged, encode_block(model, corpus.data[1:61], lambda _: None))
    with pytest.raises(CompressionError, match="what came out is not what went in"):
        given_back(model, forged.getvalue() + source.read())


def test_blocks_in_another_order_are_not_given(
    model: BitTransformer, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_LOG2", 5)
    source = BytesIO(compressed(model, corpus.data[:64]))
    header, turned = read_header(source), BytesIO()
    blocks = [read_block(source, 32, "block") for _ in range(2)]
    header.write(turned)
    for block in reversed(blocks):
        write_block(turned, block)
    with pytest.raises(CompressionError, match="what came out is not what went in"):
        given_back(model, turned.getvalue() + source.read())


def test_another_model_is_named(model: BitTransformer, make_model: MakeModel, corpus: Corpus) -> None:
    small = compressed(model, corpus.data[:100], name="20260101-000000-abcd@70")
    with pytest.raises(OtherModelError, match="another model, 20260101-000000-abcd@70"):
        given_back(make_model(seed=1), small)
    counted_otherwise = make_model()
    counted_otherwise.reference = ReferenceModel.fit(corpus.data[1:])
    with pytest.raises(OtherModelError):
        given_back(counted_otherwise, small)
    nudged = make_model()
    with torch.no_grad():
        nudged.head.bias[17] += 2.0**-20
    with pytest.raises(OtherModelError):
        given_back(nudged, small)
    assert given_back(make_model(), small) == corpus.data[:100]


def test_a_machine_that_computes_otherwise_is_told_apart(model: BitTransformer) -> None:
    small = BytesIO(compressed(model, b"The"))
    header, other = read_header(small), BytesIO()
    replace(header, probe=bytes(4)).write(other)
    with pytest.raises(OtherModelError, match="this machine computes other probabilities"):
        given_back(model, other.getvalue() + small.read())


def test_a_newer_layout_is_told(model: BitTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitlm.compression.container.VERSION", 2)
    newer = compressed(model, b"The")
    monkeypatch.undo()
    with pytest.raises(CompressionError, match="has layout 2 and this BitLM knows 1"):
        given_back(model, newer)


def test_a_model_without_its_counts_says_so(make_model: MakeModel) -> None:
    bare = make_model()
    bare.reference = None
    with pytest.raises(MissingReferenceError):
        compressed(bare, b"The")


class Unsteady(BytesIO):
    """A file that something else writes to while it is read."""

    def __init__(self, data: bytes, later: int) -> None:
        super().__init__(data)
        self._later = later

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return super().seek(offset, whence) - (self._later if whence == SEEK_END else 0)


@pytest.mark.parametrize("later", [-1, 1])
def test_a_source_that_grows_or_shrinks_meanwhile_is_refused(model: BitTransformer, later: int) -> None:
    with pytest.raises(CompressionError, match="changed its length"):
        files.compress(model, Unsteady(b"The", later), BytesIO())
