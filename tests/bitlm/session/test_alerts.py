from itertools import islice

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import HaltedError, MetricDriftWarning
from bitlm.history.branching import roll_back
from bitlm.history.narration import branch_of
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import AlertAction, Event, RunStore, Session, SetAlertAction, SetTelemetry
from bitlm.session.drift_monitor import DriftMonitor
from bitlm.session.events import EventKind
from bitlm.training import TrainingConfig

pytestmark = pytest.mark.filterwarnings("ignore::bitlm.errors.MetricDriftWarning")

WINDOW = 4
"""So short that the level rule takes it for a drift when λ_K draws K up."""


@pytest.fixture
def quick(training_config: TrainingConfig) -> TrainingConfig:
    return TrainingConfig(**{**vars(training_config), "learning_rate": 0.02, "warmup_steps": 0})


@pytest.fixture
def session(store: RunStore, corpus: Corpus, model_config: ModelConfig, quick: TrainingConfig) -> Session:
    made = Session.create(store, model=model_config, training=quick, corpus=corpus, seed=1)
    made._drift = DriftMonitor(window=WINDOW)
    return made


def told(session: Session, *kinds: EventKind) -> list[Event]:
    return session.store.all_events(session.run_id, kinds=kinds)


def train_to_alert(session: Session, action: AlertAction) -> Event:
    session.apply(SetAlertAction(action=action), source="rest")
    session.apply(SetTelemetry(lambda_K=1.0), source="rest")
    for _ in islice(session, 60):
        alerts = told(session, "drift_alert")
        if alerts:
            return alerts[0]
    pytest.fail("no alert within 60 steps")


def break_weights(session: Session) -> torch.Tensor:
    broken = next(iter(session.model.parameters()))
    before = broken.detach().clone()
    with torch.no_grad():
        broken.fill_(float("nan"))
    return before


def test_by_itself_an_alert_only_says_so(session: Session) -> None:
    assert session.alert_action == "notify"
    alert = train_to_alert(session, "notify")
    assert alert.payload["action"] == "notify"
    assert session.interruption is None
    assert told(session, "anneal_started") == []


@pytest.mark.parametrize("action", ["pause", "rollback"])
def test_an_alert_may_interrupt_whoever_drives_the_run_until_the_next_step(
    session: Session, action: AlertAction
) -> None:
    alert = train_to_alert(session, action)
    assert session.interruption is not None
    assert (session.interruption.action, session.interruption.since) == (action, alert.payload["since"])
    assert session.interruption.reason == "drift alert of K"
    session.step()
    assert session.interruption is None


def test_an_alert_may_let_the_learning_rate_fall_and_a_replay_comes_out_the_same(session: Session) -> None:
    alert = train_to_alert(session, "anneal")
    (anneal,) = told(session, "anneal_started")
    assert (anneal.step, anneal.source) == (alert.step, "session")
    assert anneal.payload == {
        "steps": 500,
        "from_learning_rate": 0.02,
        "cause": {"kind": "drift_alert", "metric": "K"},
    }
    list(islice(session, 30))
    assert len(told(session, "anneal_started")) == 1, "what falls already is not let fall again"
    assert session.learning_rate < 0.02
    session.checkpoint()
    session.close()
    assert Replay(session.store, session.run_id).all().same


def test_what_alerts_lead_to_outlives_the_process_and_is_in_checkpoints(session: Session) -> None:
    session.apply(SetAlertAction(action="pause"), source="ui")
    session.close()
    again = Session.open(session.store, session.run_id)
    assert again.alert_action == "pause"
    again.checkpoint()
    again.close()
    assert Session.open(session.store, session.run_id).alert_action == "pause"
    (change,) = told(session, "alert_action_changed")
    assert (change.payload, change.source) == ({"old": "notify", "new": "pause"}, "ui")


def test_a_rollback_is_a_branch_from_before_the_trouble_that_learns_half_as_fast(session: Session) -> None:
    alert = train_to_alert(session, "rollback")
    session.save()
    session.close()
    assert session.interruption is not None
    branch = Session.open(
        session.store,
        roll_back(session.store, session.run_id, since=session.interruption.since, source="session"),
    )
    assert branch.step_count <= alert.payload["since"] < alert.step
    assert branch.config.training.learning_rate == session.config.training.learning_rate / 2
    assert branch.config.training.matrix_learning_rate == session.config.training.matrix_learning_rate / 2
    assert branch.alert_action == "pause"
    origin = branch.store.run(branch.run_id).origin
    assert origin is not None
    assert branch_of(origin) == f"rollback of {session.run_id} at step {branch.step_count}"
    branch.step()
    branch.checkpoint()
    branch.close()
    assert Replay(session.store, branch.run_id).all().same


def test_a_step_that_is_not_finite_asks_for_a_rollback_where_alerts_lead_to_one(session: Session) -> None:
    session.apply(SetAlertAction(action="rollback"), source="rest")
    list(islice(session, 3))
    break_weights(session)
    with pytest.raises(
        HaltedError, match=r"step 4 failed.*last good state is that of step 3; roll the run back"
    ):
        session.step()
    assert session.interruption is not None
    assert (session.interruption.action, session.interruption.since) == ("rollback", 3)
    assert told(session, "nonfinite_alert")[0].payload["action"] == "rollback"


def test_a_model_that_cannot_be_looked_at_any_more_halts_and_is_not_saved(session: Session) -> None:
    list(islice(session, 3))
    update = session._learner.update

    def update_and_break() -> object:
        done = update()
        break_weights(session)
        return done

    session._learner.update = update_and_break  # type: ignore[method-assign, assignment] # a fault between
    with pytest.raises(HaltedError, match=r"step 4 failed.*last good state is that of step 3"):
        session.step(probe_now=True)
    session.save()
    with pytest.raises(HaltedError):
        session.checkpoint()
    session.close()
    assert [record.step for record in session.store.checkpoints.of(session.run_id)] == [0]


def test_a_twin_only_says_so_while_it_repeats_its_original(session: Session) -> None:
    with pytest.warns(MetricDriftWarning):
        train_to_alert(session, "pause")
    assert not session.is_repeating
    session._plan.ends_at = session.step_count + 1
    assert session.is_repeating
