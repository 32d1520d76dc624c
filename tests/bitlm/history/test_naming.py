"""What a branch is called at first."""

import pytest

from bitlm.history.branching import fork, roll_back, twin
from bitlm.history.naming import LONGEST_NAME, branch_name
from bitlm.session import Origin, RunStore, SetTelemetry


@pytest.fixture
def short(finished: str) -> str:
    """The last characters of the original's id."""
    return finished[-4:]


def change(store: RunStore, run_id: str, kind: str) -> int:
    return next(event.event_id for event in store.all_events(run_id) if event.kind == kind)


def test_a_fork_is_named_after_what_it_is_given(kept: RunStore, finished: str, short: str) -> None:
    told = SetTelemetry(lambda_K=0.1, c_floor=0.25)
    branch = fork(kept, finished, settings={"learning_rate": 0.001, "seed": 4}, telemetry=told, source="cli")
    assert kept.run(branch).name == f"{short} · lr 0.001, seed 4, λK 0.1, C floor 0.25"
    assert kept.run(fork(kept, finished, step=6, source="cli")).name == f"{short} · from 6"


def test_a_twin_is_named_after_what_it_does_without(kept: RunStore, finished: str, short: str) -> None:
    moved = change(kept, finished, "telemetry_changed")
    names = [
        kept.run(twin(kept, finished, moved, source="cli", **different)).name
        for different in ({}, {"instead": {"lambda_K": 0.9}}, {"undo": True})
    ]
    assert names == [f"{short} − λK 0.3", f"{short} · λK 0.9 not λK 0.3", f"{short} before λK 0.3"]
    annealed = change(kept, finished, "anneal_started")
    assert kept.run(twin(kept, finished, annealed, source="cli")).name == f"{short} − anneal"


def test_a_rollback_is_named_after_where_it_goes_back_to(kept: RunStore, finished: str, short: str) -> None:
    assert kept.run(roll_back(kept, finished, since=10, source="cli")).name == f"{short} back at 10"


def test_a_name_that_is_taken_gets_a_number_and_one_too_long_is_shortened_in_front(
    kept: RunStore, finished: str
) -> None:
    parent = kept.run(finished).model_copy(update={"name": "tidy"})
    begun = Origin(run_id=finished, step=6, after_event=1)
    assert branch_name(parent, begun, [], {"tidy · from 6", "tidy · from 6 (2)"}) == "tidy · from 6 (3)"
    long = branch_name(parent.model_copy(update={"name": "a" * LONGEST_NAME}), begun, [], ())
    assert len(long) == LONGEST_NAME
    assert long.endswith("a… · from 6")


def test_branches_with_more_changes_than_a_name_holds_are_still_told_apart(
    kept: RunStore, finished: str
) -> None:
    parent = kept.run(finished).model_copy(update={"name": "tidy"})
    changes = {f"setting_of_some_length_{number}": number for number in range(9)}
    begun = Origin(run_id=finished, step=6, after_event=1, config_changes=changes)
    first = branch_name(parent, begun, [], ())
    second = branch_name(parent, begun, [], {first})
    assert first.startswith("tidy · setting_of_some_length_0 0, ")
    assert second.endswith("… (2)")
    assert len(first) == len(second) == LONGEST_NAME
