from dataclasses import replace
from itertools import islice, product

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import (
    ConfigError,
    CorpusError,
    HaltedError,
    RunBusyError,
    RunNotFoundError,
)
from bitlm.model import ModelConfig
from bitlm.session import Anneal, RunStore, Session, SetTelemetry
from bitlm.training import TrainingConfig


@pytest.fixture
def session(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Session:
    return Session.create(store, model=model_config, training=training_config, corpus=corpus, seed=1)


def losses(session: Session, steps: int) -> list[float]:
    return [event.loss for event in islice(session, steps)]


def test_two_runs_with_one_seed_have_the_same_losses_to_the_last_bit(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    dropping = replace(model_config, dropout=0.1)

    def run(memory: str, seed: int) -> list[float]:
        model = replace(dropping, memory=memory)
        return losses(
            Session.create(store, model=model, training=training_config, corpus=corpus, seed=seed), 12
        )

    first = run("store", 1)
    assert run("store", 1) == first
    assert run("recompute", 1) == first
    assert run("store", 2) != first


def test_a_run_whose_positions_halt_goes_on_bit_for_bit_from_any_step(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    model = replace(model_config, use_act=True)
    training = replace(training_config, ponder_cost=0.01, ponder_budget=0.0, ponder_start=4)

    def run(memory: str) -> Session:
        return Session.create(
            store, model=replace(model, memory=memory), training=training, corpus=corpus, seed=1
        )

    whole = losses(run("store"), 10)
    assert losses(run("recompute"), 10) == whole
    for saved_at in (3, 6):  # before and after depth has its price
        session = run("store")
        assert losses(session, saved_at) == whole[:saved_at]
        session.checkpoint()
        session.close()
        assert losses(Session.open(store, session.run_id), 10 - saved_at) == whole[saved_at:]
    store.flush()
    depths = store.metrics(session.run_id)["depth_mean"]
    assert depths[:4] == [model.num_layers] * 4
    assert all(1 <= depth < model.num_layers for depth in depths[4:])


def test_training_learns(session: Session) -> None:
    values = losses(session, 25)
    assert values[0] == pytest.approx(0.693, abs=0.02)
    assert sum(values[-5:]) / 5 < 0.57


def test_a_run_is_the_same_whoever_looks_at_it(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    observed, unobserved = (
        Session.create(
            store,
            model=model_config,
            training=replace(
                training_config, validation_interval=every, probe_interval=every, diagnostics_interval=every
            ),
            corpus=corpus,
        )
        for every in (1, 1000)
    )
    drawn = torch.get_rng_state()
    assert losses(observed, 4) == losses(unobserved, 4)
    assert is_same(observed, unobserved)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_going_on_from_a_checkpoint_repeats_the_uninterrupted_run_bit_for_bit(
    session: Session, store: RunStore
) -> None:
    losses(session, 6)
    session.apply(SetTelemetry(lambda_K=0.2), source="cli")
    session.apply(Anneal(steps=8), source="cli")
    session.checkpoint()
    session.close()
    reopened = Session.open(store, session.run_id)
    assert reopened.step_count == 6
    assert losses(reopened, 3) == losses(session, 3)
    assert is_same(reopened, session)


def test_reopening_computes_what_was_not_saved_again_and_says_so(session: Session, store: RunStore) -> None:
    losses(session, 11)
    session.apply(SetTelemetry(lambda_K=0.4), source="rest")
    session.apply(Anneal(steps=9), source="rest")
    losses(session, 2)
    session.close()
    before = store.metrics(session.run_id)
    told: list[tuple[int, int]] = []
    reopened = Session.open(store, session.run_id, progress=lambda step, until: told.append((step, until)))
    assert told == [(10, 13), (11, 13), (12, 13), (13, 13)]
    assert reopened.step_count == 13
    assert reopened.telemetry.lambda_K == 0.4
    assert is_same(reopened, session)
    assert store.metrics(session.run_id) == before
    event = next(event for event in store.events(session.run_id) if event.kind == "run_resumed")
    assert (event.step, event.payload) == (13, {"checkpoint_step": 10, "recomputed": 3})
    assert losses(reopened, 3) == losses(session, 3)


def is_same(ours: Session, theirs: Session) -> bool:
    pairs = zip(ours.model.parameters(), theirs.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_run_that_is_being_written_can_be_read_but_not_written_by_another(
    session: Session, store: RunStore
) -> None:
    losses(session, 3)
    with pytest.raises(RunBusyError, match=session.run_id):
        Session.open(store, session.run_id)
    assert Session.open(store, session.run_id, writable=False).step_count == 0
    store.flush()
    assert store.metrics(session.run_id)["step"] == [1, 2, 3]


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    session: Session, store: RunStore
) -> None:
    losses(session, 21)
    newest = max(store.run_dir(session.run_id).glob("checkpoints/*/weights.safetensors"))
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    session.close()
    reopened = Session.open(store, session.run_id)
    assert is_same(reopened, session)
    damaged = next(event for event in store.events(session.run_id) if event.kind == "checkpoint_damaged")
    assert damaged.payload["step"] == 20
    assert "SHA-256" in damaged.payload["detail"]
    resumed = next(event for event in store.events(session.run_id) if event.kind == "run_resumed")
    assert resumed.payload == {"checkpoint_step": 10, "recomputed": 11}


def test_without_any_whole_checkpoint_a_run_is_computed_again_from_its_seed(
    session: Session, store: RunStore
) -> None:
    losses(session, 12)
    for file in store.run_dir(session.run_id).glob("checkpoints/*/*"):
        file.write_bytes(b"")
    session.close()
    assert is_same(Session.open(store, session.run_id), session)


def test_an_unknown_run_is_named(store: RunStore) -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        Session.open(store, "no-such-run")


def test_a_slider_is_an_event_with_old_and_new_value_and_takes_effect_at_the_next_step(
    session: Session, store: RunStore
) -> None:
    losses(session, 3)
    event = session.apply(SetTelemetry(lambda_K=0.5, s_floor=0.5), source="ui")
    assert (event.step, event.source, event.kind) == (3, "ui", "telemetry_changed")
    assert event.payload == {"changes": [{"field": "lambda_K", "old": 0.0, "new": 0.5}]}
    assert event in store.events(session.run_id)
    assert session.telemetry.lambda_K == 0.5


def test_lambda_k_changes_the_course_from_its_step_on_and_not_before(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    plain, steered = (
        Session.create(store, model=model_config, training=training_config, corpus=corpus) for _ in range(2)
    )
    before = losses(plain, 5), losses(steered, 5)
    steered.apply(SetTelemetry(lambda_K=1.0), source="cli")
    after = losses(plain, 5), losses(steered, 5)
    assert before[0] == before[1]
    assert after[0][0] == after[1][0], "the first loss after the change is of weights it has not moved yet"
    assert after[0][1:] != after[1][1:]
    assert steered.step().K > plain.step().K


@pytest.mark.parametrize("field", ["lambda_C", "lambda_S"])
def test_lambda_c_and_lambda_s_change_what_is_learned_from_the_next_step_on(
    session: Session, store: RunStore, field: str
) -> None:
    plain, steered = (
        Session.create(
            store,
            model=session.config.model,
            training=session.config.training,
            corpus=session.corpus,
            seed=session.config.seed,
        )
        for _ in range(2)
    )
    steered.apply(SetTelemetry(**{field: 0.5}), source="rest")
    ours, others = losses(plain, 3), losses(steered, 3)
    assert ours[0] == others[0]
    assert ours[1:] != others[1:]
    steered.apply(SetTelemetry(**{field: 0.0}), source="rest")
    assert steered.telemetry == plain.telemetry


def test_annealing_lowers_the_rate_and_says_when_it_is_done(session: Session, store: RunStore) -> None:
    losses(session, 5)
    session.apply(Anneal(steps=4), source="ui")
    rates = [event.learning_rate for event in islice(session, 6)]
    peak = session.config.training.learning_rate
    assert rates[0] == peak
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.01 * peak)
    finished = [event.step for event in store.events(session.run_id) if event.kind == "anneal_finished"]
    assert finished == [9]


def test_c_and_s_are_measured_when_due_and_when_asked(session: Session) -> None:
    events = [session.step(probe_now=index == 9) for index in range(17)]
    assert [event.step for event in events if event.C is not None] == [1, 2, 4, 8, 10, 16]
    assert all((event.C is None) == (event.S is None) for event in events)
    assert all(0.0 <= event.K <= 1.0 for event in events)
    assert [event.step for event in events if event.validation_bits_per_byte is not None] == [5, 10, 15]


def test_text_handed_over_is_what_the_step_trains_on_and_is_kept_by_its_hash(
    session: Session, store: RunStore
) -> None:
    text = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    first = session.step(text, source="rest")
    for _ in range(30):
        last = session.step(text)
    assert last.loss < first.loss / 2
    event = next(event for event in store.events(session.run_id) if event.kind == "steps_requested")
    assert store.data(event.payload["sha256"]) == text
    assert event.source == "rest"
    assert first.bytes_seen == len(text)


def test_no_text_at_all_is_refused(session: Session) -> None:
    with pytest.raises(ConfigError, match="at least one byte"):
        session.step(b"")


def test_a_loss_that_is_not_finite_halts_the_run_with_the_last_good_weights(
    session: Session, store: RunStore
) -> None:
    session.step()
    good = [parameter.detach().clone() for parameter in session.model.parameters()]
    broken = next(iter(session.model.parameters()))
    value = broken.detach().clone()
    with torch.no_grad():
        broken.fill_(float("nan"))
    with pytest.raises(HaltedError, match="lower learning rate"):
        session.step()
    with torch.no_grad():
        broken.copy_(value)
    assert session.step_count == 1
    assert all(torch.equal(a, b) for a, b in zip(good, session.model.parameters(), strict=True))
    assert store.events(session.run_id)[-1].kind == "nonfinite_alert"
    with pytest.raises(HaltedError):
        session.step()


def test_a_text_shorter_than_the_window_is_refused_before_anything_is_made(
    store: RunStore, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    with pytest.raises(CorpusError):
        Session.create(
            store, model=model_config, training=training_config, corpus=Corpus("short", b"too short")
        )
    assert store.runs() == []


@pytest.mark.parametrize(("patch_bits", "parity"), list(product([1, 8], [False, True])))
def test_every_layout_trains_and_is_probed(
    store: RunStore,
    corpus: Corpus,
    model_config: ModelConfig,
    training_config: TrainingConfig,
    patch_bits: int,
    *,
    parity: bool,
) -> None:
    config = replace(model_config, patch_bits=patch_bits, parity=parity, max_seq_len=144)
    session = Session.create(store, model=config, training=training_config, corpus=corpus)
    event = session.step(probe_now=True)
    assert event.bits_per_byte == pytest.approx(8.0, abs=0.3)
    assert event.bytes_seen == training_config.batch_size * config.window_bytes
