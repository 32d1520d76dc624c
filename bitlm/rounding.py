"""What model files in fewer bits a weight take, and what they cost."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict

from bitlm.model_file import Provenance, RoundingReceipt, save_model
from bitlm.quantisation import PRECISIONS, Precision
from bitlm.session import Session


class RoundedFile(BaseModel):
    """What a model file in fewer bits takes, and what they cost.

    Attributes:
        precision: What its weights are kept as.
        bytes: Of the file.
        share: Of the bytes of the same file in float32.
        receipt: What keeping the weights so changes.
    """

    model_config = ConfigDict(frozen=True)

    precision: Precision
    bytes: int
    share: float
    receipt: RoundingReceipt


def rounded_files(session: Session, measured_bytes: int) -> Iterator[RoundedFile]:
    """Yield what files of a session's model in eight and in four bits a weight are; none is kept.

    Args:
        session: Its model, and its text to measure on.
        measured_bytes: Of held-out text, the most to measure on.

    Raises:
        StorageFullError: Such a file did not fit where temporary files are.
    """
    origin, whole = Provenance.of(session), 0
    with TemporaryDirectory(prefix="bitlm-") as folder:
        path = Path(folder) / "model"
        for precision in PRECISIONS:
            receipt = None
            if precision != "float32":
                receipt = RoundingReceipt.of(
                    session.model, precision, session.corpus.held_out[:measured_bytes]
                )
            save_model(session.model, path, precision=precision, provenance=origin, receipt=receipt)
            size = path.stat().st_size
            whole = whole or size
            if receipt is not None:
                yield RoundedFile(precision=precision, bytes=size, share=size / whole, receipt=receipt)
