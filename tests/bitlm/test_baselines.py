import bz2
import gzip
import lzma
from collections.abc import Callable
from functools import partial
from io import BytesIO

import pytest

from bitlm.baselines import baselines, compressed_bytes
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel


@pytest.fixture(scope="module")
def embedded() -> tuple[Corpus, dict[str, float]]:
    corpus = Corpus.embedded()
    return corpus, baselines(corpus, ReferenceModel.fit(corpus.train))


def test_the_lines_come_in_the_order_the_page_draws_them(embedded: tuple[Corpus, dict[str, float]]) -> None:
    orders = [f"order-{k}" for k in range(6)]
    assert list(embedded[1]) == ["gzip", "bzip2", "xz", *orders]


def test_a_compressor_is_charged_what_the_held_out_part_adds(
    embedded: tuple[Corpus, dict[str, float]],
) -> None:
    corpus, lines = embedded
    added = len(gzip.compress(bytes(corpus.data), 9)) - len(gzip.compress(bytes(corpus.train), 9))
    assert lines["gzip"] == pytest.approx(8 * added / len(corpus.held_out))


def test_on_english_the_lines_stand_where_they_are_known_to(
    embedded: tuple[Corpus, dict[str, float]],
) -> None:
    lines = embedded[1]
    assert lines["gzip"] > lines["bzip2"]
    assert lines["gzip"] > lines["xz"]
    assert [lines[f"order-{k}"] for k in range(6)] == sorted(
        (lines[f"order-{k}"] for k in range(6)), reverse=True
    )
    assert all(1 < value < 5 for value in lines.values())


def test_a_reference_of_lower_order_has_fewer_lines() -> None:
    corpus = Corpus("text", b"to be or not to be, that is the question. " * 30)
    assert list(baselines(corpus, ReferenceModel.fit(corpus.train, order=1)))[3:] == ["order-0", "order-1"]


def test_compressors_are_given_no_more_of_the_training_part_than_is_counted() -> None:
    corpus = Corpus("text", Corpus.embedded().data[:60_000])
    lines = baselines(corpus, ReferenceModel.fit(corpus.train, most_bytes=5_000))
    known, held_out = corpus.train[-5_000:], bytes(corpus.held_out)
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 5_000}
    compressors: dict[str, Callable[[bytes], bytes]] = {
        "gzip": partial(gzip.compress, compresslevel=9),
        "bzip2": bz2.compress,
        "xz": partial(lzma.compress, filters=[best]),
    }
    for name, compress in compressors.items():
        added = len(compress(known + held_out)) - len(compress(known))
        assert lines[name] == 8 * added / len(held_out), name
    best["dict_size"] = 1 << 26  # xz's own, where all is counted
    xz = [len(lzma.compress(bytes(text), filters=[best])) for text in (corpus.data, corpus.train)]
    assert baselines(corpus, ReferenceModel.fit(corpus.train))["xz"] == 8 * (xz[0] - xz[1]) / len(held_out)


def test_a_file_alone_takes_what_each_compressor_makes_of_it() -> None:
    data = bytes(Corpus.embedded().data) * 3
    alone = compressed_bytes(BytesIO(data))
    assert len(data) > 1 << 20
    assert alone == {
        "gzip": len(gzip.compress(data, 9)),
        "bzip2": len(bz2.compress(data, 9)),
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    }
