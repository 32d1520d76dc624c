"""A run's reference model on the disk: a function of its text, kept to save the time of counting it."""

from pathlib import Path

from bitlm.data import Corpus
from bitlm.errors import CheckpointError
from bitlm.reference import ReferenceModel
from bitlm.session.config import RunConfig
from bitlm.session.durability import sync_file

REFERENCE_FILE = "reference.safetensors"


def fit_reference(corpus: Corpus, config: RunConfig) -> ReferenceModel:
    """Count the run's training text."""
    return ReferenceModel.fit(corpus.train, most_bytes=config.training.reference_bytes)


def write_reference(run_dir: Path, reference: ReferenceModel) -> None:
    """Bring a reference model to the disk."""
    reference.save(run_dir / REFERENCE_FILE)
    sync_file(run_dir / REFERENCE_FILE)


def read_reference(run_dir: Path, corpus: Corpus, config: RunConfig) -> ReferenceModel:
    """Return what was written; count the text again if the file is damaged or of an older layout.

    The counts are the same then, to the last one: the text is checked by its hash, the file by its own.
    """
    try:
        return ReferenceModel.load(run_dir / REFERENCE_FILE)
    except CheckpointError:
        return fit_reference(corpus, config)
