"""Training in several processes: who this one is, and what all of them must agree in."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Literal

import torch
import typer

from bitlm.cli.options import default_threads
from bitlm.data import Corpus
from bitlm.distributed import ALONE, Group, Launch, Schedule, joined
from bitlm.errors import BitLMError, ConfigError
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import Event, RunConfig, RunStore, Session
from bitlm.session.durability import ASIDE, make_folder
from bitlm.session.leading import LeadingLearner, MakeShared, follow_leader, tell
from bitlm.session.learner import Learner
from bitlm.session.sharded import TOLD as TOLD_OF_SHARES
from bitlm.session.sharded import LeadingShardedLearner, ShardedLearner
from bitlm.session.staged import TOLD, LeadingStagedLearner, StagedLearner
from bitlm.training import TrainingConfig, least_parts, require_stages
from bitlm.version import VERSION

Strategy = Annotated[
    Literal["ddp", "fsdp", "pipeline"] | None,
    typer.Option(
        help="How the processes that torchrun started share a step: ddp, by its windows; fsdp, by these and "
        "the rows of all weights; pipeline, by the model's layers."
    ),
]
PipelineSchedule = Annotated[
    Schedule | None,
    typer.Option(help="When a pipeline's parts go back: 1f1b (default) as soon as they can, gpipe all last."),
]
ShardedCheckpoints = Annotated[
    bool,
    typer.Option(
        "--sharded-checkpoints",
        help="Each process of fsdp or a pipeline writes what it has of a checkpoint, into a data folder that "
        "all see, instead of rank 0 all.",
    ),
]


@dataclass(frozen=True)
class Sharing:
    """What a strategy comes to.

    Attributes:
        lead: Makes the learner of rank 0's session.
        follow: Makes that of another rank.
        also: As for `follow_leader`.
        require: Raises a ConfigError where so many processes cannot share a run of these settings.
    """

    lead: MakeShared
    follow: MakeShared
    also: Sequence[str]
    require: Callable[[ModelConfig, TrainingConfig, int], None]


def _require_parts(_model: ModelConfig, training: TrainingConfig, size: int) -> None:
    """Check that a step has a part for each process.

    Raises:
        ConfigError: It has not.
    """
    parts = training.accumulation_steps
    if parts % size:
        raise ConfigError(
            "accumulation_steps",
            parts,
            f"{size} processes cannot share a step of so many parts; a new run has {size} unless told "
            f"otherwise, and `fork RUN --set accumulation_steps={size}` makes one of a run.",
        )


def _require_shares(model: ModelConfig, training: TrainingConfig, size: int) -> None:
    """Check that a step has a part for each process, and that weights move in shares.

    Raises:
        ConfigError: It has not, or they do not.
    """
    _require_parts(model, training, size)
    if training.qat:
        fix = "weights of few bits are rounded whole; use False, or --strategy ddp."
        raise ConfigError("qat", training.qat, fix)


DDP = Sharing(LeadingLearner, Learner, (), _require_parts)
FSDP = Sharing(LeadingShardedLearner, ShardedLearner, TOLD_OF_SHARES, _require_shares)


def _sharing(strategy: str | None, schedule: Schedule | None, *, in_shards: bool) -> Sharing:
    if strategy == "fsdp":
        return replace(FSDP, lead=partial(LeadingShardedLearner, in_shards=in_shards))
    if strategy != "pipeline":
        return DDP
    schedule = schedule or "1f1b"
    lead = partial(LeadingStagedLearner, schedule=schedule, in_shards=in_shards)
    return Sharing(lead, partial(StagedLearner, schedule=schedule), TOLD, require_stages)


@dataclass(frozen=True)
class Ranks:
    """The processes of one training, as rank 0 has them.

    Attributes:
        launch: How they were started.
        group: What they tell each other.
        sharing: How they share a run.
    """

    launch: Launch
    group: Group
    sharing: Sharing = DDP

    @property
    def threads(self) -> int:
        """Threads for each, if the machine's cores are shared among those on it."""
        return max(1, default_threads() // self.launch.on_this_machine)

    @property
    def settings(self) -> dict[str, Any]:
        """What a new run is to have, unless it is told otherwise."""
        return {} if self.group.size == 1 else {"accumulation_steps": least_parts(self.group.size)}

    def make(self, config: RunConfig, corpus: Corpus, reference: ReferenceModel) -> Learner:
        """Return the learner of a session."""
        if self.group.size == 1:
            return Learner(config, corpus, reference)
        return self.sharing.lead(config, corpus, reference, self.group)

    def require_shared(self, model: ModelConfig, training: TrainingConfig) -> None:
        """Check that these processes can share a run.

        Raises:
            ConfigError: They cannot; names the setting that is in the way.
        """
        if self.group.size > 1:
            self.sharing.require(model, training, self.group.size)

    def mark(self, session: Session) -> dict[str, Any]:
        """Return what is to be remembered of a start, so that a restart goes on with it."""
        if self.launch.key is None:
            return {}
        return {"idempotency_key": self.launch.key, "elapsed_s": session.elapsed_s}

    def started(self, store: RunStore) -> list[Event]:
        """Return what `mark` left of the starts before this one, the first start first."""
        if self.launch.key is None or self.launch.restarts == 0:
            return []
        return store.events_with_key("training_started", self.launch.key)


ONE_PROCESS = Ranks(Launch(), ALONE)
"""What no torchrun started."""


def require_common(group: Group, folder: Path) -> None:
    """Check that all processes see rank 0's folder under the same path; it is made if need be.

    Raises:
        ConfigError: One does not.
    """
    mark = folder.absolute() / f"{ASIDE}{token_hex(4)}"
    if group.rank == 0:
        make_folder(mark.parent)
        mark.touch()
    seen = group.gathered(Path(group.broadcast(str(mark).encode()).decode()).exists())
    if group.rank == 0:
        mark.unlink()
    if not all(seen):
        fix = "give --data-dir a folder that all processes see, or leave it out: rank 0 then writes all."
        where = f"rank {seen.index(False)} does not see rank 0's {mark.parent}; "
        raise ConfigError("--sharded-checkpoints", True, where + fix)


@contextmanager
def ranks_of(
    strategy: str | None, schedule: Schedule | None, given: dict[str, Any], common: Path | None = None
) -> Iterator[Ranks]:
    """Yield rank 0 the processes of a training; the others do what it tells them, and exit.

    Args:
        strategy: As the user gave it, like the schedule.
        schedule: Of a pipeline.
        given: What else decides the run, by the names of the options.
        common: A data folder into which each is to write what it has of a checkpoint.

    Raises:
        ConfigError: torchrun started several processes and no strategy is given; their count is no power of
            two, but in a pipeline; a schedule is given for anything but a pipeline, or a common folder where
            all have the whole model; they were not given the same, or do not see that folder.
    """
    if schedule is not None and strategy != "pipeline":
        fix = "only a pipeline has a schedule; add --strategy pipeline, or leave it out."
        raise ConfigError("--schedule", schedule, fix)
    if common is not None and strategy not in {"fsdp", "pipeline"}:
        fix = "rank 0 has all that is saved; add --strategy fsdp or pipeline, or leave it out."
        raise ConfigError("--sharded-checkpoints", True, fix)
    launch = Launch.of(os.environ)
    if launch.size > 1 and strategy is None:
        fix = f"torchrun started {launch.size} processes, each of which would train a run of its own; "
        raise ConfigError(
            "--strategy",
            strategy,
            fix + "add --strategy ddp, fsdp or pipeline, or start without torchrun.",
        )
    if strategy != "pipeline" and launch.size.bit_count() != 1:
        fix = "use a power of two, such as 2 or 4: sums are then the same for any count of processes."
        raise ConfigError("--nproc-per-node", launch.size, fix)
    sharing = _sharing(strategy, schedule, in_shards=common is not None)
    alike = {"BitLM": VERSION, "torch": torch.__version__, "strategy": strategy, "schedule": schedule,
             "sharded-checkpoints": common is not None}  # fmt: skip
    with joined(launch) as group:
        group.require_alike(alike | given)
        if common is not None:
            require_common(group, common)
        if group.rank:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 notes it, and says when to end
            follow_leader(group, sharing.follow, sharing.also)
            raise typer.Exit
        try:
            yield Ranks(launch, group, sharing)
        except BitLMError:  # raised in no process while the others wait for it
            tell(group, "end")
            raise
        tell(group, "end")
