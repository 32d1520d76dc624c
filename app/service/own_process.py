"""One of our own commands in a process of its own, which yields to everybody else and says how far it is.

Threads and rounding modes of a process are shared, and nothing that goes on beside the live run may touch its
bits.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

NICENESS = 5
"""By how much it yields to training; 19 is the most."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; below 0 where it was killed.
        answer: What it said in JSON; None where it said nothing.
        complaint: The last sentence it said for people.
    """

    code: int
    answer: dict[str, Any] | None
    complaint: str


class OwnProcess:
    """`python -m bitlm …` with `--json` and `--progress`; any thread may end it, one thread reads it."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command; whoever calls has checked the rest
            [
                sys.executable, "-m", "bitlm", *arguments,
                "--json", "--progress", "--data-dir", str(data_dir.resolve()),
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        self._said = ""

    def progress(self) -> Iterator[dict[str, Any]]:
        """Yield each line of JSON that says how far it is, until it has said all."""
        assert self._process.stderr is not None, "it was asked for"
        for line in self._process.stderr:
            try:
                yield json.loads(line)
            except ValueError:
                self._said = line

    def ended(self) -> Ended:
        """Wait for its end, once `progress` has come to its own."""
        assert self._process.stdout is not None, "it was asked for"
        with self._process:
            found = self._process.stdout.read()
        complaint = self._said.removeprefix("error: ").strip()
        return Ended(self._process.returncode, json.loads(found) if found else None, complaint)

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it; whoever reads finds that it has."""
        self._process.kill()

    def close(self) -> None:
        """End it, if it has not yet, and let go of what it said."""
        with self._process:
            self._process.kill()
