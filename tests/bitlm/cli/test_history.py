"""Replaying, branching, comparing and keeping order from the command line."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from bitlm.data import Corpus
from bitlm.session import RunStore
from tests.bitlm.cli import program
from tests.bitlm.cli.program import Said


def bitlm(data_dir: Path, *arguments: str, code: int = 0) -> Said:
    return program.bitlm(*arguments, "--data-dir", str(data_dir), code=code)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def run_id(data_dir: Path) -> str:
    """A run of 24 steps that was annealed at step 12."""
    text = data_dir / "text.txt"
    text.write_bytes(Corpus.embedded().data[:20_000])
    options = ("--corpus", str(text), "--size", "tiny", "--steps", "24")
    return str(answer(data_dir, "train", *options)["run_id"])


def answer(data_dir: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    said: dict[str, Any] = program.answer_of(*arguments, "--data-dir", str(data_dir), code=code)
    return said


def test_a_run_is_replayed_and_the_exit_code_says_whether_it_came_out_the_same(
    data_dir: Path, run_id: str
) -> None:
    found = answer(data_dir, "replay", run_id)
    assert found["same"] is True
    assert [one["step"] for one in found["stretches"][0]["checkpoints"]] == [0, 24]
    assert "every bit came out again" in bitlm(data_dir, "replay", run_id, "--until", "10").stdout
    assert answer(data_dir, "replay", run_id, "--verify-random", "1")["same"] is True


def test_the_journal_names_the_change_that_a_twin_does_without(data_dir: Path, run_id: str) -> None:
    entries = answer(data_dir, "journal", run_id)["entries"]
    assert [entry["kind"] for entry in entries] == ["training_started", "anneal_started", "training_stopped"]
    entry = entries[1]
    assert (entry["kind"], entry["step"], entry["source"]) == ("anneal_started", 12, "cli")
    twin = answer(data_dir, "twin", run_id, str(entry["event_id"]))
    assert (twin["step"], twin["first_difference"]) == (24, 15), "step 14 is the first with a lower rate"
    found = answer(data_dir, "compare", run_id, twin["run_id"])
    assert found["compared_steps"] == 24
    assert "differ from step 15 on" in bitlm(data_dir, "compare", run_id, twin["run_id"]).stdout


def test_before_and_after_an_entry_of_the_journal_is_a_table_or_json(data_dir: Path, run_id: str) -> None:
    event = answer(data_dir, "journal", run_id)["entries"][1]["event_id"]
    found = answer(data_dir, "effect", run_id, str(event))
    assert (found["step"], found["quantities"]["bits_per_byte"]["before"]["values"]) == (12, 12)
    told = bitlm(data_dir, "effect", run_id, str(event)).stdout
    assert f"bitlm twin {run_id} {event}" in told
    assert "learning rate" in told
    assert "no change, alert or" in bitlm(data_dir, "effect", run_id, "99999", code=2).stderr


def test_a_fork_is_trained_on(data_dir: Path, run_id: str) -> None:
    options = ("--checkpoint", "24", "--set", "learning_rate=0.001", "--set", "lambda_K=0.2")
    branch = answer(data_dir, "fork", run_id, *options)
    assert (branch["fork_of"], branch["step"]) == (run_id, 24)
    more = answer(data_dir, "train", "--run", branch["run_id"], "--steps", "4")
    assert (more["run_id"], more["steps"]) == (branch["run_id"], 28)
    assert "name=value" in bitlm(data_dir, "fork", run_id, "--set", "seed", code=2).stderr


def test_a_fork_whose_model_grows_says_what_that_changed(data_dir: Path, run_id: str) -> None:
    told = bitlm(data_dir, "fork", run_id, "--grow", "layer").stdout
    assert "greatest change of a logit 0.0e+00" in told
    growth = answer(data_dir, "fork", run_id, "--grow", "width")["growth"]
    assert growth["by"] == "width"
    assert growth["parameters"][0] < growth["parameters"][1]
    assert (
        "use one of layer, width, context"
        in bitlm(data_dir, "fork", run_id, "--grow", "sideways", code=2).stderr
    )


def test_a_student_says_how_small_and_how_good_it_is_and_is_saved(
    data_dir: Path, run_id: str, tmp_path: Path
) -> None:
    place = tmp_path / "student"
    options = ("--share", "0.5", "--rounds", "1", "--steps", "2", "--representatives", "1")
    student = answer(data_dir, "distil", run_id, *options, "--output", str(place))
    assert (student["student_of"], student["step"], student["rounds"]) == (run_id, 24, 1)
    assert student["parameters"][1] <= 0.5 * student["parameters"][0]
    metrics = json.loads((place / "metrics.json").read_text())
    assert (metrics["met"], metrics["bits_per_byte"]) == (student["met"], student["bits_per_byte"][1])
    told = bitlm(data_dir, "distil", run_id, *options, "--s-floor", "1", "--heads", "1").stdout
    assert "parameters (2 → 1 heads a layer)" in told
    assert "it misses a floor" in told


def test_ctrl_c_ends_a_distillation_that_leaves_nothing_behind(data_dir: Path, run_id: str) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = answer(data_dir, "runs", "list")["runs"]
    former = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.5, 0.5)  # of processor time, in which it has begun
    try:
        options = ("--steps", "100000", "--representatives", "1")
        said = bitlm(data_dir, "distil", run_id, *options, code=130).stderr
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
    assert "no run was made" in said
    assert answer(data_dir, "runs", "list")["runs"] == before


def test_a_run_is_rolled_back_to_its_newest_checkpoint_where_nothing_was_alerted(
    data_dir: Path, run_id: str
) -> None:
    branch = answer(data_dir, "rollback", run_id)
    assert (branch["rollback_of"], branch["step"]) == (run_id, 24)
    entry = answer(data_dir, "journal", branch["run_id"])["entries"][0]
    assert entry["payload"] == {"old": "rollback", "new": "pause"}


def test_runs_and_checkpoints_are_named_listed_and_deleted(data_dir: Path, run_id: str) -> None:
    branch = answer(data_dir, "fork", run_id)["run_id"]
    bitlm(data_dir, "runs", "rename", branch, "a name")
    bitlm(data_dir, "runs", "tag", branch, "one", "two")
    bitlm(data_dir, "runs", "archive", branch)
    listed = {one["run_id"]: one for one in answer(data_dir, "runs", "list", "--all")["runs"]}
    assert listed[branch]["name"] == "a name"
    assert listed[branch]["tags"] == ["one", "two"]
    assert branch not in bitlm(data_dir, "runs", "list").stdout
    bitlm(data_dir, "checkpoints", "name", run_id, "24", "the end")
    named = answer(data_dir, "checkpoints", "list", run_id)["checkpoints"]
    assert [one["name"] for one in named if one["step"] == 24] == ["the end"]
    bitlm(data_dir, "runs", "delete", branch, "--yes")
    store = RunStore(data_dir)
    assert branch not in {record.run_id for record in store.runs()}
    store.close()


def test_an_earlier_checkpoint_can_be_sampled(data_dir: Path, run_id: str) -> None:
    early = answer(data_dir, "evaluate", "--run", run_id, "--checkpoint", "0")
    late = answer(data_dir, "evaluate", "--run", run_id)
    assert (early["step"], late["step"]) == (0, 24)
    assert early["bits_per_byte"] > late["bits_per_byte"]
    assert "it has 24, 0" in bitlm(data_dir, "generate", "--run", run_id, "--checkpoint", "3", code=2).stderr


def test_a_folder_without_runs_is_said_to_be_one(tmp_path: Path) -> None:
    assert "there are no runs in" in bitlm(tmp_path, "runs", "list").stdout
    assert "there are no runs in it" in bitlm(tmp_path / "none", "replay", code=2).stderr


def test_to_undo_a_change_and_to_do_another_exclude_each_other(data_dir: Path, run_id: str) -> None:
    entries = answer(data_dir, "journal", run_id)["entries"]
    event = next(str(entry["event_id"]) for entry in entries if entry["kind"] == "anneal_started")
    refused = bitlm(data_dir, "twin", run_id, event, "--undo", "--set", "steps=3", code=2)
    assert "put nothing in its place" in refused.stderr
