"""A group of processes, and trainings that four, two and one of them share."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> Any:
    folder = tmp_path_factory.mktemp("together")
    subprocess.run(
        [sys.executable, Path(__file__).with_name("together.py"), folder, corpus_file],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=500,
    )
    return json.loads((folder / "found.json").read_text())


def test_fifty_steps_in_four_two_and_one_process_are_those_of_one_to_the_last_bit(found: Any) -> None:
    assert len(found["alone"]["figures"]["loss"]) == 50
    assert found["alone"]["figures"]["inversion_error"][-1] == 0.0
    assert found["shared"] == found["alone"]
    assert found["shared"]["diverged"] == []


@pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
def test_fifty_steps_in_four_stages_two_and_one_are_those_of_one_to_the_last_bit(
    found: Any, schedule: str
) -> None:
    assert found[schedule] == found["alone"]


def test_a_stage_has_its_layers_alone_and_rank_0_a_copy_of_all(found: Any) -> None:
    everything, *others = (set(each["stage"]["has"]) for each in found["told"])
    for place, own in enumerate(others, start=1):
        first = (f"trunk.blocks.{place}.", *(("trunk.norm.", "head.", "mixer.") if place == 3 else ()))
        assert own == {name for name in everything if name.startswith(first)}


def test_what_overflows_in_one_stage_stops_all_and_is_named_by_its_place_in_the_model(found: Any) -> None:
    stages = [each["stage"] for each in found["told"]]
    assert [stage["overflows"] for stage in stages] == [stages[0]["overflows"]] * 4
    said = [message.partition(":")[0] for message in stages[0]["overflows"]]
    assert said == [f"layer {place} attention" for place in (0, 2, 3)]
    assert [(stage["steps"], stage["moments"]) for stage in stages] == [(0, 0)] * 4


def test_every_process_has_parts_of_its_own_and_is_told_what_the_others_tell(found: Any) -> None:
    told = found["told"]
    assert [each["own"] for each in told] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert all(each["total"] == [1111.0] * 5 for each in told)
    assert all(each["broadcast"] == "of rank 0" for each in told)
    everything = [{"rank": rank, "text": "é" * rank, "loss": 0.1} for rank in range(4)]
    assert all(each["gathered"] == everything for each in told)


def test_processes_that_were_not_given_the_same_are_told_in_which_setting(found: Any) -> None:
    (message,) = {each["unlike"] for each in found["told"]}
    assert message == (
        "size of rank 2='base': rank 0 has 'tiny'; start all with the same options and versions."
    )


def test_processes_that_do_not_see_the_data_folder_are_told_before_anything_begins(found: Any) -> None:
    (message,) = {each["apart"] for each in found["told"]}
    assert message == (
        "--sharded-checkpoints=True: rank 2 does not see rank 0's /proc/self/cwd/common; give --data-dir a "
        "folder that all processes see, or leave it out: rank 0 then writes all."
    )


def test_what_overflows_in_one_process_stops_all(found: Any) -> None:
    (message,) = {each["overflow"] for each in found["told"]}
    assert "layer 0 attention" in message


def test_nothing_is_saved_where_a_process_has_other_weights(found: Any) -> None:
    first, *others = (each["difference"] for each in found["told"])
    assert first.startswith("at step 0 rank 3 has other weights than rank 0")
    assert others == ["no error"] * 3
