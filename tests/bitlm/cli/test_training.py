"""What `bitlm train` and `bitlm generate` print, and with which code they end."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bitlm.cli.progress import Plan, with_lines
from bitlm.cli.train import run_to_end
from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session, SetTelemetry
from bitlm.training import TrainingConfig
from tests.bitlm.cli.conftest import Say

Made = Callable[[], str]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--set", "learning_rate=0.1"),
        ("--size", "tiny"),
        ("--corpus", "embedded"),
        ("--seed", "0"),
        ("--threads", "1"),
    ],
)
def test_a_run_is_not_gone_on_with_under_other_settings(
    say: Say, made: Made, option: str, value: str
) -> None:
    run_id = made()
    with pytest.raises(
        ConfigError, match=f"{option}=.*a run keeps the settings it has.*`fork {run_id} --set"
    ):
        say("train", "--run", run_id, option, value, "--steps", "1")


def test_a_run_in_the_trash_is_not_gone_on_with(say: Say, made: Made) -> None:
    run_id = made()
    say("runs", "trash", run_id)
    with pytest.raises(ConfigError, match=f"`runs restore {run_id}` takes it back"):
        say("train", "--run", run_id, "--steps", "1")


def test_a_setting_that_does_not_exist_names_those_that_do(say: Say, made: Made) -> None:
    with pytest.raises(
        ConfigError, match=r"d_modle=3: there is no such setting; did you mean d_model\? there are d_"
    ):
        say("train", "--set", "d_modle=3")
    run_id = made()
    with pytest.raises(ConfigError, match=r"learning_rat=1: did you mean learning_rate\? a fork can change"):
        say("fork", run_id, "--set", "learning_rat=1")


def test_progress_that_no_terminal_shows_is_a_line_now_and_then(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus, seed=1)
    out = io.StringIO()
    plan = Plan(6, None)
    with_lines(session, plan, Console(file=out), run_to_end(session, plan), interval_s=1e9)
    lines = out.getvalue().splitlines()
    assert lines[0] == f"run {session.run_id}"
    assert [line.split("  ")[1] for line in lines[1:]] == ["step 1", "step 6"]
    out.truncate(0)
    plan = Plan(3, None, from_step=6)
    with_lines(session, plan, Console(file=out), run_to_end(session, plan), interval_s=0.0)
    assert [word for word in out.getvalue().split() if word.isdigit()] == ["7", "8", "9"]


def test_a_sample_goes_into_a_pipe_as_it_is_and_several_have_headings(say: Say, made: Made) -> None:
    made()
    options = ("generate", "--prompt", "The ", "--max-new-bytes", "200")
    text = json.loads(say(*options, "--json").stdout)["text"]
    assert len(text) > 150, "longer than a terminal is wide"
    told = say(*options)
    assert told.stdout == f"The {text}\n"
    assert "4 attempts)" in told.stderr
    texts = [one["text"] for one in json.loads(say(*options, "--samples", "2", "--json").stdout)]
    assert say(*options, "--samples", "2").stdout == "".join(
        f"── sample {number} · seed {number - 1} ──\nThe {text}\n"
        for number, text in enumerate(texts, start=1)
    )


def test_an_attempt_is_one_attempt(say: Say, store: RunStore, made: Made) -> None:
    session = Session.open(store, made())
    session.apply(SetTelemetry(c_floor=0.0, s_floor=0.0), source="cli")
    session.save()
    session.close()
    assert "1 attempt)" in say("generate", "--max-new-bytes", "16").stderr


def test_a_text_that_is_no_utf8_is_said_to_be_taken_as_bytes(say: Say, tmp_path: Path) -> None:
    text = tmp_path / "latin"
    text.write_bytes("Grün ist die Wiese. ".encode("latin-1") * 500)
    told = say("train", "--corpus", str(text), "--size", "tiny", "--steps", "1").stdout
    assert "5 % of this text is no UTF-8: it is taken as bytes." in told


def test_training_that_ctrl_c_ended_keeps_what_was_learned_and_exits_with_130(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(Corpus.embedded().data[:20_000])
    command = [
        sys.executable,
        "-m",
        "bitlm",
        "train",
        "--corpus",
        str(text),
        "--size",
        "tiny",
        "--minutes",
        "5",
    ]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as training:
        assert training.stdout is not None
        for line in training.stdout:
            if "step 1 " in line:
                training.send_signal(signal.SIGINT)
                break
        rest = training.stdout.read()
    assert training.returncode == 130
    assert "stopped early; what was learned is kept." in rest
    assert "│ BitLM " in rest
