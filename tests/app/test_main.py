import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from bitlm.session.schema import MIGRATIONS
from tests.conftest import ROOT


def test_a_data_folder_that_cannot_be_made_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env=os.environ | {"BITLM_DATA_DIR": str(tmp_path / "file" / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        f"error: {tmp_path / 'file'}: Not a directory; "
        "end what uses it, or choose another with BITLM_PORT or BITLM_DATA_DIR.\n"
    )


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
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "error: " in ended.stderr
    assert f"has layout 99 and this BitLM knows layouts up to {len(MIGRATIONS)}" in ended.stderr
    assert "Traceback" not in ended.stderr
