"""A run's model as a checkpoint keeps it, without what trains it."""

from bitlm.data import Corpus
from bitlm.model import BitTransformer
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.learner import require_fitting
from bitlm.session.records import RunRecord
from bitlm.session.reference_file import read_reference
from bitlm.session.store import RunStore


def saved_model(store: RunStore, run: RunRecord, checkpoint: Checkpoint) -> tuple[BitTransformer, Corpus]:
    """Return a run's model as it was at a checkpoint, in evaluation mode, and the run's text.

    Unlike `Session.open` it leaves alone how many threads torch computes with, which all of a process
    share: so it may be called while another run is trained.

    Raises:
        CheckpointError: The weights are those of a model that another version made.
        CorpusError: The text is missing or was changed.
    """
    config = run.config
    corpus = Corpus(config.corpus, store.data(config.corpus_fingerprint))
    model = BitTransformer(config.model)
    require_fitting(checkpoint.weights, model, config.version)
    model.load_state_dict(checkpoint.weights)
    model.reference = read_reference(store.run_dir(run.run_id), corpus, config)
    return model.eval(), corpus
