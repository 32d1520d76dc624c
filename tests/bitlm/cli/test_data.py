import json
from pathlib import Path

import pytest

from bitlm.data import Corpus
from bitlm.data.source import INDEX_FILE
from bitlm.data.text import shard_name
from tests.bitlm.cli.program import answer_of, bitlm

TEXT = Corpus.embedded().data[:30_000]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, one that is not UTF-8 and a picture."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "a.txt").write_bytes(TEXT)
    (folder / "b.txt").write_bytes(b"\xff" * 1_000)
    (folder / "c.png").write_bytes(b"\x89\0")
    return folder


def test_a_folder_is_packed_shown_and_checked(texts: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    said = bitlm("data", "build", str(texts), "--output", str(packed))
    fingerprint = Corpus.from_path(texts).fingerprint
    assert f"{texts.name}: 31,000 bytes, shards: 1 of up to 67,108,864 bytes\n" in said.stdout
    assert f"SHA-256 {fingerprint}\n3.23 % of it is no UTF-8" in said.stdout
    assert "left out, as it contains NUL: c.png\n" in said.stdout
    assert f"next: python -m bitlm train --corpus {packed}" in said.stdout
    assert "packing" in said.stderr
    assert "every hash right" not in bitlm("data", "show", str(packed)).stdout
    assert "every hash right" in bitlm("data", "show", str(packed), "--verify").stdout
    (packed / shard_name(0)).write_bytes(bytes(31_000))
    said = bitlm("data", "show", str(packed), "--verify", code=2)
    assert "00000.shard': it is not what was written" in said.stderr
    assert "Traceback" not in said.stderr


def test_both_answer_in_json(texts: Path, tmp_path: Path) -> None:
    packed = str(tmp_path / "packed")
    built = answer_of("data", "build", str(texts), "--output", packed, "--shard-mb", "1")
    index = json.loads((tmp_path / "packed" / INDEX_FILE).read_text())
    assert built == {"folder": packed, **index, "verified": False}
    assert index["shard_bytes"] == 1 << 20
    assert answer_of("data", "show", packed, "--verify") == {**built, "verified": True}


def test_what_cannot_be_is_one_sentence(texts: Path, tmp_path: Path) -> None:
    assert "lies in what is to be packed" in bitlm(
        "data", "build", str(texts), "--output", str(texts / "packed"), code=2
    ).stderr  # fmt: skip
    assert (
        "no such file or folder" in bitlm("data", "build", "absent", "--output", str(tmp_path), code=2).stderr
    )
    assert "there is no packed text; name what" in bitlm("data", "show", str(texts), code=2).stderr


@pytest.mark.parametrize("command", ["build", "show"])
def test_help_shows_examples(command: str) -> None:
    assert f"python -m bitlm data {command} " in bitlm("data", command, "--help").stdout
