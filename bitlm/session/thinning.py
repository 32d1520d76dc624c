"""Choosing the rows a chart needs: extremes survive, and so do the rare rows.

Beside the rows lie the extremes of what charts draw, in buckets of 16, 64, 256, … steps. A bucket's extremes
are those of the finer buckets in it, so they are a function of the rows alone, however these came to be
there; and a chart of a million steps reads a few thousand of them in place of the million.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

DENSE = "bits_per_byte"
SPARSE = ("validation_bits_per_byte", "C", "S", "attention_entropy")
"""Columns that most rows leave empty, whose few values must not be thinned away first."""

PRESENT = {
    DENSE: f"{DENSE} IS NOT NULL",
    "validation_bits_per_byte": "validation_bits_per_byte IS NOT NULL",
    "C": "C IS NOT NULL",
    "S": "C IS NOT NULL AND S IS NOT NULL",  # S comes with C, and the index of both asks for C
    "attention_entropy": "attention_entropy IS NOT NULL",
}
"""Which rows have a value to thin, said as the indexes say it."""

WIDTHS = (16, 64, 256, 1024, 4096, 16_384)
"""Steps of a bucket, from fine to coarse; each a multiple of the one before."""

LAST_STEP = 2**62
"""Beyond every step."""

FORGET_BUCKETS = """
DELETE FROM metric_extremes WHERE run_id = :run_id AND measure = :measure AND width = :width
AND bucket >= :start / :width AND bucket < :end / :width
"""
# SQLite takes a column beside min() or max() from the row that has it, and of equals from the first.
ENTER_BUCKETS = """
INSERT INTO metric_extremes
SELECT :run_id, :measure, :width, low.place, low.step, low.value, high.step, high.value FROM
(SELECT {place} AS place, {min_step} AS step, min({min_value}) AS value {source} GROUP BY {place}) AS low JOIN
(SELECT {place} AS place, {max_step} AS step, max({max_value}) AS value {source} GROUP BY {place}) AS high
ON low.place = high.place
"""
OF_FINER_BUCKETS = ENTER_BUCKETS.format(
    place="bucket * :finer / :width",
    min_step="min_step",
    min_value="min_value",
    max_step="max_step",
    max_value="max_value",
    source="FROM metric_extremes WHERE run_id = :run_id AND measure = :measure AND width = :finer "
    "AND bucket >= :start / :finer AND bucket < :end / :finer",
)
OF_ROWS = {
    measure: ENTER_BUCKETS.format(
        place="step / :width",
        min_step="step",
        min_value=measure,
        max_step="step",
        max_value=measure,
        source=f"FROM metrics WHERE run_id = :run_id AND step >= :start AND step < :end AND {present}",
    )
    for measure, present in PRESENT.items()
}
READ_ROWS = (
    "SELECT step AS min_step, {measure} AS min_value, step AS max_step, {measure} AS max_value FROM metrics "
    "WHERE run_id = ? AND step >= ? AND step < ? AND {present}"
)
READ_BUCKETS = (
    "SELECT min_step, min_value, max_step, max_value FROM metric_extremes "
    "WHERE run_id = ? AND measure = ? AND width = ? AND bucket >= ? AND bucket < ?"
)


@dataclass(frozen=True)
class Part:
    """The steps of a run from `first` to `last`, which is its last."""

    run_id: str
    first: int
    last: int


def refresh_extremes(writer: sqlite3.Connection, run_id: str, first: int, last: int = LAST_STEP) -> None:
    """Compute again the buckets that hold the steps from `first` to `last`, after their rows have changed."""
    for measure in PRESENT:
        for finer, width in pairwise((1, *WIDTHS)):
            values = {"run_id": run_id, "measure": measure, "finer": finer, "width": width}
            bounds = {"start": first // width * width, "end": (last // width + 1) * width}
            writer.execute(FORGET_BUCKETS, values | bounds)
            writer.execute(OF_ROWS[measure] if finer == 1 else OF_FINER_BUCKETS, values | bounds)


def chosen_steps(reader: sqlite3.Connection, run_id: str, since: int, max_points: int) -> list[int]:
    """Return at most `max_points` of the steps after `since`, in order, when there are more than that.

    They are the first and the last step; the rows that have a value of a sparse column, or the extremes and
    the newest of these when they are too many for half of the answer; and with what is left the extremes of
    bits_per_byte, the overall ones if `max_points` is at least 4.
    """
    query = "SELECT step FROM metrics WHERE run_id = ? AND step > ? ORDER BY step {} LIMIT 1"
    ends = (reader.execute(query.format(order), (run_id, since)).fetchone()[0] for order in ("ASC", "DESC"))
    part = Part(run_id, *ends)
    chosen = {part.first, part.last}
    share = (max_points - 2) // (2 * len(SPARSE))
    for measure in SPARSE:
        chosen.update(_sparse_steps(reader, part, measure, share))
    chosen.update(_extreme_steps(reader, part, DENSE, (max_points - len(chosen)) // 2))
    return sorted(chosen)


def _sparse_steps(reader: sqlite3.Connection, part: Part, measure: str, share: int) -> list[int]:
    """Return the steps that have a value of `measure`, or at most `share` of them."""
    query = (
        f"SELECT step FROM metrics WHERE run_id = ? AND step >= ? AND {PRESENT[measure]} "  # noqa: S608 # our own words
        "ORDER BY step DESC LIMIT ?"
    )
    newest = _steps(reader, query, (part.run_id, part.first, share + 1))
    if len(newest) <= share:
        return newest
    extremes = _extreme_steps(reader, part, measure, (share - 1) // 2)
    return [max(newest), *extremes] if share else []


def _extreme_steps(reader: sqlite3.Connection, part: Part, measure: str, stretches: int) -> list[int]:
    """Return the steps of the least and the greatest value of each of at most `stretches` stretches."""
    if stretches < 1:
        return []
    length = -(-(part.last + 1 - part.first) // stretches)
    source, values = _extremes(part, measure, length)
    query = "SELECT {0}_step AS step, {0}({0}_value) FROM ({1}) GROUP BY ({0}_step - ?) / ?"
    values += [part.first, length]
    lows, highs = (_steps(reader, query.format(extreme, source), values) for extreme in ("min", "max"))
    return lows + highs


def _extremes(part: Part, measure: str, length: int) -> tuple[str, list[int | str]]:
    """Return a query for the extremes in buckets no longer than `length`, and its values.

    Single rows and then fine buckets lead up to the first whole coarse one.
    """
    widths = [width for width in WIDTHS if width <= length]
    starts = [part.first]
    for width in widths:
        starts.append(-(-starts[-1] // width) * width)
    parts = list(pairwise([*starts, LAST_STEP]))
    queries = [READ_ROWS.format(measure=measure, present=PRESENT[measure])]
    values: list[int | str] = [part.run_id, *parts[0]]
    for width, (start, end) in zip(widths, parts[1:], strict=True):
        queries.append(READ_BUCKETS)
        values += [part.run_id, measure, width, start // width, end // width]
    return " UNION ALL ".join(queries), values


def _steps(reader: sqlite3.Connection, query: str, values: Sequence[int | str]) -> list[int]:
    """Return the steps that a query finds.

    They arrive as one row: for every row the interpreter's lock is let go, and while a model is being
    trained it takes a while to get it back.
    """
    in_one = f"SELECT json_group_array(step) FROM ({query})"  # noqa: S608 # our own queries
    found: list[int] = json.loads(reader.execute(in_one, values).fetchone()[0])
    return found
