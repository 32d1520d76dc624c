"""What `bitlm train` does where an alert asks it not to simply go on."""

import pytest
import torch
from rich.console import Console

from bitlm.cli.progress import Plan
from bitlm.cli.train import _train_to_end
from bitlm.data import Corpus
from bitlm.errors import HaltedError
from bitlm.model import ModelConfig
from bitlm.session import AlertAction, RunStore, Session, SetAlertAction, SetTelemetry
from bitlm.session.drift_monitor import DriftMonitor
from bitlm.training import TrainingConfig

pytestmark = pytest.mark.filterwarnings("ignore::bitlm.errors.MetricDriftWarning")

STEPS = 40
QUIET = Console(quiet=True)


@pytest.fixture
def session(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Session:
    """A run in which λ_K draws K up far enough for an alert."""
    training = TrainingConfig(**{**vars(training_config), "learning_rate": 0.02, "warmup_steps": 0})
    made = Session.create(store, model=model_config, training=training, corpus=corpus, seed=1)
    made._drift = DriftMonitor(window=4)
    made.apply(SetTelemetry(lambda_K=1.0), source="cli")
    return made


def train(session: Session, action: AlertAction) -> Session:
    session.apply(SetAlertAction(action=action), source="cli")
    return _train_to_end(session, Plan(STEPS, None), QUIET)[0]


def test_an_alert_that_pauses_ends_the_training_there(session: Session) -> None:
    ended = train(session, "pause")
    assert ended is session
    assert ended.step_count < STEPS
    (paused,) = ended.store.all_events(ended.run_id, kinds=("training_paused",))
    assert paused.payload["reason"] == "drift alert of K"


def test_a_rollback_is_followed_and_the_branch_trained_to_the_end_of_the_plan(session: Session) -> None:
    ended = train(session, "rollback")
    assert ended.run_id != session.run_id
    assert ended.step_count == STEPS
    assert ended.config.training.learning_rate == 0.01


def test_a_run_that_halts_is_an_error_unless_alerts_lead_to_a_rollback(session: Session) -> None:
    with torch.no_grad():
        next(session.model.parameters()).fill_(float("nan"))
    with pytest.raises(HaltedError, match="roll the run back"):
        train(session, "notify")


def test_a_run_that_halts_goes_on_in_a_branch_where_alerts_lead_to_a_rollback(session: Session) -> None:
    with torch.no_grad():
        next(session.model.parameters()).fill_(float("nan"))
    ended = train(session, "rollback")
    assert (ended.run_id != session.run_id, ended.step_count) == (True, STEPS)
