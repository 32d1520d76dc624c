import fcntl
import os
import time
from pathlib import Path

import pytest

from bitlm.errors import RunBusyError
from bitlm.session.run_lock import RunLock, holder


def test_a_run_has_one_writer_until_it_lets_go(tmp_path: Path) -> None:
    first = RunLock(tmp_path / "run")
    named = rf"run 'run' is open in another process, .+ \(process {os.getpid()}\); end it there"
    with pytest.raises(RunBusyError, match=named):
        RunLock(tmp_path / "run")
    first.release()
    second = RunLock(tmp_path / "run")
    first.release()
    (tmp_path / "run" / "lock").write_text("")  # as on a full disk
    with pytest.raises(RunBusyError, match="another process, a dashboard or a training; end it there"):
        RunLock(tmp_path / "run")
    second.release()


def test_a_lock_that_nothing_refers_to_is_let_go(tmp_path: Path) -> None:
    RunLock(tmp_path / "run")
    RunLock(tmp_path / "run").release()


def test_another_run_can_be_written_meanwhile(tmp_path: Path) -> None:
    one, other = RunLock(tmp_path / "one"), RunLock(tmp_path / "other")
    one.release()
    other.release()


def test_a_look_says_who_writes_a_run_and_keeps_nobody_from_it(tmp_path: Path) -> None:
    assert holder(tmp_path / "run") is None
    lock = RunLock(tmp_path / "run")
    said = holder(tmp_path / "run")
    assert said is not None
    assert said.endswith(f"(process {os.getpid()})")
    lock.release()
    assert holder(tmp_path / "run") is None
    RunLock(tmp_path / "run").release()


def test_a_look_at_the_very_moment_of_opening_makes_nobody_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunLock(tmp_path / "run").release()
    looking = os.open(tmp_path / "run" / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(looking))
    RunLock(tmp_path / "run").release()
