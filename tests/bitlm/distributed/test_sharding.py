"""A run whose weights, gradients and optimizer state are kept in shares, by four, two and one process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bitlm.distributed.sharding import owners_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> Any:
    folder = tmp_path_factory.mktemp("shares")
    subprocess.run(
        [sys.executable, Path(__file__).with_name("shares.py"), folder, corpus_file],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=560,
    )
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("processes", ["two", "four"])
def test_fifty_steps_in_shares_are_those_of_one_process_to_the_last_bit(found: Any, processes: str) -> None:
    assert len(found["one"]["figures"]["loss"]) == 50
    assert found[processes] == found["one"]


def test_a_run_of_which_a_process_was_killed_within_a_step_is_taken_up_in_shares(found: Any) -> None:
    first, second = found["exit_codes"]
    assert (first != 0, second) == (True, -signal.SIGKILL)
    ((step, resumed),) = found["resumed"]
    assert resumed == {"checkpoint_step": 20, "recomputed": step - 20}
    assert 20 <= step <= 27, "rows of steps may wait in memory for a moment"


@pytest.mark.parametrize("size", [2, 4])
def test_what_four_processes_kept_is_taken_up_by_as_many_and_fewer_to_the_last_bit(
    found: Any, size: int
) -> None:
    leader = found["seen"][str(size)][0]
    assert leader["kept"] == leader["kept_after"] == found["four"]["hashes"]


@pytest.mark.parametrize("size", [2, 4])
def test_each_process_keeps_its_share_of_everything_between_two_steps(found: Any, size: int) -> None:
    kept = [each["numbers"] for each in found["seen"][str(size)]]
    weights = found["parameters"]
    assert sum(each["weights"] for each in kept) == sum(each["gradients"] for each in kept) == weights
    for each in kept:
        assert each["weights"] == pytest.approx(weights / size, rel=0.03), "rows are not divided, and rest"
        assert weights < each["moments"] * size < 2.1 * weights, "one or two moments of each weight"


@pytest.mark.parametrize("size", [2, 4])
def test_what_overflows_in_the_last_process_stops_all(found: Any, size: int) -> None:
    (message,) = {each["overflow"] for each in found["seen"][str(size)]}
    assert message.startswith("input")


@pytest.mark.parametrize("size", [2, 4])
def test_a_process_without_windows_takes_part_all_the_same(found: Any, size: int) -> None:
    assert [each["short"] for each in found["seen"][str(size)]] == [found["short"]] * size


def test_torch_reads_a_checkpoint_in_shards_to_the_last_bit(found: Any) -> None:
    assert found["loaded_by_torch"] == found["four"]["hashes"]


def test_the_largest_tensors_are_dealt_out_first() -> None:
    assert owners_of([1, 5, 4, 2], 2) == [0, 0, 1, 1]
