"""A branch whose model is larger than its parent's, and predicts the same where it begins."""

from dataclasses import asdict

from bitlm.growth import Growth, carry_over, grow, grown_config, receipt
from bitlm.randomness import counter_seed
from bitlm.session import RunRecord, RunStore
from bitlm.session.checkpoint import Checkpoint, encode_checkpoint
from bitlm.session.checkpoint_table import CheckpointRecord
from bitlm.session.records import GrowthReceipt
from bitlm.session.saved_model import saved_model
from bitlm.training import Trainer

MEASURED_BYTES = 2**16
"""Of held-out text that both models are measured on, if there are so many: some seconds."""


def enlarged(
    store: RunStore, run: RunRecord, record: CheckpointRecord, growth: Growth
) -> tuple[dict[str, bytes], GrowthReceipt]:
    """Return a checkpoint's files with the model grown and its optimizer carried over, and the receipt.

    What is new depends on the run's seed and the step alone, so that the same growth is the same bits.

    Args:
        store: Has the run.
        run: Whose model is smaller.
        record: Where it is to grow.
        growth: Which way.

    Raises:
        ConfigError: The new shape would be out of a setting's range.
        CorpusError: The text is too short for a longer window.
        CheckpointError: The checkpoint is damaged, or its weights are those that another version made.
    """
    config, checkpoint = run.config, store.checkpoints.load(record)
    model, corpus = saved_model(store, run, checkpoint)
    corpus.require_window(grown_config(config.model, growth).window_bytes)
    trainer = Trainer(model, config.training)
    trainer.optimizer.load_tensors(checkpoint.optimizer)
    grown = grow(model, growth, seed=counter_seed(config.seed, record.step, "growth"))
    carried = carry_over(trainer, grown)
    measured = asdict(receipt(model, grown, corpus.held_out[:MEASURED_BYTES]))
    weights, optimizer = dict(grown.state_dict()), carried.optimizer.tensors()
    files = encode_checkpoint(Checkpoint(weights, optimizer, checkpoint.state))
    return files, GrowthReceipt(by=growth, **measured)
