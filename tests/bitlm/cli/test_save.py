from pathlib import Path

import pytest

from bitlm.data import Corpus
from tests.bitlm.cli.program import answer_of, bitlm, trained

TEXT = Corpus.embedded().data[60_000:60_400]
Files = dict[str, str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options that name a data folder with one trained run in it."""
    return trained(tmp_path_factory.mktemp("data"), "--steps", "12")


@pytest.fixture(scope="module")
def files(data: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Model files of that run by what their weights are kept as."""
    folder, made = tmp_path_factory.mktemp("files"), {}
    for weights in ("float32", "int8", "int4"):
        made[weights] = str(folder / f"{weights}.safetensors")
        bitlm("save", "latest", "--weights", weights, "--output", made[weights], *data)
    return made


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_bytes(TEXT)
    return path


def test_a_file_is_as_good_as_its_run_without_a_data_folder(
    data: tuple[str, str], files: Files, text: Path, tmp_path: Path
) -> None:
    elsewhere = ("--data-dir", str(tmp_path / "empty"))
    asked = ("generate", "--prompt", "The ", "--max-new-bytes", "24", "--seed", "3")
    assert answer_of(*asked, "--model", files["float32"], *elsewhere) == answer_of(*asked, *data)
    measured = ("evaluate", "--corpus", str(text))
    assert answer_of(*measured, "--model", files["float32"], *elsewhere) == answer_of(*measured, *data)
    said = bitlm(*asked, "--model", files["int4"], "--stream", *elsewhere)
    assert said.stdout.startswith("The ")


def test_fewer_bits_make_a_smaller_file_and_the_cost_is_told(files: Files) -> None:
    told = {weights: answer_of("inspect", file) for weights, file in files.items()}
    assert told["float32"]["bytes"] > told["int8"]["bytes"] > told["int4"]["bytes"]
    assert told["float32"]["receipt"] is None
    for weights in ("int8", "int4"):
        assert told[weights]["weights"] == weights
        before, after = told[weights]["receipt"]["bits_per_byte"]
        assert before == told["int8"]["receipt"]["bits_per_byte"][0]
        assert after == pytest.approx(before, abs=0.05)
    assert len({answer["identity"] for answer in told.values()}) == 3
    said = bitlm("inspect", files["int8"]).stdout
    assert f"int8.safetensors: {told['int8']['bytes']:,} bytes, weights int8" in said
    assert f"in {told['int8']['weight_bytes']:,} bytes, 0.2" in said
    assert "12 steps, " in said
    assert f"identity   {told['int8']['identity']}" in said


def test_what_a_file_compressed_the_same_file_gives_back(files: Files, text: Path, tmp_path: Path) -> None:
    small, again = tmp_path / "small", tmp_path / "again"
    bitlm("compress", str(text), "--model", files["int8"], "--output", str(small))
    order = ("decompress", str(small), "--output", str(again))
    assert "'int8.safetensors' made the file: say with --run or --model" in bitlm(*order, code=2).stderr
    assert "another model" in bitlm(*order, "--model", files["int4"], code=2).stderr
    assert not again.exists()
    bitlm(*order, "--model", files["int8"])
    assert again.read_bytes() == TEXT


def test_what_cannot_be_is_one_sentence(data: tuple[str, str], files: Files, text: Path) -> None:
    file = files["int8"]
    both = bitlm("generate", "--model", file, "--checkpoint", "12", *data, code=2).stderr
    assert "leave out --run and --checkpoint" in both
    assert "no held-out text" in bitlm("evaluate", "--model", file, code=2).stderr
    assert "is no whole model file" in bitlm("inspect", str(text), code=2).stderr
    assert "--force" in bitlm("save", "latest", "--output", file, *data, code=2).stderr
