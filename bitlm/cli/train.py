"""`bitlm train`: a run from start to a good end, with progress."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from bitlm.cli.distilling import (
    AutoCollapse,
    CollapsedC,
    CollapsedS,
    CollapsedShare,
    CollapsedWorse,
    StudentSteps,
    asked_student,
    collapsed,
)
from bitlm.cli.growing import Grow, ImproveThresh, MostMemoryMb, asked_rule, grown, receipt_line
from bitlm.cli.named_settings import CheckpointLayers, Diffusion, Qat, Reversible, with_named
from bitlm.cli.opening import resolved
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Settings, parsed
from bitlm.cli.progress import Plan, with_bar, with_lines
from bitlm.cli.ranks import ONE_PROCESS, PipelineSchedule, Ranks, ShardedCheckpoints, Strategy, ranks_of
from bitlm.cli.stopping import noted_ctrl_c
from bitlm.cli.trained import measured, print_result
from bitlm.data import Corpus
from bitlm.data.corpus import EMBEDDED
from bitlm.errors import ConfigError, HaltedError
from bitlm.growth import require_growable
from bitlm.history.branching import roll_back
from bitlm.history.distilling import Student, require_distillable
from bitlm.history.narration import percent
from bitlm.model import ModelConfig
from bitlm.session import (
    AlertAction,
    Anneal,
    RunStore,
    SampleSchedule,
    ScheduleSamples,
    Session,
    SetAlertAction,
    SetGrowthRule,
    StepEvent,
    preset,
)
from bitlm.session.growing import growth_due, reason
from bitlm.session.mailbox import attended
from bitlm.session.presets import DEFAULT_SIZE
from bitlm.training import TrainingConfig

DEFAULT_MINUTES = 1.0
"""The embedded text is learned by heart in more (docs/log.md)."""
INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, as shells have it: 128 + SIGINT."""
STOPPED_BY_LETTER = 0
"""Exit code where somebody else asked for the end: torchrun would begin anew what ends with another."""
ANNEAL_SHARE = 0.5
"""The last share of a run in which the learning rate falls."""

GoOnWith = Annotated[
    str | None, typer.Option(help="Go on with this run, by id or name or 'latest', instead of making one.")
]
OnAlert = Annotated[
    AlertAction | None, typer.Option(help="What an alert leads to; a run remembers it (first: notify).")
]
SampleEvery = Annotated[
    int | None, typer.Option(min=0, help="Steps between samples along training; 0 ends them.")
]
TextPath = Annotated[str | None, typer.Option(help="Path of a text file or folder (default: 'embedded').")]


Check = Callable[[ModelConfig, TrainingConfig], None]
"""Raises a ConfigError where settings do not do."""


def run_to_end(session: Session, plan: Plan) -> Iterator[StepEvent]:
    """Step until the plan's end, an alert, or when it is time to grow; anneal over the second half."""
    while (done := plan.share_done(session)) < 1.0:
        if session.annealing is None and done >= 1.0 - ANNEAL_SHARE and done > 0.0:
            session.apply(Anneal(steps=max(1, plan.steps_left(session))), source="cli")
        yield session.step()
        if session.interruption is not None or growth_due(session) is not None:
            return


def train(
    run: GoOnWith = None,
    corpus: TextPath = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Train for so long (default: 1).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for so many steps instead.")] = None,
    size: Annotated[str | None, typer.Option(help="tiny, small or base (default: small).")] = None,
    settings: Settings = None,
    diffusion: Diffusion = False,
    qat: Qat = False,
    reversible: Reversible = False,
    checkpoint: CheckpointLayers = None,
    on_alert: OnAlert = None,
    sample_every: SampleEvery = None,
    sample_prompt: Annotated[str, typer.Option(help="What these samples go on from.")] = "",
    grow: Grow = None,
    improve_thresh: ImproveThresh = None,
    most_memory_mb: MostMemoryMb = None,
    auto_collapse: AutoCollapse = False,
    share: CollapsedShare = None,
    student_steps: StudentSteps = None,
    c_floor: CollapsedC = None,
    s_floor: CollapsedS = None,
    most_worse: CollapsedWorse = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Key of every random draw (default: 0).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads (default: cores - 1).")] = None,
    strategy: Strategy = None,
    schedule: PipelineSchedule = None,
    sharded_checkpoints: ShardedCheckpoints = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train a model and measure it on the held-out tenth of the text.

    The rate falls over the second half. Ctrl-C ends early, measures what was learned, exits with code 130.
    --run goes on with a run as it is; one whose rate has fallen learns little more: `fork` it with another.
    With --grow it goes on as a branch with a layer more, then twice the width, then the window, where
    held-out text hardly improves before the rate falls. --auto-collapse distils what it has become then.

    Examples:
      python -m bitlm train --corpus book.txt --minutes 5
      python -m bitlm train --corpus book.txt --steps 2000 --size tiny --json
      torchrun --standalone --nproc-per-node 2 -m bitlm train --strategy ddp --corpus book.txt
      python -m bitlm train --corpus book.txt --size tiny --minutes 20 --grow --auto-collapse
      python -m bitlm train --run latest --minutes 5 --sample-every 500 --sample-prompt "The "
    """
    seconds, console = _asked_seconds(minutes, steps), Console(stderr=as_json, quiet=as_json)
    settings = with_named(settings, diffusion, qat, reversible, checkpoint)
    given = {"corpus": corpus, "size": size, "set": settings, "seed": seed, "threads": threads}
    rule = asked_rule(grow, improve_thresh, most_memory_mb)
    student = asked_student(auto_collapse, bool(grow), share, student_steps, c_floor, s_floor, most_worse)
    can = partial(_require_possible, grow=bool(grow), student=student)
    alike = {"run": run, "minutes": minutes, "steps": steps, **given}
    with ranks_of(strategy, schedule, alike, data_dir if sharded_checkpoints else None) as ranks:
        store, started = RunStore(data_dir), time.monotonic()
        session, plan = _begun(store, run, given, console, can, ranks, Plan(steps, seconds))
        _tell(session, on_alert, sample_every, sample_prompt, rule)
        session, stopped = _train_to_end(session, plan, console, ranks)
    student, spent_s = student if stopped is None else None, time.monotonic() - started
    if code := _end(session, student, console, spent_s, as_json=as_json) or stopped:
        raise typer.Exit(code)


def _begun(
    store: RunStore, run: str | None, given: dict[str, Any], console: Console, can: Check, ranks: Ranks,
    plan: Plan,
) -> tuple[Session, Plan]:  # fmt: skip
    """Make a run or take one up; that of an earlier start where torchrun has started all again.

    Returns:
        The session, and the plan from the step that the first start began at.
    """
    starts = ranks.started(store)
    if starts:
        session = Session.open(store, starts[-1].run_id, make=ranks.make)
        return session, replace(plan, from_step=starts[0].step, from_s=starts[0].payload["elapsed_s"])
    if run is None:
        session = _made(store, given, console, can, ranks)
    else:
        session = _taken_up(store, run, given, can, ranks)
    return session, replace(plan, from_step=session.step_count, from_s=session.elapsed_s)


def _end(
    session: Session, student: Student | None, console: Console, spent_s: float, *, as_json: bool
) -> int:
    """Measure a run, distil it if that is asked for, and tell; return the exit code."""
    result = measured(session)
    session.close()
    print_result(console, result, spent_s)
    if student is not None:
        result["student"] = collapsed(session.store, session.run_id, student, console)
    session.store.close()
    if as_json:
        typer.echo(json.dumps(result))
    return INTERRUPTED if student is not None and result["student"] is None else 0


def _asked_seconds(minutes: float | None, steps: int | None) -> float | None:
    """Return for how long to train; None where it is for so many steps.

    Raises:
        BadParameter: Both are given.
    """
    if minutes is not None and steps is not None:
        raise typer.BadParameter("give --minutes or --steps, not both.")
    return None if steps is not None else 60.0 * (minutes if minutes is not None else DEFAULT_MINUTES)


def _require_possible(
    model: ModelConfig, training: TrainingConfig, *, grow: bool, student: Student | None
) -> None:
    """Check that a run of these settings can grow, and be distilled, if it is to be.

    Raises:
        ConfigError: It cannot.
    """
    if grow:
        require_growable(training)
    if student is not None:
        require_distillable(model, student)


def _refuse_settings(run: str, given: dict[str, Any]) -> None:
    """Check that no setting is given that a run already has.

    Raises:
        ConfigError: One is; names the ways to have it.
    """
    for name, value in given.items():
        if value is not None and value != []:
            raise ConfigError(
                f"--{name}",
                " ".join(value) if isinstance(value, list) else value,
                f"a run keeps the settings it has. `fork {run} --set name=value` makes one that goes on with "
                "others; without --run a new one is made.",
            )


def _made(store: RunStore, given: dict[str, Any], console: Console, can: Check, ranks: Ranks) -> Session:
    """Make a run with the settings given, and say what is remarkable about its text."""
    model, training = preset(given["size"] or DEFAULT_SIZE, **(ranks.settings | parsed(given["set"])))
    can(model, training)
    ranks.require_shared(model, training)
    session = Session.create(
        store, model=model, training=training, corpus=Corpus.load(given["corpus"] or EMBEDDED),
        seed=given["seed"] or 0, threads=given["threads"] or ranks.threads, source="cli",
        make=ranks.make,
    )  # fmt: skip
    if session.corpus.not_utf8:
        console.print(f"{percent(session.corpus.not_utf8)} of this text is no UTF-8: it is taken as bytes.")
    return session


def _taken_up(store: RunStore, run: str, given: dict[str, Any], can: Check, ranks: Ranks) -> Session:
    """Open a run that is to go on with the settings it has.

    Raises:
        ConfigError: Others are given, the run is in the trash, or it is to grow or be distilled and cannot.
    """
    _refuse_settings(run, given)
    run_id = resolved(store, run)
    record = store.run(run_id)
    can(record.config.model, record.config.training)
    ranks.require_shared(record.config.model, record.config.training)
    if record.trashed_at is not None:
        raise ConfigError("--run", run_id, f"it is in the trash; `runs restore {run_id}` takes it back.")
    return Session.open(store, run_id, make=ranks.make)


def _tell(
    session: Session, on_alert: AlertAction | None, sample_every: int | None, sample_prompt: str,
    growing: SetGrowthRule | None,
) -> None:  # fmt: skip
    """Give the run what was asked for beside training, where that is not so already."""
    if growing is not None and growing.rule != session.growth_rule:
        session.apply(growing, source="cli")
    if on_alert is not None and on_alert != session.alert_action:
        session.apply(SetAlertAction(action=on_alert), source="cli")
    if sample_every is None:
        return
    schedule = SampleSchedule(every=sample_every, prompt=sample_prompt) if sample_every else None
    if schedule != session.sample_schedule:
        session.apply(ScheduleSamples(schedule=schedule), source="cli")


def _train_to_end(
    session: Session, plan: Plan, console: Console, ranks: Ranks = ONE_PROCESS
) -> tuple[Session, int | None]:
    """Train and save, in a branch where an alert led to a rollback, and in one where the model grew.

    Returns:
        The session, and the exit code where Ctrl-C or a letter ended it, else None.

    Raises:
        HaltedError: The run stopped itself, and its alerts lead to no rollback.
    """
    while True:
        halted, stopped = None, None
        try:
            stopped = _train_with_progress(session, plan, console, ranks)
        except HaltedError as error:
            halted = error
        interruption = session.interruption
        if interruption is not None:
            console.print(f"{interruption.reason}: {interruption.action}.", highlight=False)
        if interruption is None or interruption.action == "pause":
            if halted is not None:
                raise halted
            growth = growth_due(session) if stopped is None else None
            if growth is None:
                session.save()
                session.model.eval()  # whole from here on, when the other processes are gone
                return session, stopped
            session, receipt = grown(session, growth, ranks.make)
            console.print(f"{reason(growth)}: {receipt_line(receipt)}", highlight=False)
            continue
        session.save()
        session.close()
        branch = roll_back(session.store, session.run_id, since=interruption.since, source="session")
        session = Session.open(session.store, branch, make=ranks.make)


def _train_with_progress(session: Session, plan: Plan, console: Console, ranks: Ranks) -> int | None:
    """Train to the end of the plan or until it is time to grow; return the exit code if stopped before."""
    session.record("training_started", ranks.mark(session), source="cli")
    with attended(session) as attendance:
        with noted_ctrl_c() as ctrl_c:
            events = attendance.until_stopped(ctrl_c.until_pressed(run_to_end(session, plan)))
            show = with_bar if console.is_terminal else with_lines
            show(session, plan, console, events)
        stopped = INTERRUPTED if ctrl_c.was_pressed else None
        if attendance.stopped_by is not None:
            stopped = STOPPED_BY_LETTER
        if stopped is not None:
            console.print("stopped early; what was learned is kept.")
        if session.interruption is not None:
            session.record("training_paused", {"reason": session.interruption.reason})
        elif stopped is None and (growth := growth_due(session)) is not None:
            session.record("training_paused", {"reason": reason(growth)})
        else:
            session.record("training_stopped", {}, source=attendance.stopped_by or "cli")
    return stopped
