from pathlib import Path

import pytest

from benchmarks.crash import crash

KILLS = 6


@pytest.mark.timeout(900)
def test_nothing_that_was_acknowledged_is_lost_when_the_service_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    """The same trial as `python -m benchmarks.crash`, which kills two hundred times."""
    report = crash(tmp_path, kills=KILLS, seed=1)
    assert report.broken == []
    assert report.kills == KILLS
    assert report.acknowledged > 0  # how many, a slow machine decides
    assert report.lost == report.corrupt_stores == report.damaged_checkpoints == 0
    assert report.checkpoints_equal == report.checkpoints_compared > 0
    assert report.bit_equal
