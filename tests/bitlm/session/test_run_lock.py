from pathlib import Path

import pytest

from bitlm.errors import RunBusyError
from bitlm.session.run_lock import RunLock


def test_a_run_has_one_writer_until_it_lets_go(tmp_path: Path) -> None:
    first = RunLock(tmp_path / "run")
    with pytest.raises(RunBusyError, match="run"):
        RunLock(tmp_path / "run")
    first.release()
    second = RunLock(tmp_path / "run")
    first.release()
    with pytest.raises(RunBusyError):
        RunLock(tmp_path / "run")
    second.release()


def test_a_lock_that_nothing_refers_to_is_let_go(tmp_path: Path) -> None:
    RunLock(tmp_path / "run")
    RunLock(tmp_path / "run").release()


def test_another_run_can_be_written_meanwhile(tmp_path: Path) -> None:
    one, other = RunLock(tmp_path / "one"), RunLock(tmp_path / "other")
    one.release()
    other.release()
