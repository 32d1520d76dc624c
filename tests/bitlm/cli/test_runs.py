"""Naming runs, putting them away, and looking into their past."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bitlm.cli.main import unwrapped
from bitlm.errors import ConfigError, JournalError, RunNotFoundError
from bitlm.history.branching import fork
from bitlm.session import RunStore, Session
from bitlm.version import VERSION
from tests.bitlm.cli.conftest import Say

Made = Callable[[], str]


def test_a_name_stands_for_its_run_wherever_an_id_does(say: Say, made: Made) -> None:
    run_id, other = made(), made()
    assert say("runs", "rename", run_id, "my run").stdout == f"run {run_id} is called 'my run'.\n"
    assert f"journal of run {run_id}" in say("journal", "my run").stdout
    compared = json.loads(say("compare", "my run", other, "--json").stdout)
    assert [run["run_id"] for run in compared["runs"]] == [run_id, other]
    assert json.loads(say("evaluate", "--run", "my run", "--json").stdout)["run_id"] == run_id


def test_a_name_that_several_runs_have_is_refused_with_their_ids(say: Say, made: Made) -> None:
    runs = [made(), made()]
    for run_id in runs:
        say("runs", "rename", run_id, "twice")
    with pytest.raises(ConfigError, match=f"2 runs have this name: give the id, {runs[1]} or {runs[0]}"):
        say("journal", "twice")


def test_what_is_no_run_names_the_list_of_those_there_are(say: Say, made: Made) -> None:
    made()
    with pytest.raises(RunNotFoundError, match="runs list` and GET /runs list those there are"):
        say("journal", "none")


def test_latest_is_the_run_that_something_last_happened_to(say: Say, store: RunStore, made: Made) -> None:
    older, newer = made(), made()
    assert f"journal of run {newer}" in say("journal").stdout
    session = Session.open(store, older)
    session.step()
    session.save()
    session.close()
    assert f"journal of run {older}" in say("journal").stdout
    say("runs", "archive", older)
    say("runs", "trash", newer)
    with pytest.raises(ConfigError, match="every run is archived or in the trash"):
        say("journal")


def test_a_run_goes_to_the_trash_and_comes_back(say: Say, made: Made) -> None:
    run_id = made()
    assert f"bitlm runs restore {run_id}" in say("runs", "trash", run_id).stdout
    assert "there are no runs" in say("runs", "list").stdout
    assert run_id in say("runs", "list", "--trashed").stdout
    assert say("runs", "restore", run_id).stdout == f"run {run_id} is back.\n"
    assert run_id in say("runs", "list").stdout
    assert say("runs", "list", "--trashed").stdout == "the trash is empty.\n"


def test_tagging_and_archiving_say_what_they_did(say: Say, made: Made) -> None:
    run_id = made()
    assert say("runs", "tag", run_id, "one", "two").stdout == f"run {run_id} is tagged one, two.\n"
    assert say("runs", "tag", run_id).stdout == f"run {run_id} has no tags.\n"
    assert f"runs archive {run_id} --back" in say("runs", "archive", run_id).stdout
    assert "--all lists them" in say("runs", "list").stdout
    assert say("runs", "archive", run_id, "--back").stdout == f"run {run_id} is no longer archived.\n"


def test_what_was_done_to_a_run_is_told_as_json_as_the_list_has_it(say: Say, made: Made) -> None:
    run_id = made()

    def told(*arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(say(*arguments, "--json").stdout)
        return answer

    assert told("runs", "rename", run_id, "first")["name"] == "first"
    assert told("runs", "tag", "first", "kept")["tags"] == ["kept"]
    assert told("runs", "archive", "first")["archived"]
    assert told("runs", "trash", "first")["trashed_at"] > 0
    back = told("runs", "restore", "first")
    assert told("runs", "list", "--all")["runs"] == [back]
    named = told("checkpoints", "name", "first", "8", "end")
    assert named["name"] == "end"
    left = told("checkpoints", "delete", "first", "0", "--yes")
    assert left == {"run_id": run_id, "checkpoints": [named]}
    assert left == told("checkpoints", "list", "first")
    assert told("runs", "delete", "first", "--yes") == {"run_id": run_id}
    assert told("runs", "list", "--all") == {"runs": []}


def test_the_journal_says_page_and_leads_from_a_branch_to_what_it_comes_from(
    say: Say, store: RunStore, made: Made
) -> None:
    run_id = made()
    assert " page " in say("journal", run_id).stdout
    branch = fork(store, run_id, source="cli")
    told = say("journal", branch).stdout
    assert "was not told anything yet" in told
    assert f"it began as run {run_id} at step 8; what that was told: python -m bitlm journal {run_id}" in told


def test_an_event_that_is_no_change_names_those_that_are(say: Say, store: RunStore, made: Made) -> None:
    run_id = made()
    (change,) = store.all_events(run_id, kinds=("telemetry_changed",))
    for command in ("effect", "twin"):
        with pytest.raises(JournalError, match=rf"it has {change.event_id} \(step 4\)\."):
            say(command, run_id, "99999")


def test_an_effect_has_a_line_for_what_did_not_move(say: Say, store: RunStore, made: Made) -> None:
    run_id = made()
    (change,) = store.all_events(run_id, kinds=("telemetry_changed",))
    told = say("effect", run_id, str(change.event_id)).stdout
    assert "no effect seen: train bpb, K" in told
    assert "too few values to say: held-out bpb" in told
    assert "resident" not in told
    assert "resident_bytes" in say("effect", run_id, str(change.event_id), "--json").stdout


def test_an_undone_change_is_told_as_where_the_run_was_before(say: Say, store: RunStore, made: Made) -> None:
    run_id = made()
    (change,) = store.all_events(run_id, kinds=("telemetry_changed",))
    told = say("twin", run_id, str(change.event_id), "--undo").stdout
    assert f"is run {run_id} as it was before event {change.event_id}, at step 4." in told


def test_the_list_of_checkpoints_says_when_and_which_is_best(say: Say, store: RunStore, made: Made) -> None:
    run_id = made()
    session = Session.open(store, run_id)
    session.step()
    session.step()
    session.save()
    session.close()
    listed = json.loads(say("checkpoints", "list", "--json").stdout)["checkpoints"]
    assert [(one["step"], one["is_best"]) for one in listed] == [(10, True), (8, False), (0, False)]
    told = say("checkpoints", "list").stdout
    assert "saved at" in told
    assert [line.split()[1] for line in told.splitlines() if "best" in line] == ["10"]
    assert "kept until you delete it" in say("checkpoints", "name", run_id, "8", "here").stdout


def test_samples_are_those_of_the_latest_run_unless_told_otherwise(say: Say, made: Made) -> None:
    run_id = made()
    assert f"train --run {run_id} --sample-every 500" in say("samples").stdout


def test_the_version_is_told() -> None:
    from typer.testing import CliRunner  # noqa: PLC0415

    from bitlm.cli.main import app  # noqa: PLC0415

    assert CliRunner().invoke(app, ["--version"]).stdout == f"BitLM {VERSION}\n"


def test_help_leaves_the_breaking_of_lines_to_the_terminal() -> None:
    text = """What it does.

    A sentence that the source
    breaks.

    Examples:
      first

      second
    """
    assert unwrapped(text) == (
        "What it does.\n\nA sentence that the source breaks.\n\nExamples:\n  first\n  second"
    )
