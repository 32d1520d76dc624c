"""The program in this process: one of its own spends seconds on importing torch, each time.

That it also runs as a process of its own is tested where that matters: its help, and Ctrl-C.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import pytest
import typer

from bitlm.cli import main
from bitlm.cli.main import app
from bitlm.data import Corpus


@dataclass(frozen=True)
class Said:
    """What a command wrote."""

    stdout: str
    stderr: str


def bitlm(*arguments: str, code: int = 0) -> Said:
    """Run `python -m bitlm`, errors told as a user sees them, and check its exit code."""
    out, err = StringIO(), StringIO()
    with (
        patch.object(sys, "argv", ["bitlm", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    said = Said(out.getvalue(), err.getvalue())
    assert (ended.value.code or 0) == code, said.stderr + said.stdout
    return said


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command, those of groups among them, by the words that call it."""

    def below(group: Any, before: str) -> Iterator[tuple[str, click.Command]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, f"{before}{name} ")
            else:
                yield f"{before}{name}", command

    yield from below(typer.main.get_command(app), "")


def trained(folder: Path, *options: str) -> tuple[str, str]:
    """Train a tiny run on thirty kilobytes of real text; return the options that name its folder."""
    text = folder / "text.txt"
    text.write_bytes(Corpus.embedded().data[:30_000])
    where = ("--data-dir", str(folder))
    bitlm("train", "--corpus", str(text), "--size", "tiny", *options, *where)
    return where


def answer_of(*arguments: str, code: int = 0) -> Any:
    """Run a command that answers in JSON; what it says is its last line."""
    return json.loads(bitlm(*arguments, "--json", code=code).stdout.splitlines()[-1])
