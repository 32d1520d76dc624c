"""The commands in this process, and a data folder with a run that was told something."""

from collections.abc import Callable
from itertools import islice

import pytest
from typer.testing import CliRunner, Result

from bitlm.cli.main import app
from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session, SetTelemetry
from bitlm.training import TrainingConfig

Say = Callable[..., Result]


@pytest.fixture
def say(store: RunStore) -> Say:
    """Run a command on the store's folder; an error of the user's is raised."""

    def run(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, [*arguments, "--data-dir", str(store.data_dir)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def made(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Callable[[], str]:
    """Makes a run of 8 steps that was told of λK at step 4 by the page, with checkpoints at 0 and 8."""

    def make() -> str:
        run = Session.create(store, model=model_config, training=training_config, corpus=corpus, seed=1)
        list(islice(run, 4))
        run.apply(SetTelemetry(lambda_K=0.3), source="ui")
        list(islice(run, 4))
        run.save()
        run.close()
        return run.run_id

    return make
