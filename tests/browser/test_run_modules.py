"""What the page says of runs, checkpoints and files, by the pure functions that say it."""

from typing import Any, get_args

import pytest

from bitlm.history.narration import SOURCE_NAMES
from bitlm.session.events import Source
from tests.browser.conftest import EvaluateModule


@pytest.mark.parametrize(
    ("step", "proposed", "said"),
    [
        (None, 500, ""),
        (500, 500, ""),
        (579, 500, "Step 579 has no checkpoint: the newest before it is of step 500. A fork begins at one."),
        (
            3,
            6,
            (
                "Step 3 has no checkpoint: there is none before it, the first is of step 6. "
                "A fork begins at one."
            ),
        ),
    ],
)
def test_a_fork_that_cannot_begin_where_it_was_asked_for_says_where_it_begins(
    evaluate_module: EvaluateModule, step: int | None, proposed: int, said: str
) -> None:
    call = "(module, steps) => module.whyNotAt(...steps)"
    assert evaluate_module("dialogs.js", call, [step, proposed]) == said


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (None, "20261124-060039-cd79"),
        ("my run", "my-run-20261124-060039-cd79"),
        ("λK 0.4, again/../x", "λK-0.4-again-x-20261124-060039-cd79"),
    ],
)
def test_a_file_of_a_chart_begins_with_the_name_of_its_run(
    evaluate_module: EvaluateModule, name: str | None, title: str
) -> None:
    call = "(module, name) => module.fileTitle({ run_id: '20261124-060039-cd79', name })"
    assert evaluate_module("chart_files.js", call, name) == title


def test_a_schedule_says_the_interval_that_the_budget_made_of_it(evaluate_module: EvaluateModule) -> None:
    def interval(*kinds: tuple[str, int | None]) -> int | None:
        events = [
            {"kind": kind, "payload": {"sample_interval": every} if every else {}} for kind, every in kinds
        ]
        call = "(module, events) => module.thinnedInterval(events, { every: 20 })"
        found: int | None = evaluate_module("sample_history.js", call, events)
        return found

    told, probes = ("samples_scheduled", None), ("telemetry_thinned", None)
    assert interval(told) is None
    assert interval(told, ("telemetry_thinned", 260), probes) == 260
    assert interval(told, ("telemetry_thinned", 260), ("telemetry_thinned", 20)) is None
    assert interval(told, ("telemetry_thinned", 260), told) is None


def test_a_growth_is_told_with_its_receipt(evaluate_module: EvaluateModule) -> None:
    growth = {
        "by": "layer", "parameters": [765609, 815049], "logit_difference": 0, "bits_per_byte": [1.5, 1.5],
    }  # fmt: skip
    payload = {"run_id": "one", "step": 400, "config_changes": {"num_layers": 5}, "growth": growth}
    event = {"event_id": 1, "kind": "run_forked", "payload": payload}
    expression = "(module, event) => module.sentence(event)"
    assert evaluate_module("events.js", expression, event) == (
        "Branched off one at step 400, a layer more: 766 k → 815 k parameters, not one bit of a prediction "
        "changed, 1.500 → 1.500 bits per byte"
    )
    growth |= {"by": "width", "logit_difference": 0.00034}
    assert "twice as wide: 766 k → 815 k parameters, logits moved by at most 3.4e-4" in evaluate_module(
        "events.js", expression, event
    )
    student = {"parameters": [1922985, 742185], "bits_per_byte": [1.7151, 1.7512], "met": True}
    event["payload"] = {"run_id": "one", "step": 400, "distillation": student}
    assert evaluate_module("events.js", expression, event) == (
        "Branched off one at step 400, its student: 1.92 M → 742 k parameters, 1.715 → 1.751 bits per byte, "
        "as good as it was to be"
    )
    student["met"] = False
    label = "(module, event) => [module.sentence(event), module.shortLabel(event)]"
    said, short = evaluate_module("events.js", label, event)
    assert said.endswith("short of what it was to reach")
    assert short == "student"


BEGUN_ANEW = """async (module) => {
  const said = (state, detail) => ({ run_id: "a", state, detail });
  let answer, asked, begun = 0, looked = 0;
  const isAsked = new Promise((resolve) => { asked = resolve; });
  const look = () => {
    looked += 1;
    if (looked > 1) return said("done", "second");
    asked();
    return new Promise((resolve) => { answer = resolve; });
  };
  const begin = () => said("running", `begun ${begun += 1} times`);
  const cancel = () => said("cancelled", "first");
  const kind = { noun: "job", begin, look, cancel, words: String, isWell: () => true };
  const jobs = new module.Jobs(kind, { note() {}, problem() {} }, () => {});
  const first = jobs.start("a");
  await isAsked;
  await jobs.cancel("a");
  await jobs.start("a");
  answer(said("cancelled", "first"));
  await new Promise((resolve) => setTimeout(resolve, 0));
  const meanwhile = jobs.report("a").detail;
  await first;
  return [meanwhile, jobs.report("a").detail];
}"""


def test_a_late_answer_about_a_cancelled_job_does_not_hide_the_one_begun_anew(
    evaluate_module: EvaluateModule,
) -> None:
    assert evaluate_module("jobs.js", BEGUN_ANEW) == ["begun 2 times", "second"]


def test_who_asked_is_called_alike_on_the_page_and_on_the_command_line(
    evaluate_module: EvaluateModule,
) -> None:
    names = evaluate_module(
        "events.js", "(module, all) => all.map(module.sourceName)", list(get_args(Source))
    )
    assert dict(zip(get_args(Source), names, strict=True)) == SOURCE_NAMES


LISTED = """async (module, stories) => {
    const { createStore, firstState } = await import("/store.js");
    const [list, none] = [document.createElement("ol"), document.createElement("p")];
    const store = createStore(firstState({}, {}));
    module.connectEventList(list, none, store, () => {});
    const told = [];
    for (const ids of stories) {
        const before = [...list.children];
        const others = { at: 0, kind: "training_started", source: "ui", payload: {} };
        store.update({ events: ids.map((id) => ({ event_id: id, step: id, ...others })) });
        await Promise.resolve();
        const rows = [...list.children];
        const stayed = rows.filter((row) => before.includes(row));
        told.push([rows.map((row) => row.firstChild.textContent), stayed.length, none.hidden]);
    }
    return told;
}"""


def test_what_is_listed_stays_when_more_happens_and_not_when_it_is_another_story(
    evaluate_module: EvaluateModule,
) -> None:
    call = f"(module, stories) => ({LISTED})(module, stories)"
    stories = [[1, 2], [1, 2, 5], [1, 2, 5], [3, 5], [], list(range(1, 203))]
    *few, many = evaluate_module("event_list.js", call, stories)
    assert few == [
        [["2", "1"], 0, True],
        [["5", "2", "1"], 2, True],
        [["5", "2", "1"], 3, True],
        [["5", "3"], 0, True],
        [[], 0, False],
    ]
    assert (many[0][0], many[0][-1], len(many[0])) == ("202", "3", 200)


def test_what_became_of_growing_is_news_once_and_what_was_before_is_none(
    evaluate_module: EvaluateModule,
) -> None:
    def event(number: int, kind: str, **payload: Any) -> dict[str, Any]:
        return {"event_id": number, "kind": kind, "payload": payload}

    before = {
        "status": {"run_id": "one"},
        "events": [event(3, "growth_rule_changed", new=None, reason="full")],
    }
    fork = event(5, "run_forked", run_id="one", growth={"by": "layer"})
    others = [event(4, "growth_rule_changed", new=None), event(6, "run_forked", run_id="one", growth=None)]
    after = {"status": {"run_id": "two"}, "events": [*before["events"], others[0], fork, others[1]]}
    news = "({ growthNews }, [after, before]) => growthNews(after, before).map(({ event_id: id }) => id)"
    assert evaluate_module("growth_controls.js", news, [after, before]) == [5]
    assert evaluate_module("growth_controls.js", news, [after, after]) == []
    assert evaluate_module("growth_controls.js", news, [before, {"status": None, "events": []}]) == []
    end = {
        "status": {"run_id": "one"},
        "events": [*before["events"], event(9, "growth_rule_changed", reason="full")],
    }
    assert evaluate_module("growth_controls.js", news, [end, before]) == [9]


def test_why_a_run_cannot_be_let_grow(evaluate_module: EvaluateModule) -> None:
    def why(**status: Any) -> str | None:
        known = {"state": "ready", "run_id": "one", "step": 5, "growth_rule": None, "annealed_at": None}
        state = {
            "connection": "connected",
            "busy": None,
            "runCount": 1,
            "status": {**known, "config": {}, **status},
        }
        said = evaluate_module(
            "growth_controls.js", "({ growthObstacle }, state) => growthObstacle(state)", state
        )
        return None if said is None else str(said)

    assert why() is None
    assert "grow it first" in (why(config={"qat": True}) or "")
    assert "The learning rate falls" in (why(annealed_at=9) or "")
    assert why(annealed_at=9, growth_rule={"improve_thresh": 0.01, "most_memory_mb": 64}) is None
    assert why(state="halted", growth_rule={}) == "The run halted itself: roll it back or start a new run"


def test_a_model_that_is_kept_as_it_was_trained_is_said_to_be_the_same(
    evaluate_module: EvaluateModule,
) -> None:
    def cost(moved: float) -> str:
        receipt = {"bits_per_byte": [2.0, 2.5], "logit_difference": moved}
        file = {"bytes": 1200, "share": 0.1683, "receipt": receipt}
        return str(evaluate_module("models.js", "({ costOf }, file) => costOf(file)", file))

    assert cost(0.0) == "1,200 bytes, 0.17 of float32's; 2.5000 bpb held out, exact: the same to the last bit"
    assert cost(0.01234).endswith("2.0000 → 2.5000 bpb held out, logits move by at most 0.012")


def test_a_new_run_is_asked_for_with_the_settings_that_were_filled_in_each_of_its_type(
    evaluate_module: EvaluateModule,
) -> None:
    expression = """(module, fields) => {
        const filled = new FormData();
        for (const [name, value] of Object.entries(fields)) filled.set(name, value);
        return module.initSettings(filled);
    }"""
    always = {"size": "tiny", "seed": "7", "text_kind": "embedded"}
    settings = {"chunk_size": "0", "dropout": "0.1", "use_act": "true", "parity": "false", "memory": "auto"}
    assert evaluate_module("setup_form.js", expression, {**always, **settings, "d_model": ""}) == {
        "size": "tiny",
        "seed": 7,
        "corpus": "embedded",
        "chunk_size": 0,
        "dropout": 0.1,
        "use_act": True,
        "parity": False,
        "memory": "auto",
    }
