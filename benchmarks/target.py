"""The real service as fuzz, load and soak see it: asked from outside, its process looked at from outside."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.service_latency import START_DEADLINE_S, Service, wait_until
from bitlm.data import Corpus

TINY = {
    "d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 256, "batch_size": 2,
}  # fmt: skip
TEXT_BYTES = 20_000
PLOTLY = f"/static-vendor/plotly-{version('plotly')}.min.js"
"""The largest file of the page: 4.8 MB for who does not take it gzipped."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Target(Service):
    """A running server whose serving process can be looked at.

    Attributes:
        address: What a socket connects to.
        data_dir: Its folder of runs.
        log: File with what it wrote to stderr.
    """

    def __init__(self, address: tuple[str, int], folder: Path, process: subprocess.Popen[bytes]) -> None:
        super().__init__(f"http://{address[0]}:{address[1]}")
        self.address = address
        self.data_dir, self.log = folder / "data", folder / "log"
        self.texts = folder / "texts"
        self._process = process

    @property
    def worker(self) -> int:
        """Process id of what serves; another one after it died."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return int(children.split()[0])

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return self._status("Threads")

    @property
    def resident_bytes(self) -> int:
        """Memory that it holds."""
        return 1024 * self._status("VmRSS")

    @property
    def processor_s(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def complaints(self) -> list[str]:
        """Return the lines of its log that tell of an error; a line that is no JSON is one, too."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if _level(line) in {"error", "critical", "none"}]

    def make_run(self, **settings: Any) -> str:
        """Make a tiny run on a short text, and return its id."""
        text = Corpus.embedded().data[:TEXT_BYTES]
        self.texts.mkdir(exist_ok=True)
        (self.texts / "topics.txt").write_bytes(text)
        corpus = str(self.texts / "topics.txt")
        return str(self.call("/init", {**TINY, "corpus": corpus, **settings})["run_id"])

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.worker}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:"))


@contextmanager
def target(**environment: str) -> Iterator[Target]:
    """Start `python -m app` on a free port with a folder of its own, and stop it in the end.

    It may read no texts but those in its folder, and computes with one thread.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address: tuple[str, int] = probe.getsockname()
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours = {
            "BITLM_PORT": str(address[1]),
            "BITLM_DATA_DIR": str(folder / "data"),
            "BITLM_CORPUS_ROOTS": json.dumps([str(folder / "texts")]),
            "BITLM_TORCH_THREADS": "1",
            "BITLM_REQUESTS_PER_S": "1000000",
        }
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "app"]
            process = subprocess.Popen(
                command, env=os.environ | ours | environment, stdout=subprocess.DEVNULL, stderr=log
            )
        try:
            service = Target(address, folder, process)
            wait_until(service.is_up, START_DEADLINE_S)
            yield service
        finally:
            process.terminate()
            process.wait(START_DEADLINE_S)


def _level(line: str) -> str:
    try:
        return str(json.loads(line)["level"])
    except (ValueError, KeyError, TypeError):
        return "none"
