"""One writer a run: an advisory lock that dies with the process that holds it."""

import fcntl
import os
import weakref
from pathlib import Path

from bitlm.errors import RunBusyError
from bitlm.session.durability import make_folder, sync_folder


class RunLock:
    """Held until `release`, or until nothing refers to it, or until the process ends, however it ends.

    Raises:
        RunBusyError: Another process, or another session of this one, is writing the run.
    """

    def __init__(self, run_dir: Path) -> None:
        make_folder(run_dir)
        descriptor = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        self._release = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._release()
            raise RunBusyError(run_dir.name) from error
        for folder in (run_dir.parent, run_dir):
            sync_folder(folder)  # whoever held it before may have died before it did

    def release(self) -> None:
        """Let others write; once is enough, twice does no harm."""
        self._release()
