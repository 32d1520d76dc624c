import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bitlm.cli import compile as compiling
from bitlm.cli.trained import best_step
from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session
from bitlm.training import TrainingConfig
from tests.bitlm.cli import program
from tests.bitlm.cli.program import Said


def bitlm(data_dir: Path, *arguments: str, code: int = 0) -> Said:
    return program.bitlm(*arguments, "--data-dir", str(data_dir), code=code)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def trained(data_dir: Path) -> dict[str, Any]:
    text = data_dir / "text.txt"
    text.write_bytes(Corpus.embedded().data[:30_000])
    sampling = ("--sample-every", "10", "--sample-prompt", "The ")
    options = ("--corpus", str(text), "--size", "tiny", "--steps", "30", "--seed", "4", *sampling, "--json")
    answer: dict[str, Any] = json.loads(bitlm(data_dir, "train", *options).stdout.splitlines()[-1])
    return answer


def test_train_measures_the_held_out_part_beside_its_baselines(trained: dict[str, Any]) -> None:
    keys = {"run_id", "steps", "bytes_seen", "bits_per_byte", "bound", "baselines", "milestones", "best_step"}
    assert set(trained) == keys
    assert trained["steps"] == 30
    assert trained["bytes_seen"] == 30 * 4 * 128
    assert 2.0 < trained["bits_per_byte"] < 7.5
    assert list(trained["baselines"]) == ["gzip", "bzip2", "xz", *(f"order-{order}" for order in range(6))]


def test_samples_along_training_are_listed(data_dir: Path, trained: dict[str, Any]) -> None:
    listed = json.loads(bitlm(data_dir, "samples", trained["run_id"], "--json").stdout)
    first = listed["samples"][0]
    assert (listed["run_id"], first["step"]) == (trained["run_id"], 1)
    assert first["schedule"]["prompt"] == "The "
    assert first["schedule"]["every"] == 10
    text = bitlm(data_dir, "samples", trained["run_id"]).stdout
    assert f"step 1  {first['bits_per_byte']:.2f} bpb" in text


def test_generate_answers_with_text_bits_and_verdict_and_repeats_itself_by_seed(
    data_dir: Path, trained: dict[str, Any]
) -> None:
    options = (
        "--run",
        trained["run_id"],
        "--prompt",
        "The ",
        "--max-new-bytes",
        "24",
        "--seed",
        "9",
        "--json",
    )
    first, second = (json.loads(bitlm(data_dir, "generate", *options).stdout) for _ in range(2))
    assert first == second
    assert len(first["bits"]) == 24 * 8
    assert {"passed", "attempts", "K", "C", "S", "repetition", "reasons", "stopped_at"} == set(first["gate"])


def test_generate_draws_several_texts_each_the_one_its_seed_gives(
    data_dir: Path, trained: dict[str, Any]
) -> None:
    options = ("--run", trained["run_id"], "--max-new-bytes", "12")
    texts = json.loads(bitlm(data_dir, "generate", *options, "--samples", "3", "--json").stdout)
    assert len(texts) == 3
    second = json.loads(bitlm(data_dir, "generate", *options, "--seed", "1", "--json").stdout)
    assert texts[1] == second
    assert bitlm(data_dir, "generate", *options, "--samples", "2").stderr.count("gate ") == 2


def test_a_stream_is_the_text_of_its_seed_and_ends_where_it_has_become_a_loop(
    data_dir: Path, trained: dict[str, Any]
) -> None:
    options = ("generate", "--run", trained["run_id"], "--seed", "9", "--max-new-bytes")
    whole = json.loads(bitlm(data_dir, *options, "24", "--json").stdout)["text"]
    streamed = bitlm(data_dir, *options, "24", "--stream")
    assert streamed.stdout == whole + "\n"
    assert "the whole text" in streamed.stderr

    greedy = bitlm(data_dir, *options, "4000", "--temperature", "0", "--stream", "--strict", code=2)
    ended = re.search(r"ended after (\d+) bytes", greedy.stderr)
    assert ended
    assert 128 <= int(ended[1]) < 1000
    assert len(greedy.stdout.encode()) == int(ended[1]) + len("\n")
    assert "NOT passed" in greedy.stderr


def test_evaluate_repeats_the_figure_of_training(data_dir: Path, trained: dict[str, Any]) -> None:
    answer = json.loads(bitlm(data_dir, "evaluate", "--run", trained["run_id"], "--json").stdout)
    assert answer["bits_per_byte"] == pytest.approx(trained["bits_per_byte"], rel=1e-9)
    assert answer["baselines"] == trained["baselines"]


def test_evaluate_measures_another_text(data_dir: Path, trained: dict[str, Any]) -> None:
    other = data_dir / "other.txt"
    other.write_text("0123456789" * 40)
    done = bitlm(data_dir, "evaluate", "--run", trained["run_id"], "--corpus", str(other), "--json")
    assert json.loads(done.stdout)["bits_per_byte"] > trained["bits_per_byte"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "--corpus", "/no/such/file"), "/no/such/file"),
        (("train", "--size", "huge", "--steps", "1"), "tiny, small, base"),
        (("generate", "--run", "no-such-run"), "no-such-run"),
        (("generate", "--stream", "--json"), "leave out --json"),
        (("train", "--steps", "1", "--minutes", "1"), "not both"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(
    data_dir: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = bitlm(data_dir, *arguments, code=2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["train", "generate", "evaluate", "compile"])
def test_help_shows_examples(command: str) -> None:
    assert "python -m bitlm " + command in program.bitlm(command, "--help").stdout


@pytest.mark.parametrize(("command", "extra"), [("mcp", "mcp"), ("push", "hub"), ("pull", "hub")])
def test_help_names_the_extra_that_a_command_needs(command: str, extra: str) -> None:
    assert f"'bitlm[{extra}]'" in program.bitlm(command, "--help").stdout


def test_compiling_tells_how_long_it_took() -> None:
    assert program.answer_of("compile").keys() == {"seconds"}


def test_what_was_never_compiled_is_compiled_before_training_begins_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(compiling, "code_folder", lambda: str(kept))
    steps = ("train", "--size", "tiny", "--steps", "1")
    told = bitlm(tmp_path, *steps).stderr
    assert "Compiling for this processor" in told
    assert "Compiling" not in bitlm(tmp_path, *steps).stderr


def test_the_program_is_a_process_of_its_own_that_warns_of_nothing() -> None:
    command = [sys.executable, "-W", "error", "-m", "bitlm", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "train" in done.stdout
    assert done.stderr == ""


def test_calibrate_fits_floors_to_a_runs_text_and_reports_them(
    data_dir: Path, trained: dict[str, Any], tmp_path: Path
) -> None:
    report = tmp_path / "calibration.html"
    options = ("--run", trained["run_id"], "--samples", "2", "--output", str(report), "--json")
    found = json.loads(bitlm(data_dir, "calibrate", *options).stdout)
    assert [length["length_bytes"] for length in found["lengths"]] == [32, 64, 128, 256, 512, 1024]
    assert all(length["refused_seen"] <= 0.01 for length in found["lengths"])
    assert all(0 <= length["s_floor"] < 1 for length in found["lengths"])
    assert found["fingerprint"] in report.read_text()
    refused = bitlm(data_dir, "calibrate", *options, code=2).stderr
    assert "give --force to replace it" in refused


@pytest.mark.parametrize(("estimates", "step"), [([1.6, 1.5, 1.52], None), ([1.6, 1.5, 1.54], 2), ([], None)])
def test_a_run_that_was_clearly_better_before_is_told_when(
    tmp_path: Path, corpus: Corpus, estimates: list[float], step: int | None
) -> None:
    model = ModelConfig(d_model=16, nhead=2, num_layers=1, dim_feedforward=32, max_seq_len=256)
    with closing(RunStore(tmp_path / "data")) as store:
        run = Session.create(store, model=model, training=TrainingConfig(batch_size=1), corpus=corpus)
        for at, estimate in enumerate(estimates, start=1):
            event = run.step().model_copy(update={"validation_bits_per_byte": estimate})
            store.add_metrics(run.run_id, event.model_copy(update={"step": 100 + at}))
        store.flush()
        found = best_step(run)
        run.close()
    assert found == (None if step is None else 100 + step)
