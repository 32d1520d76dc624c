"""One writer a run: an advisory lock that dies with the process that holds it."""

import fcntl
import os
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

from bitlm.errors import RunBusyError
from bitlm.session.durability import make_folder, sync_folder

FILE_NAME = "lock"
"""In the run's folder; other locks of a run have names of their own."""
LOOK_S = 0.05
"""How long to wait for one who only looks whether a run is being written: a look takes microseconds."""
LONGEST_NAME = 200
"""Bytes of the lock that are taken for its holder's name."""


class RunLock:
    """Held until `release`, or until nothing refers to it, or until the process ends, however it ends.

    Raises:
        RunBusyError: Another process, or another session of this one, holds it: is writing the run.
    """

    def __init__(self, run_dir: Path, name: str = FILE_NAME) -> None:
        make_folder(run_dir)
        descriptor = os.open(run_dir / name, os.O_RDWR | os.O_CREAT, 0o644)
        self._release = weakref.finalize(self, os.close, descriptor)
        if not _is_taken(descriptor):
            time.sleep(LOOK_S)
            if not _is_taken(descriptor):
                writer = _name_in(descriptor) or "a dashboard or a training"
                self._release()
                raise RunBusyError(run_dir.name, writer)
        with suppress(OSError):  # a full disk must keep nobody from deleting a run; it is then held unnamed
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, own_name().encode(), 0)
        for folder in (run_dir.parent, run_dir):
            sync_folder(folder)  # whoever held it before may have died before it did

    def release(self) -> None:
        """Let others write; once is enough, twice does no harm."""
        self._release()


def holder(run_dir: Path, name: str = FILE_NAME) -> str | None:
    """Return who is writing a run, such as "bitlm train (process 4711)", or None where nobody is.

    To look is to hold the lock, shared, for a moment.
    """
    try:
        descriptor = os.open(run_dir / name, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _name_in(descriptor) or "another process"
    else:
        return None
    finally:
        os.close(descriptor)


def own_name() -> str:
    """Return what this process is called by those who watch: its program, its command, its number."""
    script = Path(sys.argv[0])
    program = script.parent.name if script.stem == "__main__" else script.name
    words = [program, *(word for word in sys.argv[1:2] if word.isalpha())]
    return f"{' '.join(words)} (process {os.getpid()})"


def _name_in(descriptor: int) -> str:
    """Return what whoever holds a lock wrote into it; nothing where that did not fit on the disk."""
    return os.pread(descriptor, LONGEST_NAME, 0).decode(errors="replace")


def _is_taken(descriptor: int) -> bool:
    """Take the lock, if it is nobody's; return whether it is ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
