"""Training in the processes that torchrun starts."""

import os
import signal
import subprocess
import sys
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.run import get_args_parser

from bitlm.cli.options import default_threads
from bitlm.cli.ranks import FSDP, ONE_PROCESS, Ranks, ranks_of
from bitlm.data import Corpus
from bitlm.distributed import ALONE, Group, Launch
from bitlm.errors import ConfigError
from bitlm.model import ModelConfig
from bitlm.session import Anneal, RunStore, Session, SetTelemetry, preset
from bitlm.session.checkpoint import StateHashes, state_hashes
from bitlm.session.letters import StopTraining, Wish
from bitlm.session.mailbox import Mailbox
from bitlm.training import TrainingConfig, require_stages
from tests.bitlm.cli.conftest import Say
from tests.conftest import DEADLINE_S, ROOT, TINY, WaitUntil

SETTINGS = TINY | {
    "accumulation_steps": 2,
    "checkpoint_interval": 5,
    "validation_interval": 1000,
    "probe_interval": 1000,
    "diagnostics_interval": 1000,
}


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process believe that it is one of two."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")


def losses_and_hashes(store: RunStore, steps: int) -> tuple[list[float], StateHashes]:
    (run,) = store.runs()
    newest = store.checkpoints.of(run.run_id)[0]
    assert newest.step == steps
    return store.metrics(run.run_id)["loss"], state_hashes(store.checkpoints.load(newest))


def train_to(session: Session, step: int) -> None:
    for _ in islice(session, step - session.step_count):
        pass


def tell(store: RunStore, run_id: str, wish: Wish, wait_until: WaitUntil) -> None:
    """Have something done by letter, once whoever trains looks for any."""
    with closing(Mailbox(store)) as mailbox:
        wait_until(lambda: mailbox.is_attended(run_id))
        mailbox.ask(run_id, wish, source="ui", seen={}, patience_s=DEADLINE_S)


def newest_step(store: RunStore) -> int:
    """Return the step of the newest checkpoint there is, 0 if there is none yet."""
    steps = [record.step for run in store.runs() for record in store.checkpoints.of(run.run_id)]
    return max(steps, default=0)


def process_of_rank(rank: int, torchrun: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    (found,) = [
        int(child)
        for child in children
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    ]
    return found


# So many steps that, once there is a checkpoint, there is time to tell something and to kill a process.
@pytest.mark.parametrize(
    ("strategy", "more"),
    [("ddp", ("--steps", "120")), ("pipeline", ("--minutes", "60", "--sharded-checkpoints"))],
)
def test_a_training_in_two_processes_told_by_letter_and_one_of_them_killed_is_that_of_one_process(
    tmp_path: Path, corpus_file: Path, wait_until: WaitUntil, strategy: str, more: tuple[str, ...]
) -> None:
    settings = [option for setting in SETTINGS.items() for option in ("--set", "{}={}".format(*setting))]
    with closing(RunStore(tmp_path / "together")) as store, (tmp_path / "said").open("wb") as said:
        torchrun = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
             "--max-restarts", "1", "-m", "bitlm", "train", "--strategy", strategy, "--size", "tiny",
             *more, "--corpus", corpus_file, "--data-dir", store.data_dir, *settings],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            wait_until(lambda: newest_step(store))
            (run,) = store.runs()
            tell(store, run.run_id, SetTelemetry(lambda_K=0.25), wait_until)
            os.kill(process_of_rank(1, torchrun), signal.SIGKILL)
            if strategy == "pipeline":
                wait_until(lambda: store.all_events(run.run_id, kinds=("run_resumed",)))
                for wish in (Anneal(steps=3), StopTraining()):
                    tell(store, run.run_id, wish, wait_until)
            assert torchrun.wait(timeout=300) == 0, (tmp_path / "said").read_text()
        finally:
            torchrun.terminate()  # killed, it would leave the others to themselves
            torchrun.wait()
        steps = newest_step(store)
        together = losses_and_hashes(store, steps)
        (resumed,) = store.all_events(run.run_id, kinds=("run_resumed",))
        assert 0 < resumed.step < steps
        events = store.all_events(run.run_id, kinds=("telemetry_changed", "anneal_started", "diverged"))
        by = "cli" if strategy == "ddp" else "ui"
        assert [(event.kind, event.source) for event in events] == [
            ("telemetry_changed", "ui"),
            ("anneal_started", by),
        ]
        assert strategy == "pipeline" or events[-1].step == 60
        (ended,) = store.all_events(run.run_id, kinds=("training_stopped",))
        assert (ended.step, ended.source) == (steps, by)
    model, training = preset("tiny", **SETTINGS)
    with closing(RunStore(tmp_path / "alone")) as store:
        session = Session.create(store, model=model, training=training, corpus=Corpus.load(str(corpus_file)))
        for event in events:
            train_to(session, event.step)
            session.enter(event.kind, event.payload, source=event.source)
        train_to(session, steps)
        session.save()
        session.close()
        assert losses_and_hashes(store, steps) == together


def test_processes_of_torchrun_are_not_each_to_train_a_run_of_their_own(
    say: Say, two_processes: None
) -> None:
    with pytest.raises(
        ConfigError, match=r"--strategy=None: torchrun started 2 .*; add --strategy ddp, fsdp or pipe"
    ):
        say("train", "--steps", "1")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_count_of_processes_that_is_no_power_of_two_is_refused(
    say: Say, two_processes: None, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="--nproc-per-node=3: use a power of two, such as 2 or 4"):
        say("train", "--strategy", strategy, "--steps", "1")


def test_half_of_torchruns_variables_are_refused(
    say: Say, two_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK")
    with pytest.raises(ConfigError, match="RANK='': it is set by torchrun; start with torchrun, or without"):
        say("train", "--strategy", "ddp", "--steps", "1")


def test_two_dashes_keep_torchrun_from_taking_our_options_for_its_own() -> None:
    ours = ["train", "--run", "latest", "--strategy", "ddp"]
    parsed = get_args_parser().parse_args(["--standalone", "-m", "--", "bitlm", *ours])
    assert (parsed.training_script, parsed.training_script_args) == ("bitlm", ours)


def test_a_strategy_does_for_one_process_as_well() -> None:
    with ranks_of("ddp", None, {}) as ranks:
        assert ranks == ONE_PROCESS


def test_a_run_is_not_shared_by_more_processes_than_its_step_has_parts() -> None:
    two = Ranks(Launch(size=2), Group(size=2))
    with pytest.raises(
        ConfigError, match=r"accumulation_steps=1: 2 processes .* --set accumulation_steps=2`"
    ):
        two.require_shared(ModelConfig(), TrainingConfig())
    two.require_shared(ModelConfig(), TrainingConfig(accumulation_steps=4))


def test_weights_of_few_bits_are_not_kept_in_shares() -> None:
    two = Ranks(Launch(size=2), Group(size=2), FSDP)
    with pytest.raises(ConfigError, match=r"qat=True: .* use False, or --strategy ddp"):
        two.require_shared(ModelConfig(), TrainingConfig(accumulation_steps=2, qat=True))
    two.require_shared(ModelConfig(), TrainingConfig(accumulation_steps=2))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, None),
        ({"num_layers": 3}, "num_layers=3: each of 4 stages needs a layer; start 3 processes or fewer."),
        ({"accumulation_steps": 2}, "accumulation_steps=2: 4 stages .* --set accumulation_steps=4`"),
        ({"use_act": True}, "use_act=True: a pipeline's parts are all alike: use False, or --strategy ddp."),
        ({"objective": "mixed"}, "objective='mixed': .* use 'causal', or --strategy ddp."),
        ({"compress_prob": 0.5}, "compress_prob=0.5: .* use 0.0, or --strategy ddp."),
        ({"qat": True}, "qat=True: .* use False, or --strategy ddp."),
    ],
)
def test_a_pipeline_refuses_what_cannot_be_computed_in_stages(
    settings: dict[str, Any], said: str | None
) -> None:
    model, training = preset("small", **({"accumulation_steps": 4} | settings))
    with nullcontext() if said is None else pytest.raises(ConfigError, match=said):
        require_stages(model, training, 4)


def test_a_schedule_is_that_of_a_pipeline(say: Say) -> None:
    with pytest.raises(ConfigError, match=r"--schedule='gpipe': only a pipeline .*; add --strategy pipeline"):
        say("train", "--schedule", "gpipe", "--steps", "1")


def test_checkpoints_in_shards_are_of_processes_that_have_a_part_each(say: Say) -> None:
    with pytest.raises(ConfigError, match=r"--sharded-checkpoints=True: rank 0 has all .* leave it out\."):
        say("train", "--strategy", "ddp", "--sharded-checkpoints", "--steps", "1")


def test_a_new_run_has_a_part_for_each_process_and_a_power_of_two_of_them() -> None:
    parts = [Ranks(Launch(size=size), Group(size=size)).settings for size in (1, 2, 3)]
    assert parts == [{}, {"accumulation_steps": 2}, {"accumulation_steps": 4}]


def test_the_processes_on_a_machine_share_its_cores() -> None:
    assert Ranks(Launch(on_this_machine=2), ALONE).threads == max(1, default_threads() // 2)
