"""What other compressors reach on the run's text, computed aside while training already goes on."""

from collections.abc import Callable
from threading import Thread

import structlog

from bitlm.baselines import baselines
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel

GRACE_S = 1.0
"""How long stopping waits for a comparison under way; it is done again at the next start."""


class Comparison:
    """One comparison at a time in a thread of its own."""

    def __init__(self, *, done: Callable[[str, dict[str, float]], None]) -> None:
        """Report results to `done`, by the key that they were asked with, in the comparison's thread."""
        self._done = done
        self._thread: Thread | None = None
        self._log = structlog.get_logger("bitlm.comparison")

    def start(self, key: str, corpus: Corpus, reference: ReferenceModel) -> None:
        """Begin to compute the baselines of the text."""
        arguments = (key, corpus, reference)
        self._thread = Thread(target=self._compute, args=arguments, name="bitlm-comparison", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the comparison under way, but not for long."""
        if self._thread is not None:
            self._thread.join(GRACE_S)

    def _compute(self, key: str, corpus: Corpus, reference: ReferenceModel) -> None:
        try:
            values = baselines(corpus, reference)
        except Exception:  # noqa: BLE001 - logged; the chart goes without these lines and training goes on
            self._log.exception("baselines_failed", corpus=corpus.name)
        else:
            self._done(key, values)
