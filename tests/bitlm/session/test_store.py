from pathlib import Path
from typing import Any

import pytest

from bitlm.errors import CorpusError, RunNotFoundError
from bitlm.model import ModelConfig
from bitlm.session import RunConfig, RunStore, StepEvent
from bitlm.session.store import wait_after
from bitlm.training import TrainingConfig


def step_event(step: int, **changes: Any) -> StepEvent:
    values: dict[str, Any] = {
        "step": step, "at": 1000.0 + step, "elapsed_s": step / 10, "bytes_seen": 64 * step, "loss": 0.5,
        "bits_per_byte": 5.77, "K": 0.2, "gradient_norm": 1.0, "learning_rate": 1e-3, "bytes_per_s": 640.0,
    }  # fmt: skip
    return StepEvent(**{**values, **changes})


@pytest.fixture
def run_id(store: RunStore) -> str:
    config = RunConfig(
        model=ModelConfig(), training=TrainingConfig(), corpus="a text", corpus_fingerprint="f" * 64,
        seed=1, threads=1, version="0",
    )  # fmt: skip
    store.add_run("run-1", created_at=1.0, parameters=7, config=config)
    return "run-1"


def test_a_run_comes_back_as_it_was_put_in(store: RunStore, run_id: str) -> None:
    record = store.run(run_id)
    assert (record.run_id, record.parameters, record.last_step, record.bits_per_byte) == (run_id, 7, 0, None)
    assert record.config.model == ModelConfig()
    assert [entry.run_id for entry in store.runs()] == [run_id]


def test_a_run_that_is_not_there_is_named(store: RunStore) -> None:
    with pytest.raises(RunNotFoundError, match="nowhere"):
        store.run("nowhere")


def test_metrics_come_back_by_column_from_a_cursor_on(store: RunStore, run_id: str) -> None:
    for step in range(1, 6):
        store.add_metrics(run_id, step_event(step, validation_bits_per_byte=4.0 if step == 3 else None))
    store.flush()
    columns = store.metrics(run_id, since=2)
    assert columns["step"] == [3, 4, 5]
    assert columns["validation_bits_per_byte"] == [4.0, None, None]
    assert set(columns) == set(StepEvent.model_fields)
    assert store.run(run_id).validation_bits_per_byte == 4.0
    assert store.metrics(run_id, since=5)["step"] == []


def test_all_rows_of_a_run_come_page_by_page_and_each_once(
    store: RunStore, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitlm.session.store.ROWS_AT_ONCE", 3)
    for step in (1, 2, 3, 5, 8, 9, 10):
        store.add_metrics(run_id, step_event(step))
    store.flush()
    rows = list(store.metric_rows(run_id))
    assert [row["step"] for row in rows] == [1, 2, 3, 5, 8, 9, 10]
    assert StepEvent(**rows[3]) == step_event(5)


def test_an_event_is_on_the_disk_when_it_is_acknowledged_and_takes_waiting_metrics_along(
    store: RunStore, run_id: str
) -> None:
    store.add_metrics(run_id, step_event(1))
    event = store.add_event(
        run_id, step=1, at=2.0, kind="telemetry_changed", source="ui", payload={"changes": []}
    )
    second = RunStore(store.data_dir)
    assert second.events(run_id)[-1] == event
    assert second.metrics(run_id)["step"] == [1]
    second.close()


def test_events_are_read_from_a_cursor_and_by_pages(store: RunStore, run_id: str) -> None:
    ids = [
        store.add_event(run_id, step=n, at=0.0, kind="sample", source="rest", payload={"n": n}).event_id
        for n in range(5)
    ]
    assert ids == sorted(set(ids))
    assert [event.payload["n"] for event in store.events(run_id, since=ids[1], limit=2)] == [2, 3]


def test_the_last_event_of_a_run_is_known_by_its_id(store: RunStore, run_id: str) -> None:
    last = store.add_event(run_id, step=1, at=0.0, kind="sample", source="rest", payload={})
    assert store.last_event_id(run_id) == last.event_id == store.events(run_id)[-1].event_id
    assert store.last_event_id("nowhere") == 0


def test_a_run_that_nothing_happened_to_has_no_last_event_and_no_step(store: RunStore) -> None:
    assert store.last_known_step("nowhere") == 0
    assert store.last_event_id("nowhere") == 0
    assert store.last_active_run() is None


def test_events_and_metrics_both_say_how_far_a_run_came(store: RunStore, run_id: str) -> None:
    assert store.last_known_step(run_id) == 0
    store.add_metrics(run_id, step_event(4))
    store.flush()
    assert store.last_known_step(run_id) == 4
    store.add_event(run_id, step=6, at=0.0, kind="sample", source="rest", payload={})
    assert store.last_known_step(run_id) == 6


def test_all_events_of_a_run_come_however_many_and_a_page_is_a_thousand(store: RunStore, run_id: str) -> None:
    with store._writing() as writer:
        writer.executemany(
            "INSERT INTO events (run_id, step, at, kind, source, payload) "
            "VALUES (?, ?, 0, 'sample', 'ui', '{}')",
            [(run_id, step) for step in range(1, 1_101)],
        )
    assert len(store.all_events(run_id)) == 1_101, "and that the run was made"
    assert [event.step for event in store.events(run_id)] == list(range(1_000))


def test_what_a_run_is_called_and_where_it_is_put_comes_back(store: RunStore, run_id: str) -> None:
    before = store.run(run_id)
    assert (before.name, before.tags, before.archived, before.trashed_at) == (None, (), False, None)
    store.label_run(run_id, name="a name", tags=("one", "two"), archived=True)
    after = store.run(run_id)
    assert (after.name, after.tags, after.archived) == ("a name", ("one", "two"), True)
    assert store.last_active_run() is None, "it is put away"
    store.label_run(run_id, name=None, tags=(), archived=False)
    assert store.last_active_run() == before
    store.trash_run(run_id, 5.0)
    assert store.last_active_run() is None
    assert store.runs() == []
    assert [run.trashed_at for run in store.runs(trashed=True)] == [5.0]
    store.trash_run(run_id, None)
    assert store.runs() == [before]


def test_a_deleted_run_leaves_nothing_but_its_text(store: RunStore, run_id: str) -> None:
    digest = store.put_data(b"a text")
    store.run_dir(run_id).mkdir(parents=True)
    (store.run_dir(run_id) / "file").write_bytes(b"1")
    store.add_metrics(run_id, step_event(1))
    store.delete_run(run_id)
    assert store.runs() == []
    assert not store.run_dir(run_id).exists()
    assert store.metrics(run_id)["step"] == []
    assert store.all_events(run_id) == []
    assert store.data(digest) == b"a text"


def test_a_text_that_is_missing_is_named(store: RunStore) -> None:
    with pytest.raises(CorpusError, match=r"the text 0{12} in .*data is missing"):
        store.data("0" * 64)


def test_dropping_metrics_leaves_the_earlier_ones(store: RunStore, run_id: str) -> None:
    for step in range(1, 6):
        store.add_metrics(run_id, step_event(step))
    store.drop_metrics_after(run_id, 3)
    assert store.metrics(run_id)["step"] == [1, 2, 3]


def test_baselines_are_kept_by_fingerprint(store: RunStore) -> None:
    assert store.baselines("abc") is None
    store.set_baselines("abc", {"gzip": 2.5})
    assert store.baselines("abc") == {"gzip": 2.5}


def test_metrics_wait_longer_where_writing_takes_long_but_a_second_at_most() -> None:
    waits = [wait_after(writing_s) for writing_s in (0.0, 0.0005, 0.002, 3.0)]
    assert waits == pytest.approx([0.2, 0.2, 0.4, 1.0])


def test_a_text_is_kept_once_and_a_changed_one_is_noticed(store: RunStore) -> None:
    digest = store.put_data(b"some text")
    assert store.put_data(b"some text") == digest
    assert store.data(digest) == b"some text"
    path: Path = store.data_dir / "data" / digest
    path.write_bytes(b"other text")
    with pytest.raises(CorpusError, match="was changed"):
        store.data(digest)


def test_a_long_history_is_thinned_to_what_a_chart_needs(store: RunStore, run_id: str) -> None:
    for step in range(1, 2001):
        rare = {"C": 0.7, "S": 0.6} if step % 500 == 0 else {}
        value = 9.0 if step == 777 else 1.0 if step == 778 else 5.0
        store.add_metrics(run_id, step_event(step, bits_per_byte=value, **rare))
    store.flush()
    columns = store.metrics(run_id, max_points=100)
    assert len(columns["step"]) <= 100
    assert {1, 2000, 777, 778, 500, 1000, 1500} <= set(columns["step"])
    assert store.metrics(run_id, max_points=100) == columns
