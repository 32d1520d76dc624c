"""Two runs at the same steps: where they part, and by how much."""

from bitlm.session.database import Database

JOINED = (
    "FROM metrics AS ours JOIN metrics AS theirs ON ours.step = theirs.step "
    "WHERE ours.run_id = ? AND theirs.run_id = ?"
)


class MetricPairs:
    """What the metrics of two runs say together; every difference is ours minus theirs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def first_difference(self, run_id: str, other_id: str) -> tuple[int | None, int]:
        """Return the first step whose loss is not the same in both, and how many steps both did."""
        query = f"SELECT min(CASE WHEN ours.loss <> theirs.loss THEN ours.step END), count(*) {JOINED}"
        with self._database.reading() as reader:
            step, shared = reader.execute(query, (run_id, other_id)).fetchone()
        return step, shared

    def mean_difference(self, run_id: str, other_id: str, *, since: int) -> float | None:
        """Return the mean difference of bits_per_byte from step `since` on; None if there is no such step."""
        query = f"SELECT avg(ours.bits_per_byte - theirs.bits_per_byte) {JOINED} AND ours.step >= ?"
        with self._database.reading() as reader:
            mean: float | None = reader.execute(query, (run_id, other_id, since)).fetchone()[0]
        return mean

    def training(self, run_id: str, other_id: str, *, width: int) -> dict[str, list[int | float]]:
        """Return the differences of bits_per_byte in stretches of `width` steps.

        `step` is the last of a stretch that both did; `mean`, `low` and `high` are of its differences.
        """
        difference = (
            f"SELECT ours.step AS step, ours.bits_per_byte - theirs.bits_per_byte AS difference {JOINED}"
        )
        query = (
            "SELECT max(step) AS step, avg(difference) AS mean, min(difference) AS low, "  # noqa: S608 # the same
            f"max(difference) AS high FROM ({difference}) GROUP BY (step - 1) / ? ORDER BY 1"
        )
        with self._database.reading() as reader:
            rows = reader.execute(query, (run_id, other_id, width)).fetchall()
        return {name: [row[name] for row in rows] for name in ("step", "mean", "low", "high")}

    def validation(self, run_id: str, other_id: str) -> dict[str, list[int | float]]:
        """Return the differences of validation_bits_per_byte, at the steps at which both runs have it."""
        value = "ours.validation_bits_per_byte - theirs.validation_bits_per_byte"
        query = f"SELECT ours.step AS step, {value} AS difference {JOINED} AND {value} IS NOT NULL ORDER BY 1"
        with self._database.reading() as reader:
            rows = reader.execute(query, (run_id, other_id)).fetchall()
        return {name: [row[name] for row in rows] for name in ("step", "difference")}
