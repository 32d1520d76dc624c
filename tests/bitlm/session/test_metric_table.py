import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlm.errors import StorageFullError
from bitlm.session import StepEvent
from bitlm.session.database import FILE_NAME, Database
from bitlm.session.events import METRIC_COLUMNS
from bitlm.session.metric_table import BY_PART, MetricTable
from bitlm.session.schema import MIGRATIONS
from bitlm.session.thinning import SPARSE, WIDTHS

LONGEST = 6000
"""Highest step of a made-up run: enough for four sizes of bucket."""

Columns = dict[str, list[Any]]


class Filled:
    """A table of its own and what was put into it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder)
        self.table = MetricTable(self.database)

    def add(self, run_id: str, events: Sequence[StepEvent], chunk: int | None = None) -> None:
        """Add rows, `chunk` of them in a transaction."""
        at_once = chunk or max(1, len(events))
        for begin in range(0, len(events), at_once):
            for event in events[begin : begin + at_once]:
                self.table.add(run_id, event)
            with self.database.writing() as writer:
                rows = self.table.write_waiting(writer)
            self.table.forget(rows)

    def drop_after(self, run_id: str, step: int) -> None:
        with self.database.writing() as writer:
            self.table.drop_after(writer, run_id, step)

    def copy(self, source: str, target: str, *, until: int) -> None:
        with self.database.writing() as writer:
            self.table.copy(writer, source, target, until=until)


@contextmanager
def filled(events: Sequence[StepEvent] = (), chunk: int | None = None) -> Iterator[Filled]:
    """A table with those rows for "run"."""
    with TemporaryDirectory() as folder:
        made = Filled(Path(folder))
        made.add("run", events, chunk)
        yield made
        made.database.close()


@st.composite
def histories(draw: st.DrawFn, most: int = 400) -> list[StepEvent]:
    """Rows of some steps, in order, with gaps between; bits_per_byte is often the same twice."""
    count, span = draw(st.integers(1, most)), draw(st.sampled_from((most, 4 * most, LONGEST)))
    noise = Random(draw(st.integers(0, 2**32)))  # noqa: S311 - noise
    validated, probed = draw(st.sampled_from((1, 7, 50, 1000))), draw(st.sampled_from((1, 7, 50, 1000)))
    values = draw(st.sampled_from((3, 40, 10**6)))
    return [
        StepEvent(
            step=step, at=1000.0 + step, elapsed_s=step / 10, bytes_seen=64 * step, loss=0.5,
            bits_per_byte=float(noise.randrange(values)),
            validation_bits_per_byte=float(noise.randrange(values)) if step % validated == 0 else None,
            C=noise.random() if step % probed == 0 else None,
            S=float(noise.randrange(values)) if step % probed == 0 else None,
            **(looked(noise) if step % (2 * probed) == 0 else {}),
            K=0.2, gradient_norm=1.0, learning_rate=1e-3, bytes_per_s=640.0,
        )
        for step in sorted(noise.sample(range(1, span + 1), count))
    ]  # fmt: skip


def looked(noise: Random) -> dict[str, Any]:
    layers = (noise.random(), noise.random())
    heads = tuple((layer, layer) for layer in layers)
    return {
        "attention_entropy": sum(layers) / 2,
        "attention_entropy_layers": layers,
        "attention_entropy_heads": heads,
    }


def measured(step: int, value: float = 5.0) -> StepEvent:
    return StepEvent(
        step=step, at=1000.0 + step, elapsed_s=step / 10, bytes_seen=64 * step, loss=0.5, bits_per_byte=value,
        K=0.2, gradient_norm=1.0, learning_rate=1e-3, bytes_per_s=640.0,
    )  # fmt: skip


sinces = st.integers(-1, LONGEST + 1)
limits = st.integers(2, 300)


def columns_of(events: Sequence[StepEvent]) -> Columns:
    columns: Columns = {name: [getattr(event, name) for event in events] for name in METRIC_COLUMNS}
    return columns | {name: json.loads(json.dumps(columns[name])) for name in BY_PART}


# The reference: the same choice, made from the rows alone


def expected(events: Sequence[StepEvent], since: int, max_points: int) -> Columns:
    """What `rows` answers, worked out in plain Python from all the rows."""
    after = [event for event in events if event.step > since]
    if len(after) <= max_points:
        return columns_of(after)
    steps = {after[0].step, after[-1].step}
    share = (max_points - 2) // (2 * len(SPARSE))
    for measure in SPARSE:
        having = [event for event in after if getattr(event, measure) is not None]
        if len(having) > share > 0:
            steps |= {having[-1].step, *expected_extremes(events, after, measure, (share - 1) // 2)}
        elif len(having) <= share:
            steps |= {event.step for event in having}
    steps |= expected_extremes(events, after, "bits_per_byte", (max_points - len(steps)) // 2)
    return columns_of([event for event in after if event.step in steps])


def expected_extremes(
    events: Sequence[StepEvent], after: Sequence[StepEvent], measure: str, stretches: int
) -> set[int]:
    """The extremes of each stretch among those of the buckets, of which the first are finer."""
    if stretches < 1:
        return set()
    first, last = after[0].step, after[-1].step
    length = -(-(last + 1 - first) // stretches)
    points = [(event.step, getattr(event, measure)) for event in events if event.step >= first]
    points = [(step, value) for step, value in points if value is not None]
    widths = [1, *(width for width in WIDTHS if width <= length)]
    starts = [first]
    for width in widths[1:]:
        starts.append(-(-starts[-1] // width) * width)
    found: set[int] = set()
    for sign in (1, -1):
        of_buckets = [
            extreme
            for width, (start, end) in zip(widths, pairwise([*starts, last + 1]), strict=True)
            for extreme in least([point for point in points if start <= point[0] < end], 0, width, sign)
        ]
        found |= {step for step, _ in least(of_buckets, first, length, sign)}
    return found


def least(points: list[tuple[int, float]], origin: int, width: int, sign: int) -> list[tuple[int, float]]:
    """The first of the least points (the greatest, when `sign` is -1) of each `width` steps from `origin`."""
    places = groupby(points, key=lambda point: (point[0] - origin) // width)
    return [min(group, key=lambda point: (sign * point[1], point[0])) for _, group in places]


# What is chosen


@given(events=histories(), since=sinces, max_points=limits)
def test_the_rows_chosen_are_those_that_a_plain_reference_chooses(
    events: list[StepEvent], since: int, max_points: int
) -> None:
    with filled(events) as made:
        answer = made.table.rows("run", since=since, max_points=max_points)
        assert answer == made.table.rows("run", since=since, max_points=max_points)
    assert answer == expected(events, since, max_points)


@given(events=histories(), since=sinces, max_points=limits)
def test_an_answer_is_short_and_holds_the_ends_and_the_extremes(
    events: list[StepEvent], since: int, max_points: int
) -> None:
    with filled(events) as made:
        answer = made.table.rows("run", since=since, max_points=max_points)
    after = [event for event in events if event.step > since]
    assert len(answer["step"]) <= max_points
    assert answer["step"] == sorted(set(answer["step"]))
    if after:
        assert (answer["step"][0], answer["step"][-1]) == (after[0].step, after[-1].step)
        if max_points >= 4:
            values = [event.bits_per_byte for event in after]
            assert min(answer["bits_per_byte"]) == min(values)
            assert max(answer["bits_per_byte"]) == max(values)


@given(events=histories(), since=sinces, max_points=st.integers(26, 300))
def test_few_rare_values_are_all_there_and_of_many_the_extremes_and_the_newest(
    events: list[StepEvent], since: int, max_points: int
) -> None:
    with filled(events) as made:
        answer = made.table.rows("run", since=since, max_points=max_points)
    share = (max_points - 2) // (2 * len(SPARSE))
    for name in SPARSE:
        kept = [value for value in answer[name] if value is not None]
        values = [getattr(event, name) for event in events if event.step > since]
        there = [value for value in values if value is not None]
        if len(there) <= share:
            assert kept == there
        else:
            assert (min(kept), max(kept), kept[-1]) == (min(there), max(there), there[-1])


def test_no_more_rows_than_asked_for_are_all_answered_however_far_apart() -> None:
    events = [measured(step) for step in (3, 500_000, 1_000_000)]
    with filled(events) as made:
        assert made.table.rows("run", max_points=3) == columns_of(events)
        assert made.table.rows("run", since=3, max_points=2) == columns_of(events[1:])
        assert made.table.rows("run", max_points=2)["step"] == [3, 1_000_000]
        assert made.table.rows("run", since=1_000_000, max_points=2)["step"] == []


# However the rows came to be there


@settings(max_examples=30)
@given(events=histories(most=60), chunk=st.integers(1, 20), since=sinces, max_points=limits)
def test_rows_that_came_by_and_by_answer_as_rows_that_came_at_once(
    events: list[StepEvent], chunk: int, since: int, max_points: int
) -> None:
    with filled(events) as at_once, filled(events, chunk) as by_and_by:
        assert by_and_by.table.rows("run", since=since, max_points=max_points) == at_once.table.rows(
            "run", since=since, max_points=max_points
        )


@given(events=histories(), cut=sinces, since=sinces, max_points=limits)
def test_what_is_left_after_dropping_and_what_is_copied_answer_as_if_there_had_never_been_more(
    events: list[StepEvent], cut: int, since: int, max_points: int
) -> None:
    kept = [event for event in events if event.step <= cut]
    with filled(events) as made:
        made.copy("run", "twin", until=cut)
        made.drop_after("run", cut)
        for run_id in ("run", "twin"):
            answer = made.table.rows(run_id, since=since, max_points=max_points)
            assert answer == expected(kept, since, max_points)


@given(events=histories(), other=histories(), cut=sinces, max_points=limits)
def test_a_run_that_goes_on_otherwise_after_dropping_answers_as_that_run(
    events: list[StepEvent], other: list[StepEvent], cut: int, max_points: int
) -> None:
    course = [event for event in events if event.step <= cut] + [event for event in other if event.step > cut]
    with filled(events) as made:
        made.drop_after("run", cut)
        made.add("run", course[sum(event.step <= cut for event in events) :])
        assert made.table.rows("run", max_points=max_points) == expected(course, -1, max_points)


@given(events=histories(), replaced=histories(), max_points=limits)
def test_a_row_written_again_counts_as_it_was_written_last(
    events: list[StepEvent], replaced: list[StepEvent], max_points: int
) -> None:
    course = {event.step: event for event in [*events, *replaced]}
    with filled(events) as made:
        made.add("run", replaced)
        answer = made.table.rows("run", max_points=max_points)
    assert answer == expected([course[step] for step in sorted(course)], -1, max_points)


FIRST_COLUMNS = (
    "step", "at", "elapsed_s", "bytes_seen", "loss", "bits_per_byte", "validation_bits_per_byte", "K", "C",
    "S", "gradient_norm", "learning_rate", "bytes_per_s",
)  # fmt: skip


def write_old(folder: Path, layout: int, events: Sequence[StepEvent]) -> None:
    """Leave a database in the folder as a version with that layout would have."""
    old = sqlite3.connect(folder / FILE_NAME)
    MIGRATIONS[0](old, folder)
    marks = ", ".join("?" * len(FIRST_COLUMNS))
    rows = [("run", *(getattr(event, name) for name in FIRST_COLUMNS)) for event in events]
    old.executemany(f"INSERT INTO metrics (run_id, {', '.join(FIRST_COLUMNS)}) VALUES (?, {marks})", rows)  # noqa: S608
    for migrate in MIGRATIONS[1:layout]:
        migrate(old, folder)
    old.execute(f"PRAGMA user_version={layout}")
    old.commit()
    old.close()


@settings(max_examples=30)
@given(layout=st.integers(1, len(MIGRATIONS) - 1), events=histories(), since=sinces, max_points=limits)
def test_a_store_of_an_older_layout_answers_as_a_new_one_and_has_none_of_what_came_later(
    layout: int, events: list[StepEvent], since: int, max_points: int
) -> None:
    with TemporaryDirectory() as folder:
        write_old(Path(folder), layout, events)
        database = Database(Path(folder))
        table = MetricTable(database)
        everything, answer = table.rows("run"), table.rows("run", since=since, max_points=max_points)
        database.close()
    then = [StepEvent(**{name: getattr(event, name) for name in FIRST_COLUMNS}) for event in events]
    assert everything == columns_of(then)
    assert answer == expected(then, since, max_points)


def test_runs_do_not_mix_and_a_deleted_one_leaves_nothing() -> None:
    one, other = (
        [measured(step, 1.0) for step in range(1, 100)],
        [measured(step, 9.0) for step in range(1, 80)],
    )
    with filled(one) as made:
        made.add("other", other)
        assert made.table.rows("run", max_points=20) == expected(one, -1, 20)
        assert made.table.rows("other", max_points=20) == expected(other, -1, 20)
        with made.database.writing() as writer:
            made.table.delete(writer, "run")
            left = writer.execute("SELECT DISTINCT run_id FROM metric_extremes").fetchall()
        assert [row[0] for row in left] == ["other"]
        assert made.table.rows("run", max_points=20)["step"] == []
        assert made.table.rows("other", max_points=20) == expected(other, -1, 20)


# Rows that wait


def test_rows_that_two_threads_wrote_leave_those_that_came_since_waiting() -> None:
    with filled() as made:
        made.table.add("run", measured(1))
        with made.database.writing() as writer:
            one = made.table.write_waiting(writer)
        with made.database.writing() as writer:
            other = made.table.write_waiting(writer)
        made.table.forget(one)
        made.table.add("run", measured(2))
        made.table.forget(other)
        assert made.table.waits
        with made.database.writing() as writer:
            made.table.write_waiting(writer)
        assert made.table.rows("run")["step"] == [1, 2]


def test_rows_whose_transaction_was_undone_wait_for_the_next() -> None:
    with filled() as made:
        made.table.add("run", measured(1))
        with pytest.raises(StorageFullError):
            _write_and_undo(made)
        assert made.table.rows("run")["step"] == []
        with made.database.writing() as writer:
            made.table.forget(made.table.write_waiting(writer))
        assert made.table.rows("run")["step"] == [1]
        assert not made.table.waits


def _write_and_undo(made: Filled) -> None:
    with made.database.writing() as writer:
        made.table.write_waiting(writer)
        raise StorageFullError
