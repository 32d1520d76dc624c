import csv
import json
from pathlib import Path

import pytest

from tests.bitlm.cli.program import answer_of, bitlm, trained

STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options that name a data folder with one trained run in it."""
    return trained(tmp_path_factory.mktemp("data"), "--steps", str(STEPS))


@pytest.fixture(scope="module")
def capsule(data: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capsule") / "run.zip"
    answer = answer_of("capsule", "latest", "--output", str(path), *data)
    assert answer["bytes"] == path.stat().st_size
    assert "journal.jsonl" in answer["members"]
    return path


def test_csv_goes_to_standard_output_a_row_for_each_step(data: tuple[str, str]) -> None:
    rows = list(csv.DictReader(bitlm("export", "latest", *data).stdout.splitlines()))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, STEPS + 1)]


def test_jsonl_goes_to_a_file_and_replaces_one_only_when_told(data: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    order = ("export", "latest", "--format", "jsonl", "--output", str(path), *data)
    assert answer_of(*order)["output"] == str(path)
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds[0] == "run"
    assert kinds.count("metrics") == STEPS
    assert "anneal_started" in kinds
    path.write_text("mine")
    assert "--force" in bitlm(*order, code=2).stderr
    assert path.read_text() == "mine"
    bitlm(*order, "--force")
    assert path.read_text() != "mine"


def test_the_report_is_a_page(data: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    bitlm("export", "latest", "--format", "report", "--output", str(path), *data)
    assert path.read_text().startswith("<!doctype html>")
    assert "--output" in bitlm("export", "latest", "--format", "report", *data, code=2).stderr


def test_tensorboard_gets_a_folder_of_the_run_once(data: tuple[str, str], tmp_path: Path) -> None:
    order = ("export", "latest", "--format", "tensorboard", "--output", str(tmp_path), *data)
    place = Path(answer_of(*order)["output"])
    assert place.parent == tmp_path
    first = [path.name for path in place.iterdir()]
    assert len(first) == 1
    assert "--force" in bitlm(*order, code=2).stderr
    bitlm(*order, "--force")
    assert len(list(place.iterdir())) == 1


def test_a_capsule_is_verified_by_doing_the_run_again(capsule: Path) -> None:
    answer = answer_of("verify", str(capsule))
    assert (answer["intact"], answer["same"], answer["problems"]) == (True, True, [])
    assert [(one["step"], one["same"]) for one in answer["checkpoints"]] == [(0, True), (STEPS, True)]
    assert answer["not_executed"] is None
    said = bitlm("verify", str(capsule)).stdout
    assert "2 checkpoints compared: every bit came out again." in said


def test_a_damaged_capsule_is_exit_code_one_and_a_sentence(capsule: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.zip"
    data = bytearray(capsule.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    done = bitlm("verify", str(damaged), code=1)
    assert "the seal is broken" in done.stdout
    answer = answer_of("verify", str(damaged), "--integrity-only", code=1)
    assert (answer["intact"], answer["same"]) == (False, False)


def test_a_capsule_without_texts_is_whole_but_not_verified(data: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "bare.zip"
    bitlm("capsule", "latest", "--output", str(path), "--without-text", *data)
    assert "is not in the capsule" in bitlm("verify", str(path), code=1).stdout
    assert answer_of("verify", str(path), "--integrity-only")["intact"]


def test_a_capsule_replaces_a_file_only_when_told(data: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    path.write_text("mine")
    assert "--force" in bitlm("capsule", "latest", "--output", str(path), *data, code=2).stderr
    assert path.read_text() == "mine"
    bitlm("capsule", "latest", "--output", str(path), "--force", *data)
    assert path.read_bytes().startswith(b"PK")


def test_verifying_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = bitlm("verify", str(tmp_path / "absent.zip"), code=2)
    assert "absent.zip" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["export", "capsule", "verify"])
def test_help_shows_examples(command: str) -> None:
    assert f"python -m bitlm {command}" in bitlm(command, "--help").stdout
