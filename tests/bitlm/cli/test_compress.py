import re
from pathlib import Path

import pytest

from bitlm.data import Corpus
from tests.bitlm.cli.program import answer_of, bitlm, trained

TEXT = Corpus.embedded().data[60_000:60_400]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options that name a data folder with one trained run in it."""
    return trained(tmp_path_factory.mktemp("data"), "--steps", "12")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_bytes(TEXT)
    return path


def test_a_file_is_made_small_and_given_back_by_the_run_it_names(data: tuple[str, str], text: Path) -> None:
    said = bitlm("compress", str(text), *data)
    small = text.with_name("letter.txt.bitlm")
    size = small.stat().st_size
    assert f"letter.txt.bitlm: 400 → {size} bytes, {8 * size / 400:.3f} bits per byte, " in said.stdout
    assert re.search(r"alone gzip \d+ · bzip2 \d+ · xz \d+$", said.stdout.rstrip())
    assert "compressing" in said.stderr
    bitlm("train", "--run", "latest", "--steps", "2", *data)  # so that it is not the newest checkpoint's
    text.unlink()
    said = bitlm("decompress", str(small), *data)
    assert text.read_bytes() == TEXT
    assert f"letter.txt: {size} → 400 bytes" in said.stdout
    assert "every byte is as it was" in said.stdout
    assert "giving back" in said.stderr
    other = bitlm(
        "decompress", str(small), "--run", "latest", "--output", str(text), "--force", *data, code=2
    )
    assert "another model, " in other.stderr
    assert text.read_bytes() == TEXT


def test_both_answer_in_json(data: tuple[str, str], text: Path, tmp_path: Path) -> None:
    small, again = tmp_path / "small", tmp_path / "again"
    answer = answer_of("compress", str(text), "--output", str(small), "--threads", "1", *data)
    assert answer["bytes"] == 400
    assert answer["compressed_bytes"] == small.stat().st_size
    assert answer["bits_per_byte"] == pytest.approx(8 * answer["compressed_bytes"] / 400)
    assert list(answer["alone_bytes"]) == ["gzip", "bzip2", "xz"]
    back = answer_of("decompress", str(small), "--output", str(again), *data)
    assert {key: back[key] for key in ("run_id", "step", "bytes", "compressed_bytes")} == {
        key: answer[key] for key in ("run_id", "step", "bytes", "compressed_bytes")
    }
    assert again.read_bytes() == TEXT


def test_a_damaged_file_leaves_what_is_there_as_it_is(data: tuple[str, str], text: Path) -> None:
    bitlm("compress", str(text), *data)
    small = text.with_name("letter.txt.bitlm")
    damaged = bytearray(small.read_bytes())
    damaged[-12] ^= 1
    small.write_bytes(damaged)
    text.write_bytes(b"mine")
    said = bitlm("decompress", str(small), "--force", *data, code=2)
    assert "block 1 of 1 is damaged" in said.stderr
    assert "Traceback" not in said.stderr
    assert text.read_bytes() == b"mine"
    assert sorted(path.name for path in text.parent.iterdir()) == ["letter.txt", "letter.txt.bitlm"]


def test_a_file_is_replaced_only_when_told(data: tuple[str, str], text: Path) -> None:
    small = text.with_name("letter.txt.bitlm")
    small.write_bytes(b"mine")
    assert "--force" in bitlm("compress", str(text), *data, code=2).stderr
    assert small.read_bytes() == b"mine"
    bitlm("compress", str(text), "--force", *data)
    assert "--force" in bitlm("decompress", str(small), *data, code=2).stderr
    assert text.read_bytes() == TEXT


def test_an_empty_file_comes_back(data: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert "0 → " in bitlm("compress", str(tmp_path / "empty"), *data).stdout
    (tmp_path / "empty").unlink()
    bitlm("decompress", str(tmp_path / "empty.bitlm"), *data)
    assert (tmp_path / "empty").read_bytes() == b""


def test_what_cannot_be_is_one_sentence(data: tuple[str, str], text: Path, tmp_path: Path) -> None:
    assert "say with --output" in bitlm("decompress", str(text), *data, code=2).stderr
    order = ("decompress", str(text), "--output", str(tmp_path / "x"), *data)
    assert "not written by `bitlm compress`" in bitlm(*order, code=2).stderr
    assert "absent" in bitlm("compress", str(tmp_path / "absent"), *data, code=2).stderr
    masked = trained(tmp_path, "--steps", "1", "--set", "objective=diffusion")
    assert "only denoises" in bitlm("compress", str(text), *masked, code=2).stderr
    assert not (tmp_path / "letter.txt.bitlm").exists()


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_help_shows_examples(command: str) -> None:
    assert f"python -m bitlm {command} letter.txt" in bitlm(command, "--help").stdout
