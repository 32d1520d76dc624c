import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.data import Corpus, length_at
from bitlm.errors import CorpusError
from bitlm.packing import pack


@given(data=st.binary(min_size=1))
def test_the_two_parts_are_contiguous_and_nine_to_one(data: bytes) -> None:
    corpus = Corpus("text", data)
    assert bytes(corpus.train) + bytes(corpus.held_out) == data
    assert len(corpus.train) == len(data) * 9 // 10


def test_the_fingerprint_is_the_sha256_of_the_bytes() -> None:
    assert Corpus("text", b"abc").fingerprint == hashlib.sha256(b"abc").hexdigest()


def test_the_embedded_corpus_is_the_same_text_each_time_and_is_found_by_its_name() -> None:
    corpus = Corpus.embedded()
    assert corpus == Corpus.load("embedded") == Corpus.load(corpus.source)
    assert len(corpus.data) > 300_000
    assert b'The "assert" statement' in bytes(corpus.train)


def test_a_file_is_read_as_it_is_and_found_again_by_its_source(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"a\0b")
    corpus = Corpus.load(str(tmp_path / "book.txt"))
    assert (corpus.name, corpus.data, corpus.skipped) == ("book.txt", b"a\0b", ())
    assert Corpus.load(corpus.source) == corpus


def test_a_folder_is_read_in_the_order_of_relative_paths(tmp_path: Path) -> None:
    files = {"b.txt": b"2", "a/z.txt": b"1", "c/a.txt": b"3", ".hidden": b"x", "c/.git/config": b"x"}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert Corpus.from_path(tmp_path).data == b"123"


def test_a_packed_text_in_a_folder_of_texts_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "book.txt").write_bytes(b"words")
    pack(tmp_path / "texts", tmp_path / "packed")
    assert Corpus.from_path(tmp_path).data == b"words"


def test_files_with_nul_are_left_out_of_a_folder_and_listed(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"words")
    (tmp_path / "image").write_bytes(b"\x89\0")
    corpus = Corpus.from_path(tmp_path)
    assert (corpus.data, corpus.skipped) == (b"words", ("image",))


def test_links_and_pipes_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    (folder / "inside").write_bytes(b"words")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    assert Corpus.from_path(folder).data == b"words"


def test_a_missing_path_is_named() -> None:
    with pytest.raises(CorpusError, match=r"corpus='/no/such/place': there is no such file or folder"):
        Corpus.load("/no/such/place")


def test_a_folder_without_text_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"words")
    with pytest.raises(
        CorpusError, match=r"no text in this folder.*files whose names do not begin with a dot; put"
    ):
        Corpus.from_path(tmp_path)
    (tmp_path / "image").write_bytes(b"\0")
    with pytest.raises(CorpusError, match="a dot, and 1 with NUL were taken for binaries"):
        Corpus.from_path(tmp_path)


def test_an_empty_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(CorpusError, match="empty': the file is empty"):
        Corpus.from_path(tmp_path / "empty")


@pytest.mark.parametrize("ask", [Corpus.load, length_at])
def test_what_is_no_regular_file_is_not_said_to_be_missing(ask: Callable[[str], object]) -> None:
    with pytest.raises(CorpusError, match="corpus='/dev/zero': it is neither a regular file nor a folder"):
        ask("/dev/zero")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "book").write_bytes(b"words")
    assert Corpus.load("~/book").source == str(tmp_path / "book")
    assert length_at("~/book") == 5
    with pytest.raises(CorpusError, match="corpus='~nobody-here/book': cannot be read"):
        Corpus.load("~nobody-here/book")


def test_bytes_that_are_no_text_are_counted_as_such() -> None:
    assert Corpus("text", "äöü".encode()).remarks == {}
    assert Corpus("latin", "aaaä".encode("latin-1") + b"b").remarks == {"not_utf8": pytest.approx(0.2)}


@pytest.mark.parametrize("path", ["/proc/self/mem", "a" * 300])
def test_a_path_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(CorpusError, match=f"corpus='{path}': cannot be read .*; check path and permissions"):
        Corpus.load(path)


def test_a_text_too_short_for_a_window_says_what_there_is_and_what_is_needed() -> None:
    corpus = Corpus("note", bytes(100))
    corpus.require_window(10)
    with pytest.raises(
        CorpusError, match=r"held-out tenth has 10 bytes and one window needs 11; supply at least 110 bytes\."
    ):
        corpus.require_window(11)
    with pytest.raises(CorpusError, match=r"at least 2560 bytes, or set max_seq_len \(bits\) to 800 or less"):
        Corpus("longer", bytes(1000)).require_window(256)
