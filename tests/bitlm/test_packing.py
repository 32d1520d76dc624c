"""Packing: the same bytes as in memory, in shards, whatever happens on the way."""

import os
import random
import signal
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.data import Corpus, PackedText, length_at, pieces, stretch
from bitlm.data.source import INDEX_FILE
from bitlm.data.text import require_whole, shard_name
from bitlm.errors import BitLMError, ConfigError, CorpusError
from bitlm.packing import pack
from bitlm.session.durability import ASIDE

FILES = {
    "b.txt": "zwei wörter".encode(),
    "a/z.txt": "äöü".encode() * 40,
    "a/broken.txt": b"\xe2\x82",
    "d/image": b"\x89\0",
    ".hidden": b"x",
    "c/.git/config": b"x",
    "empty": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "texts"
    for name, data in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    (place / "link").symlink_to(place / "b.txt")
    return place


@pytest.fixture(scope="module")
def alphabet(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, PackedText]:
    """A hundred bytes, each another one, in shards of seven."""
    place = tmp_path_factory.mktemp("alphabet")
    data = bytes(range(1, 101))
    (place / "text").write_bytes(data)
    pack(place / "text", place / "packed", shard_bytes=7)
    return data, PackedText.open(place / "packed")


@pytest.mark.parametrize("shard_bytes", [37, 1 << 20])
def test_a_packed_folder_is_the_text_that_is_read_from_it(
    folder: Path, tmp_path: Path, shard_bytes: int
) -> None:
    told: list[tuple[int, int]] = []
    index = pack(
        folder, tmp_path / "new" / "packed", shard_bytes=shard_bytes, progress=lambda *how: told.append(how)
    )
    read, packed = Corpus.from_path(folder), Corpus.load(str(tmp_path / "new" / "packed"))
    assert bytes(packed.data) == read.data
    assert bytes(packed.train) == read.train
    assert bytes(packed.held_out) == read.held_out
    assert (packed.name, packed.fingerprint, packed.skipped) == ("texts", read.fingerprint, ("d/image",))
    assert packed.remarks == read.remarks != {}
    assert [shard.bytes for shard in index.shards[:-1]] == [shard_bytes] * (len(index.shards) - 1)
    assert length_at(packed.source) == index.bytes == len(read.data)
    total = sum(len(FILES[name]) for name in ("b.txt", "a/z.txt", "a/broken.txt", "d/image"))
    assert told[-1] == (total, total)


def test_a_file_is_packed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(b"a\0b")
    pack(tmp_path / "book", tmp_path / "packed")
    assert bytes(Corpus.packed(tmp_path / "packed").data) == b"a\0b"


@given(begin=st.integers(-110, 110), end=st.integers(-110, 110), inner=st.integers(0, 100))
def test_slices_and_stretches_are_those_of_the_bytes(
    alphabet: tuple[bytes, PackedText], begin: int, end: int, inner: int
) -> None:
    data, text = alphabet
    assert text[begin:end] == data[begin:end]
    assert stretch(text, inner, 100)[begin:end] == data[inner:][begin:end]
    assert b"".join(pieces(stretch(text, 0, inner))) == data[:inner]


def killed_in(shard: int, source: Path, output: Path) -> None:
    """Pack in a process of its own that dies when it has begun to write that shard."""

    def watch(done: int, total: int) -> None:
        del done, total
        if (output / shard_name(shard - 1)).exists() and any(output.glob(f"{ASIDE}*")):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        pack(source, output, shard_bytes=2 << 20, progress=watch)
        os._exit(0)  # not reached, and no test goes on in a second process if it is
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Seven megabytes in two files."""
    place = tmp_path / "long"
    place.mkdir()
    for name, length in (("a", 5), ("b", 2)):
        drawn = random.Random(name).randbytes(length << 20)  # noqa: S311 - no secret
        (place / name).write_bytes(drawn.replace(b"\0", b" "))
    return place


def test_packing_that_was_killed_goes_on_after_the_last_whole_shard(long: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    killed_in(2, long, packed)
    with pytest.raises(
        CorpusError, match=r"not packed to its end; `bitlm data build` with the same source, '"
    ):
        Corpus.load(str(packed))
    written = {path.name: path.stat().st_mtime_ns for path in packed.glob("*.shard")}
    assert sorted(written) == [shard_name(0), shard_name(1)]
    index = pack(long, packed, shard_bytes=2 << 20)
    assert {name: (packed / name).stat().st_mtime_ns for name in written} == written
    assert list(packed.glob(f"{ASIDE}*")) == []
    assert index.fingerprint == Corpus.from_path(long).fingerprint
    assert index == pack(long, tmp_path / "at once", shard_bytes=2 << 20)
    require_whole(PackedText.open(packed))


def test_a_source_that_has_changed_since_is_an_error(long: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    killed_in(2, long, packed)
    whole = (long / "a").read_bytes()
    (long / "b").unlink()
    for left in (3 << 20, 2 << 20):  # the second shard would be another, and then there would be none
        (long / "a").write_bytes(whole[:left])
        with pytest.raises(CorpusError, match="the source is not what it was when the packing began"):
            pack(long, packed, shard_bytes=2 << 20)


def test_a_file_that_changes_while_it_is_read_is_an_error(long: Path, tmp_path: Path) -> None:
    def grow(done: int, total: int) -> None:
        del done, total
        with (long / "b").open("ab") as file:
            file.write(b"more")

    with pytest.raises(CorpusError, match=r"b': it changes while it is read"):
        pack(long, tmp_path / "packed", progress=grow)


def into_the_source(folder: Path, tmp_path: Path) -> None:
    del tmp_path
    pack(folder, folder / "packed")


def into_a_full_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{ASIDE}0000").touch()
    (tmp_path / "mine" / "letter").touch()
    pack(folder, tmp_path / "mine")


def twice(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "packed")
    pack(folder, tmp_path / "packed")


def again(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "packed")
    pack(tmp_path / "packed", tmp_path / "other")


def with_other_shards(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "packed")
    (tmp_path / "packed" / INDEX_FILE).write_text('{"source": "elsewhere", "shard_bytes": 9}')
    pack(folder, tmp_path / "packed")


def nothing(folder: Path, tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/broken.txt"):
        (folder / name).unlink()
    pack(folder, tmp_path / "packed")


def no_shards(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "packed", shard_bytes=0)


@pytest.mark.parametrize(
    ("attempt", "error", "told"),
    [
        (into_the_source, ConfigError, "it lies in what is to be packed"),
        (into_a_full_folder, ConfigError, "it is not empty"),
        (twice, ConfigError, "it holds 'texts', packed"),
        (again, ConfigError, "it is packed already"),
        (with_other_shards, ConfigError, "the packing of 'elsewhere' in shards of 9 bytes was begun there"),
        (nothing, CorpusError, "no text in this folder.*and 1 with NUL were taken for binaries"),
        (no_shards, ConfigError, "shard_bytes=0: use at least 1"),
    ],
)
def test_what_cannot_be_packed_is_said_and_touches_nothing(
    folder: Path,
    tmp_path: Path,
    attempt: Callable[[Path, Path], None],
    error: type[BitLMError],
    told: str,
) -> None:
    with pytest.raises(error, match=told):
        attempt(folder, tmp_path)
    assert not (tmp_path / "other").exists()
    assert not (folder / "packed").exists()
    assert (tmp_path / "mine" / f"{ASIDE}0000").exists() == (attempt is into_a_full_folder)


def test_damage_is_named(alphabet: tuple[bytes, PackedText], tmp_path: Path) -> None:
    data, _ = alphabet
    (tmp_path / "text").write_bytes(data)
    pack(tmp_path / "text", tmp_path / "packed", shard_bytes=30)
    text, third = PackedText.open(tmp_path / "packed"), tmp_path / "packed" / shard_name(2)
    told: list[int] = []
    require_whole(text, told.append)
    assert list(accumulate(told)) == [30, 60, 90, 100]
    whole = third.read_bytes()
    third.write_bytes(whole[:-1] + b"!")
    with pytest.raises(CorpusError, match=r"00002\.shard': it is not what was written"):
        require_whole(text)
    third.write_bytes(whole[:-1])
    with pytest.raises(CorpusError, match=r"00002\.shard': it is not what was written"):
        text[60:90]
    third.unlink()
    with pytest.raises(CorpusError, match=r"00002\.shard': cannot be read \(No such file or directory\)"):
        text[:]
    assert text[:60] == data[:60]


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ('"bytes": 100,', '"bytes": 200,', "its shards do not make up the text"),
        ('"format": 1', '"format": 2', r"cannot be read \(it is damaged, or of another version\)"),
    ],
)
def test_an_index_that_is_wrong_is_named(
    alphabet: tuple[bytes, PackedText], tmp_path: Path, was: str, now: str, told: str
) -> None:
    index = (alphabet[1].folder / INDEX_FILE).read_text()
    assert was in index
    (tmp_path / INDEX_FILE).write_text(index.replace(was, now))
    with pytest.raises(CorpusError, match=told):
        Corpus.load(str(tmp_path))
