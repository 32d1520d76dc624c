"""`bitlm train`: a run from start to a good end, with progress."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bitlm.baselines import baselines
from bitlm.cli.growing import (
    Grow,
    Growing,
    ImproveThresh,
    MostMemoryMb,
    asked_schedule,
    grown,
    reason,
    receipt_line,
)
from bitlm.cli.opening import resolved
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Settings, default_threads, parsed
from bitlm.cli.quality import bound_line, quality_of
from bitlm.cli.stopping import noted_ctrl_c
from bitlm.data import Corpus
from bitlm.data.corpus import EMBEDDED
from bitlm.errors import ConfigError, HaltedError
from bitlm.growth import GrowthSchedule, require_growable
from bitlm.history.branching import roll_back
from bitlm.history.milestones import milestones
from bitlm.history.narration import duration, percent
from bitlm.session import (
    AlertAction,
    Anneal,
    RunStore,
    SampleSchedule,
    ScheduleSamples,
    Session,
    SetAlertAction,
    StepEvent,
    preset,
)
from bitlm.session.presets import DEFAULT_SIZE

CLEARLY = 0.03
"""Bits per byte, by which an estimate on held-out text may be off."""

DEFAULT_MINUTES = 1.0
"""The embedded text is learned by heart in more (docs/log.md)."""
INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, as shells have it: 128 + SIGINT."""
LINE_INTERVAL_S = 15.0
"""Seconds of training between two lines of progress where there is no terminal for a bar."""
ANNEAL_SHARE = 0.5
"""The last share of a run in which the learning rate falls."""

GoOnWith = Annotated[
    str | None, typer.Option(help="Go on with this run, by id or name or 'latest', instead of making one.")
]
SampleEvery = Annotated[
    int | None, typer.Option(min=0, help="Steps between samples along training; 0 ends them.")
]
TextPath = Annotated[str | None, typer.Option(help="Path of a text file or folder (default: 'embedded').")]


@dataclass(frozen=True)
class Plan:
    """When to end: after so many more steps, or after so many more seconds of training.

    Attributes:
        from_step: The step the plan begins at.
        from_s: The seconds of training that had been spent by then.
    """

    steps: int | None
    seconds: float | None
    from_step: int = 0
    from_s: float = 0.0

    def share_done(self, session: Session) -> float:
        """Return how much of the plan is behind it, in [0, 1]."""
        if self.steps is not None:
            return min(1.0, (session.step_count - self.from_step) / self.steps)
        assert self.seconds is not None, "a plan has steps or seconds"
        return min(1.0, (session.elapsed_s - self.from_s) / self.seconds)

    def steps_left(self, session: Session) -> int:
        """Return the steps still to come, for a plan in seconds at the pace so far."""
        done = session.step_count - self.from_step
        if self.steps is not None:
            return self.steps - done
        assert self.seconds is not None, "a plan has steps or seconds"
        spent = session.elapsed_s - self.from_s
        return round(done * (self.seconds - spent) / spent)


def run_to_end(session: Session, plan: Plan, growing: Growing | None = None) -> Iterator[StepEvent]:
    """Step until the plan's end, an alert, or when it is time to grow; anneal over the second half."""
    while (done := plan.share_done(session)) < 1.0:
        if session.annealing is None and done >= 1.0 - ANNEAL_SHARE and done > 0.0:
            session.apply(Anneal(steps=max(1, plan.steps_left(session))), source="cli")
        event = session.step()
        yield event
        if session.interruption is not None or (growing is not None and growing.note(session, event)):
            return


def train(
    run: GoOnWith = None,
    corpus: TextPath = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Train for so long (default: 1).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for so many steps instead.")] = None,
    size: Annotated[str | None, typer.Option(help="tiny, small or base (default: small).")] = None,
    settings: Settings = None,
    on_alert: Annotated[
        AlertAction | None, typer.Option(help="What an alert leads to; a run remembers it (first: notify).")
    ] = None,
    sample_every: SampleEvery = None,
    sample_prompt: Annotated[str, typer.Option(help="What these samples go on from.")] = "",
    grow: Grow = False,
    improve_thresh: ImproveThresh = None,
    most_memory_mb: MostMemoryMb = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Key of every random draw (default: 0).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads (default: cores - 1).")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train a model and measure it on the held-out tenth of the text.

    The learning rate falls over the second half. Ctrl-C ends early, keeps what was learned, measures it, and
    exits with code 130. --run goes on with a run that was ended, killed or branched off, with the settings it
    has. A run whose rate has fallen learns little more: `fork` it with --set learning_rate=… first.

    With --grow it goes on as a branch with a layer more, then twice the width, then twice the window, and
    again, each time that held-out text hardly improves before the rate falls; each says what that changed.

    Examples:
      python -m bitlm train --corpus book.txt --minutes 5

      python -m bitlm train --corpus book.txt --steps 2000 --size tiny --json

      python -m bitlm train --set mixing=none --set batch_size=8

      python -m bitlm train --corpus book.txt --size tiny --minutes 20 --grow

      python -m bitlm train --run latest --minutes 5 --sample-every 500 --sample-prompt "The "
    """
    if minutes is not None and steps is not None:
        raise typer.BadParameter("give --minutes or --steps, not both.")
    seconds = None if steps is not None else 60.0 * (minutes if minutes is not None else DEFAULT_MINUTES)
    store, console = RunStore(data_dir), Console(stderr=as_json, quiet=as_json)
    given = {"corpus": corpus, "size": size, "set": settings, "seed": seed, "threads": threads}
    schedule = asked_schedule(grow, improve_thresh, most_memory_mb)
    session = (
        _made(store, given, console, grow=grow) if run is None else _taken_up(store, run, given, grow=grow)
    )
    _tell(session, on_alert, sample_every, sample_prompt)
    plan = Plan(steps, seconds, session.step_count, session.elapsed_s)
    started = time.monotonic()
    session, was_stopped = _train_to_end(session, plan, console, schedule)
    session.save()
    result = _measure(session)
    session.close()
    store.close()
    _tell_result(console, result, time.monotonic() - started, as_json=as_json)
    if was_stopped:
        raise typer.Exit(INTERRUPTED)


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


def _made(store: RunStore, given: dict[str, Any], console: Console, *, grow: bool) -> Session:
    """Make a run with the settings given, and say what is remarkable about its text."""
    model, training = preset(given["size"] or DEFAULT_SIZE, **parsed(given["set"]))
    if grow:
        require_growable(training)
    session = Session.create(
        store, model=model, training=training, corpus=Corpus.load(given["corpus"] or EMBEDDED),
        seed=given["seed"] or 0, threads=given["threads"] or default_threads(), source="cli",
    )  # fmt: skip
    if session.corpus.not_utf8:
        console.print(f"{percent(session.corpus.not_utf8)} of this text is no UTF-8: it is taken as bytes.")
    return session


def _taken_up(store: RunStore, run: str, given: dict[str, Any], *, grow: bool) -> Session:
    """Open a run that is to go on with the settings it has.

    Raises:
        ConfigError: Others are given, the run is in the trash, or it is to grow and cannot.
    """
    _refuse_settings(run, given)
    run_id = resolved(store, run)
    record = store.run(run_id)
    if grow:
        require_growable(record.config.training)
    if record.trashed_at is not None:
        raise ConfigError("--run", run_id, f"it is in the trash; `runs restore {run_id}` takes it back.")
    return Session.open(store, run_id)


def _tell_result(console: Console, result: dict[str, object], seconds: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _print_result(console, result, seconds)


def _tell(
    session: Session, on_alert: AlertAction | None, sample_every: int | None, sample_prompt: str
) -> None:
    """Give the run what was asked for beside training, where that is not so already."""
    if on_alert is not None and on_alert != session.alert_action:
        session.apply(SetAlertAction(action=on_alert), source="cli")
    if sample_every is None:
        return
    schedule = SampleSchedule(every=sample_every, prompt=sample_prompt) if sample_every else None
    if schedule != session.sample_schedule:
        session.apply(ScheduleSamples(schedule=schedule), source="cli")


def _train_to_end(
    session: Session, plan: Plan, console: Console, schedule: GrowthSchedule | None = None
) -> tuple[Session, bool]:
    """Train, in a branch where an alert led to a rollback, and in one where the model grew.

    Returns:
        The session, and whether Ctrl-C ended it.

    Raises:
        HaltedError: The run stopped itself, and its alerts lead to no rollback.
    """
    while True:
        halted, was_stopped = None, False
        growing = Growing.of(session, schedule) if schedule is not None else None
        try:
            was_stopped = _train_with_progress(session, plan, console, growing)
        except HaltedError as error:
            halted = error
        interruption = session.interruption
        if interruption is not None:
            console.print(f"{interruption.reason}: {interruption.action}.", highlight=False)
        if interruption is None or interruption.action == "pause":
            if halted is not None:
                raise halted
            if growing is None or growing.growth is None:
                return session, was_stopped
            session, receipt = grown(session, growing.growth)
            console.print(f"{reason(growing.growth)}: {receipt_line(receipt)}", highlight=False)
            continue
        session.save()
        session.close()
        branch = roll_back(session.store, session.run_id, since=interruption.since, source="session")
        session = Session.open(session.store, branch)


def _train_with_progress(
    session: Session, plan: Plan, console: Console, growing: Growing | None = None
) -> bool:
    """Train to the end of the plan or until it is time to grow; return whether Ctrl-C ended it before."""
    session.record("training_started", {}, source="cli")
    with noted_ctrl_c() as ctrl_c:
        events = ctrl_c.until_pressed(run_to_end(session, plan, growing))
        show = _with_bar if console.is_terminal else _with_lines
        show(session, plan, console, events)
    if ctrl_c.was_pressed:
        console.print("stopped early; what was learned is kept.")
    if session.interruption is not None:
        session.record("training_paused", {"reason": session.interruption.reason})
    elif growing is not None and growing.growth is not None:
        session.record("training_paused", {"reason": reason(growing.growth)})
    else:
        session.record("training_stopped", {}, source="cli")
    return ctrl_c.was_pressed


def _with_bar(session: Session, plan: Plan, console: Console, events: Iterable[StepEvent]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(f"run {session.run_id}", total=1.0)
        validation = None
        for event in events:
            validation = event.validation_bits_per_byte or validation
            line = _progress_line(event, validation)
            progress.update(task, completed=plan.share_done(session), description=line)


def _with_lines(
    session: Session,
    plan: Plan,
    console: Console,
    events: Iterable[StepEvent],
    *,
    interval_s: float = LINE_INTERVAL_S,
) -> None:
    """Print a line for the first step, one every so many seconds of training, and one for the last."""
    console.print(f"run {session.run_id}", highlight=False)
    validation, line, said, due_s = None, "", "", 0.0
    for event in events:
        validation = event.validation_bits_per_byte or validation
        line = f"{plan.share_done(session):4.0%}  {_progress_line(event, validation)}"
        if event.elapsed_s >= due_s:
            console.print(line, highlight=False, soft_wrap=True)
            said, due_s = line, event.elapsed_s + interval_s
    if line != said:
        console.print(line, highlight=False, soft_wrap=True)


def _progress_line(event: StepEvent, validation: float | None) -> str:
    held_out = f"{validation:.3f}" if validation is not None else "  …  "
    speed = event.bytes_per_s / 1000
    return f"step {event.step}  train {event.bits_per_byte:.3f}  held out {held_out} bpb  {speed:.1f} kB/s"


def _measure(session: Session) -> dict[str, Any]:
    reference = session.model.reference
    assert reference is not None, "a session's model always carries its reference"
    compared = session.store.baselines(session.corpus.fingerprint)
    if compared is None:
        compared = baselines(session.corpus, reference)
        session.store.set_baselines(session.corpus.fingerprint, compared)
    quality = quality_of(session.model, session.telemetry.causal_share, session.corpus.held_out)
    session.record("evaluated", {name: one for name, one in quality.items() if one is not None}, source="cli")
    return {
        "run_id": session.run_id,
        "steps": session.step_count,
        "bytes_seen": session.bytes_seen,
        **quality,
        "baselines": compared,
        "milestones": [one.model_dump() for one in milestones(session.store, session.run_id)],
        "best_step": _best_step(session),
    }


def _best_step(session: Session) -> int | None:
    """Return the step at which the estimate on held-out text was clearly lower than it is now, or None."""
    estimates = session.store.values(session.run_id, "validation_bits_per_byte")
    if not estimates:
        return None
    step, best = min(estimates, key=lambda one: one[1])
    return step if best < estimates[-1][1] - CLEARLY else None


def _print_result(console: Console, result: dict[str, Any], seconds: float) -> None:
    reached = [] if result["bits_per_byte"] is None else [("BitLM", result["bits_per_byte"])]
    rows = sorted([*result["baselines"].items(), *reached], key=lambda row: -row[1])
    table = Table(title="bits per byte of the held-out tenth, given the rest (lower is better)")
    table.add_column("compressor or model")
    table.add_column("bpb", justify="right")
    for name, value in rows:
        style = "bold green" if name == "BitLM" else ""
        table.add_row(name, f"{value:.3f}", style=style)
    console.print(table)
    if result["bound"] is not None:
        console.print(bound_line(result["bound"]), highlight=False)
    if result["milestones"]:
        console.print(_passed_line(result["milestones"]), highlight=False)
    if result["best_step"] is not None:
        console.print(
            f"held-out text was best at step {result['best_step']}; since then the run learns its text by "
            "heart: train for less time, on more text, or with --set dropout=0.4",
            highlight=False,
        )
    console.print(
        f"run {result['run_id']}: {result['steps']} steps, {result['bytes_seen']} bytes, {seconds:.0f} s"
    )
    command = "denoise" if result["bits_per_byte"] is None else "generate"
    console.print(
        f'next: python -m bitlm {command} --run {result["run_id"]} --prompt "The "', highlight=False
    )


def _passed_line(found: list[dict[str, Any]]) -> str:
    told = ", ".join(f"{one['name']} at {duration(one['elapsed_s'])}" for one in found)
    return f"passed on the way, by its estimate: {told}"
