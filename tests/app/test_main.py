import logging
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from selectors import DefaultSelector

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn

from app.__main__ import check_makeable
from app.logs import WorkerKilled
from app.server import GracefulWorker, Server, about_tokens
from app.settings import Settings
from bitlm.session.schema import MIGRATIONS
from tests.conftest import ROOT


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_data_folder_that_cannot_be_made_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = start(BITLM_DATA_DIR=str(tmp_path / "file" / "data"))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"error: {tmp_path / 'file' / 'data'} cannot hold runs: {tmp_path / 'file'}: Not a directory; "
        "choose another folder with BITLM_DATA_DIR.\n"
    )


def test_a_data_folder_where_only_the_system_makes_files_is_refused_too() -> None:
    with pytest.raises(OSError, match="No such file or directory: '/proc'"):
        check_makeable(Path("/proc/x/data"))


def test_a_data_folder_that_can_be_made_is_left_to_be_made(tmp_path: Path) -> None:
    check_makeable(tmp_path / "some" / "where")
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_said_at_a_terminal_alone_and_only_while_it_is_new() -> None:
    address, file = "http://127.0.0.1:5000/?token=new", Path("/data/tokens.json")
    told = "Tokens are asked for: /data/tokens.json has them."
    assert about_tokens(address, file, at_terminal=True) == [
        f"Open {address} to come in; this is said once.", told,
    ]  # fmt: skip
    assert about_tokens(address, file, at_terminal=False) == [told]
    assert about_tokens(None, file, at_terminal=True) == [told]


def test_every_wrong_setting_is_a_sentence_with_its_name_its_value_and_the_fix() -> None:
    ended = start(
        BITLM_HOST="lab.example",
        BITLM_PORT="abc",
        BITLM_ALLOWED_HOSTS='["lab.example"]',
        BITLM_REDIS_URL="http://:secret@lab",
        BITLM_LOG_LEVEL="loud",
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        (
            "error: BITLM_HOST='lab.example': use an address of this machine, such as 127.0.0.1. "
            "Other names that it is called by go into BITLM_ALLOWED_HOSTS"
        ),
        "error: BITLM_PORT='abc': use a whole number from 1 to 65535.",
        "error: BITLM_ALLOWED_HOSTS[0]='lab.example': write it like localhost:8080.",
        "error: BITLM_REDIS_URL: write it like redis://localhost:6379.",
        "error: BITLM_LOG_LEVEL='loud': use 'debug', 'info', 'warning' or 'error'.",
    ]


def test_a_list_that_is_no_json_is_a_sentence() -> None:
    ended = start(BITLM_ALLOWED_HOSTS="lab.example:80")
    assert ended.returncode == 2
    assert "is a JSON list, such as" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_folder_of_a_newer_version_is_one_sentence_and_no_stack_trace(tmp_path: Path) -> None:
    newer = sqlite3.connect(tmp_path / "bitlm.sqlite3")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    ended = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env=os.environ | {"BITLM_DATA_DIR": str(tmp_path), "BITLM_PORT": "5987"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode != 0
    assert "error: " in ended.stderr
    assert f"has layout 99 and this BitLM knows layouts up to {len(MIGRATIONS)}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_of_a_killed_process_the_log_says_what_is_known() -> None:
    message = "Worker (pid:%s) was sent %s! Perhaps out of memory?"
    record = logging.LogRecord("gunicorn.error", logging.ERROR, "", 1, message, (7, "SIGKILL"), None)
    assert WorkerKilled().filter(record)
    assert record.getMessage().startswith(
        "The serving process 7 was ended by SIGKILL, by somebody or for want"
    )


def test_a_connection_on_which_nothing_was_asked_takes_no_thread_and_does_not_hold_up_the_end() -> None:
    config = Config()
    worker = GracefulWorker(1, os.getpid(), [], Server(Settings()), 30, config, Logger(config))
    worker.poller = DefaultSelector()
    ours, theirs = socket.socketpair()
    worker.nr_conns = 1
    worker.enqueue_req(TConn(config, ours, "", ""))
    assert worker.tpool is None
    worker.hang_up()
    assert (worker.nr_conns, len(worker.poller.get_map())) == (0, 0)
    assert theirs.recv(1) == b""
    worker.poller.close()
    worker.tmp.close()
    theirs.close()
