"""Is anything acknowledged lost when the service is killed? Prints a table, writes it to benchmarks/results/.

Starts the real server, trains, gives it commands from two sides, and kills its whole process group: while the
run is made, at random moments of training, when a checkpoint is being written, while it starts again. After
each death the same data folder is taken up and held against what had been acknowledged. In the end the run is
replayed, and done once more in one process without any interruption: both must have the same bits.
`python -m benchmarks.crash`
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from benchmarks.judge import Judge, Report
from benchmarks.record import RESULTS, keep
from benchmarks.victim import Askers, Service
from bitlm.data import Corpus
from bitlm.history.replay import Replay
from bitlm.history.walk import journal_of
from bitlm.session import Anneal, Event, RunStore, Session, SetTelemetry
from bitlm.session.durability import ASIDE, unobserved

TINY = {
    "d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 256, "batch_size": 2,
}  # fmt: skip
CHECKPOINT_INTERVALS = (5, 20)
"""Fewest and most steps between two checkpoints; the seed decides."""

TEXT_BYTES = 20_000
MAKING, TRAINING, SAVING, STARTING = "making the run", "training", "saving a checkpoint", "starting again"
SHARE_OF_MAKING = 0.05
SHARE_OF_SAVING = 0.35
SHARE_OF_STARTING = 0.15
LONGEST_LIFE_S = 2.5
LONGEST_WRITE_S = 0.003
"""About how long the files of a checkpoint of this size take to get to the disk."""


class Trial:
    """A service that is killed again and again, and what it left.

    Attributes:
        report: What came of it so far.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.report = Report()
        self._random = Random(seed)  # noqa: S311 - moments, no secrets
        self._folder = folder
        self._service = Service(folder / "data")
        text = Corpus.embedded().data[:TEXT_BYTES].decode()
        interval = self._random.randint(*CHECKPOINT_INTERVALS)
        self._init = {**TINY, "text": text, "seed": seed, "checkpoint_interval": interval}
        self._askers = Askers(self._service, self._random, text)
        self._judge = Judge(self._service.data_dir, self.report)
        self._left: set[Path] = set()

    def run(self, kills: int, progress: Callable[[int, int], None]) -> None:
        """Kill it so many times, then let it end."""
        try:
            self._make_the_run(max(1, round(kills * SHARE_OF_MAKING)))
            while self.report.kills < kills:
                is_aimed = self._random.random() < SHARE_OF_SAVING
                self._kill_at_work(SAVING if is_aimed else TRAINING)
                self._service.start()
                while self.report.kills < kills and self._random.random() < SHARE_OF_STARTING:
                    time.sleep(self._random.uniform(0.5, 1.05) * median(self._service.ready_after_s))
                    self._kill(STARTING)
                    self._service.start()
                self._judge.look(self._service.wait_until_ready(), self._askers.asked)
                progress(self.report.kills, kills)
            self._end()
        finally:
            self._service.kill()

    def _kill(self, moment: str) -> None:
        self._service.kill()
        self.report.kills += 1
        self.report.moments[moment] = self.report.moments.get(moment, 0) + 1
        self.report.in_a_checkpoint += self._is_writing()
        self._left |= self._aside()

    def _is_writing(self) -> bool:
        """Whether files of a checkpoint lie aside that no earlier death left there."""
        return not self._aside() <= self._left

    def _aside(self) -> set[Path]:
        return set(self._service.data_dir.glob(f"runs/*/checkpoints/{ASIDE}*"))

    def _make_the_run(self, kills: int) -> None:
        """Ask for the run until that is acknowledged; the service dies so many times on the way."""
        self._service.start()
        self._service.wait_until_ready()
        for _ in range(kills):
            asker = Thread(target=self._ask_for_the_run)
            asker.start()
            time.sleep(self._random.uniform(0.0, 0.8))
            self._kill(MAKING)
            asker.join()
            self._service.start()
            self._service.wait_until_ready()
        self._askers.run_id = self._service.call("/init", self._init, key="the run")["run_id"]
        runs = [run["run_id"] for run in self._service.call("/runs")["runs"]]
        self.report.expect(runs == [self._askers.run_id], f"one run was asked for, there are {runs}")
        self._judge.look(self._service.call("/status"), [])

    def _ask_for_the_run(self) -> None:
        try:
            self._service.call("/init", self._init, key="the run")
        except (OSError, HTTPException, ValueError):
            return  # it died

    def _kill_at_work(self, moment: str) -> None:
        self._askers.begin()
        life_s = self._random.uniform(0.1, LONGEST_LIFE_S)
        dies_at = time.monotonic() + life_s
        if moment == SAVING:
            time.sleep(life_s / 2)
            while not self._is_writing() and time.monotonic() < dies_at:
                time.sleep(0.0002)
            time.sleep(self._random.uniform(0.0, LONGEST_WRITE_S))
        else:
            time.sleep(life_s)
        self._kill(moment)
        self._askers.join()

    def _end(self) -> None:
        """Let the service end by itself, after a last checkpoint."""
        self._service.call("/train/pause", {})
        self._service.call(f"/runs/{self._askers.run_id}/checkpoints", {"name": "the end"})
        code = self._service.stop()
        self.report.expect(code == 0, f"it ended with exit code {code}")
        self.report.expect(not self._askers.refused, f"refused: {self._askers.refused}")
        answered = [one.answered_at is not None for one in self._askers.asked]
        self.report.acknowledged, self.report.in_doubt = sum(answered), len(answered) - sum(answered)
        self.report.median_resume_s = median(self._service.ready_after_s[1:])

    def compare(self) -> None:
        """Hold the run against its replay, and against the same without any interruption."""
        report, run_id = self.report, self._askers.run_id
        store = RunStore(self._service.data_dir)
        events = store.all_events(run_id)
        report.steps = store.last_known_step(run_id)
        report.recomputed = sum(e.payload["recomputed"] for e in events if e.kind == "run_resumed")
        compared = Replay(store, run_id).all().comparisons
        report.checkpoints_compared = len(compared)
        report.checkpoints_equal = sum(one.same for one in compared)
        report.expect(all(one.same for one in compared), "the replay found other bits")
        report.expect(len(compared) == sum(e.kind == "checkpoint_saved" for e in events), "not all replayed")

        whole = uninterrupted(store, run_id, RunStore(self._folder / "uninterrupted"))
        last = [event for event in events if event.kind == "checkpoint_saved"][-1]
        again = whole.checkpoint()
        hashes = ("weights_sha256", "optimizer_sha256")
        report.bit_equal = all(last.payload[name] == again.payload[name] for name in hashes)
        report.expect(report.bit_equal, f"{again} without interruption, {last} with them")
        ours, theirs = store.metrics(run_id), whole.store.metrics(whole.run_id)
        report.expect(ours["step"] == list(range(1, report.steps + 1)), "steps are missing, or there twice")
        report.expect(ours["loss"] == theirs["loss"], "losses differ")
        report.expect(commands(events) == commands(whole.store.all_events(whole.run_id)), "journals differ")
        whole.store.close()
        store.close()


def uninterrupted(store: RunStore, run_id: str, fresh: RunStore) -> Session:
    """Return the same run in a fresh store, given the same commands at the same steps in one go."""
    config = store.run(run_id).config
    session = Session.create(
        fresh,
        model=config.model,
        training=config.training,
        corpus=Corpus(config.corpus, store.data(config.corpus_fingerprint)),
        seed=config.seed,
        threads=config.threads,
    )
    for entry in journal_of(store.all_events(run_id)):
        while session.step_count < entry.step:
            session.step()
        _give(session, entry, store)
    while session.step_count < store.last_known_step(run_id):
        session.step()
    session.settle()
    return session


def _give(session: Session, entry: Event, store: RunStore) -> None:
    payload = entry.payload
    if entry.kind == "telemetry_changed":
        asked = {change["field"]: change["new"] for change in payload["changes"]}
        session.apply(SetTelemetry(**asked), source=entry.source)
    elif entry.kind == "anneal_started":
        session.apply(Anneal(steps=payload["steps"]), source=entry.source)
    elif entry.kind == "steps_requested":
        session.request_steps(payload["steps"], bytes(store.data(payload["sha256"])), source=entry.source)
    else:
        session.end_request(payload["reason"])


def commands(events: list[Event]) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the journal without the ids of requests and events."""
    keys = {"idempotency_key", "request_sha256"}
    return [
        (entry.step, entry.kind, {k: v for k, v in entry.payload.items() if k not in keys})
        for entry in journal_of(events)
    ]


def crash(
    folder: Path, *, kills: int, seed: int = 0, progress: Callable[[int, int], None] = unobserved
) -> Report:
    """Kill a service so many times, with its data in `folder`, and report what became of its promises."""
    trial = Trial(folder, seed)
    trial.run(kills, progress)
    trial.compare()
    return trial.report


def table(report: Report) -> list[tuple[str, object]]:
    """Return what is printed."""
    return [
        ("kills", report.kills),
        *((f"  while {moment}", count) for moment, count in sorted(report.moments.items())),
        ("deaths inside a checkpoint's write", report.in_a_checkpoint),
        ("requests acknowledged", report.acknowledged),
        ("  in doubt: cut off", report.in_doubt),
        ("  acknowledged and lost", report.lost),
        ("corrupt stores", report.corrupt_stores),
        ("damaged checkpoints", report.damaged_checkpoints),
        ("steps of the run", report.steps),
        ("  computed again after a death", report.recomputed),
        ("checkpoints replayed", report.checkpoints_compared),
        ("  with the same bits", report.checkpoints_equal),
        ("final state as without interruption", "bit-equal" if report.bit_equal else "DIFFERENT"),
        ("median resume, seconds", f"{report.median_resume_s:.2f}"),
    ]


def main() -> None:
    """Kill, judge, print, write; the exit code says whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    began = time.monotonic()
    with TemporaryDirectory() as folder:
        report = crash(Path(folder), kills=options.kills, seed=options.seed, progress=_tell)
    for what, value in table(report):
        print(f"{what:38}{value:>12}")
    for promise in report.broken:
        print(f"BROKEN {promise}")
    _write(options, report, time.monotonic() - began)
    sys.exit(1 if report.broken else 0)


def _tell(done: int, kills: int) -> None:
    sys.stderr.write(f"\r{done} of {kills} kills" + ("\n" if done == kills else ""))


def _write(options: argparse.Namespace, report: Report, seconds: float) -> None:
    keep(
        options.output,
        "crash",
        by=__file__,
        settings={"kills": options.kills, "seed": options.seed, **TINY},
        seconds=round(seconds, 1),
        report=asdict(report),
    )


if __name__ == "__main__":
    main()
