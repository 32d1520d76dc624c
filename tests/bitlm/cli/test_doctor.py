import socket
import sqlite3
from pathlib import Path

import pytest
import torch

from bitlm.cli import doctor
from bitlm.session import RunStore
from tests.bitlm.cli.program import answer_of, bitlm


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    RunStore(tmp_path).close()
    return tmp_path / RunStore.FILE_NAME


def port_in_use() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


def test_each_look_says_what_there_is_and_a_port_in_use_has_a_fix_and_exit_code_1(store_file: Path) -> None:
    before = store_file.read_bytes()
    with port_in_use() as listening:
        where = ("--data-dir", str(store_file.parent), "--port", str(listening.getsockname()[1]))
        told = answer_of("doctor", *where, code=1)
        printed = bitlm("doctor", *where, code=1).stdout
    found = {finding["about"]: finding for finding in told["findings"]}
    wrong = [name for name, finding in found.items() if finding["fix"] is not None]
    assert "port" in wrong
    assert not told["is_well"]
    assert set(wrong) <= {"port", "compiled functions"}  # of a fresh checkout
    assert found["runs"]["found"] == "0 runs, the store is sound"
    assert "GFLOP/s" in found["speed"]["found"]
    assert "WRONG port: 127.0.0.1:" in printed
    assert "fix: end what uses it" in printed
    assert store_file.read_bytes() == before


def test_a_store_that_is_damaged_newer_or_none_is_told(store_file: Path) -> None:
    written = sqlite3.connect(store_file)
    written.execute("PRAGMA user_version = 99")
    written.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    written.close()
    assert "has layout 99 of a newer BitLM" in doctor.runs(store_file.parent, "runs").found
    whole = store_file.read_bytes()
    store_file.write_bytes(whole[: len(whole) // 2])
    damaged = doctor.runs(store_file.parent, "runs")
    assert damaged.fix is not None
    store_file.write_bytes(b"no database" * 100)
    assert "cannot be read" in doctor.runs(store_file.parent, "runs").found
    assert "none in" in doctor.runs(store_file.parent / "elsewhere", "runs").found
    assert not (store_file.parent / "elsewhere").exists()


def test_another_version_of_a_package_is_told_with_the_command_that_mends_it() -> None:
    assert {"torch", "flask", "flask-socketio"} <= doctor.pinned().keys()
    found = doctor.packages({"torch": "0.1", "numpy": "1.0"}, "packages")
    assert "torch is " in found.found
    assert found.fix == "python -m pip install torch==0.1 numpy==1.0"


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = doctor.disk(tmp_path / "file" / "runs", "disk")
    assert f"{tmp_path / 'file'} cannot be written in" in found.found
    assert found.fix is not None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_whether_several_processes_could_talk_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.several_processes("several processes").fix is None
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "none-such")
    found = doctor.several_processes("several processes")
    assert "none-such" in found.found
    assert found.fix is not None
    assert not torch.distributed.is_initialized()
