"""`bitlm train --grow`: a run that stalls goes on as a larger one."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.session import RunStore
from bitlm.session.records import GrowthReceipt
from tests.bitlm.cli.conftest import Say

SHAPE = {
    "d_model": 16,
    "nhead": 2,
    "num_layers": 2,
    "dim_feedforward": 32,
    "max_seq_len": 256,
    "dropout": 0.1,
}
TRAINING = {"batch_size": 2, "validation_interval": 1}


def train(say: Say, text: Path, *options: str) -> Result:
    told = [f"--set={name}={value}" for name, value in (SHAPE | TRAINING).items()]
    return say("train", "--corpus", str(text), "--size", "tiny", *told, "--grow", *options)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(Corpus.embedded().data[:20_000])
    return path


def growth_of(store: RunStore, run_id: str) -> tuple[str, GrowthReceipt]:
    """Return the run that a run grew out of, and how."""
    origin = store.run(run_id).origin
    assert origin is not None
    assert origin.growth is not None
    return origin.run_id, origin.growth


def last_rule(store: RunStore, run_id: str) -> dict[str, Any]:
    """Return what the journal said of growing last."""
    return store.all_events(run_id, kinds=("growth_rule_changed",))[-1].payload


def test_a_run_that_stalls_grows_by_turns_until_its_rate_falls(say: Say, store: RunStore, text: Path) -> None:
    told = json.loads(train(say, text, "--steps", "22", "--improve-thresh", "9", "--json").stdout)
    assert told["steps"] == 22
    middle, width = growth_of(store, told["run_id"])
    first, layer = growth_of(store, middle)
    assert (layer.by, width.by) == ("layer", "width")
    assert store.run(first).origin is None
    shape = store.run(told["run_id"]).config.model
    assert (shape.num_layers, shape.d_model, shape.max_seq_len) == (3, 32, 256)
    reasons = [event.payload["reason"] for event in store.all_events(first, kinds=("training_paused",))]
    assert reasons == ["held-out text hardly improves any more, so a layer more"]

    gone_on = say("train", "--run", told["run_id"], "--steps", "4", "--grow", "--improve-thresh", "9")
    assert "steps" in gone_on.stdout, "its rate has fallen, so that it is as large as it was"
    assert store.run(told["run_id"]).config.model == shape


def test_what_a_growth_changed_is_said(say: Say, text: Path) -> None:
    said = " ".join(train(say, text, "--steps", "12", "--improve-thresh", "9").stdout.split())
    assert "hardly improves any more, so a layer more: " in said
    assert "greatest change of a logit 0.0e+00" in said


def test_a_run_that_improves_or_has_no_room_stays_as_it_is(say: Say, store: RunStore, text: Path) -> None:
    improving = json.loads(train(say, text, "--steps", "12", "--improve-thresh", "0", "--json").stdout)[
        "run_id"
    ]
    assert store.run(improving).origin is None
    said = train(say, text, "--steps", "12", "--improve-thresh", "9", "--most-memory-mb", "1", "--json")
    full = json.loads(said.stdout)["run_id"]
    assert store.run(full).origin is None
    assert last_rule(store, full)["reason"] == "no larger model fits 1 MB and this text"
    assert last_rule(store, improving)["new"] == {"improve_thresh": 0.0, "most_memory_mb": 64}
    say("train", "--run", improving, "--steps", "1", "--no-grow")
    assert last_rule(store, improving)["new"] is None


def test_what_cannot_grow_or_is_not_asked_to_is_refused_before_a_run_is_made(
    say: Say, store: RunStore, text: Path
) -> None:
    with pytest.raises(ConfigError, match=r"qat=True: .*grow the run without it"):
        train(say, text, "--steps", "4", "--set", "qat=true")
    told = say("train", "--corpus", str(text), "--steps", "1", "--improve-thresh", "0.1", code=2)
    assert "say how to --grow" in told.output
    assert store.runs() == []


def test_a_window_does_not_outgrow_its_text(say: Say, store: RunStore, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_bytes(Corpus.embedded().data[:400])  # 40 bytes of it are held out, and a window has 32
    told = json.loads(train(say, short, "--steps", "36", "--improve-thresh", "9", "--json").stdout)
    shape = store.run(told["run_id"]).config.model
    assert (shape.num_layers, shape.d_model, shape.max_seq_len) == (4, 32, 256)


def test_what_a_run_has_grown_to_is_distilled_in_the_end(say: Say, store: RunStore, text: Path) -> None:
    options = ("--auto-collapse", "--share", "0.9", "--student-steps", "2", "--s-floor", "1")
    done = train(say, text, "--steps", "12", "--improve-thresh", "9", *options, "--json")
    told = json.loads(done.stdout)
    student = told["student"]
    assert (student["student_of"], student["step"], student["met"]) == (told["run_id"], 12, False)
    assert (student["s_floor"], student["most_worse"]) == (1.0, 0.1)
    assert growth_of(store, told["run_id"])[1].parameters[1] == student["parameters"][0]
    origin = store.run(student["run_id"]).origin
    assert origin is not None
    assert origin.distillation is not None
    assert origin.distillation.parameters[1] == student["parameters"][1] <= 0.9 * student["parameters"][0]
    said = say("train", "--run", told["run_id"], "--steps", "1", "--grow", *options).stdout
    assert f"is a student of run {told['run_id']} at step 13: " in " ".join(said.split())
    assert "it misses a floor after 2 rounds." in " ".join(said.split())


def test_a_student_that_there_cannot_be_is_refused_before_a_run_is_made(
    say: Say, store: RunStore, text: Path
) -> None:
    for options, why in (
        (("--auto-collapse",), "give --grow too"),
        (("--grow", "--share", "0.5"), "say how to --auto-collapse"),
    ):
        told = say("train", "--corpus", str(text), "--steps", "1", *options, code=2)
        assert why in " ".join(told.output.replace("│", " ").split())
    with pytest.raises(ConfigError, match=r"share=0.01: use at least"):
        train(say, text, "--steps", "1", "--auto-collapse", "--share", "0.01")
    with pytest.raises(ConfigError, match="masked bits"):
        train(say, text, "--steps", "1", "--auto-collapse", "--set", "objective=mixed")
    assert store.runs() == []
