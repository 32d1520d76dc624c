"""Files made small by a run's model and given back, each in a process of its own while training goes on."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Literal

import structlog

from app.service.answers import Answered
from app.service.errors import FileCodingError, StateConflictError
from app.service.own_process import OwnProcess
from bitlm.compression import read_header

SUFFIX = ".bitlm"
PLAIN, CODED = "original", f"original{SUFFIX}"
"""What the two files are called where the process finds them; a name from a request is never a path."""


class CodingProgress(Answered):
    """How many bytes of the original are done."""

    kind: Literal["progress"] = "progress"
    done_bytes: int
    bytes: int


class CodedFile(Answered):
    """The last line: what became of the file.

    Attributes:
        run_id: Whose model it is coded with.
        step: At which checkpoint.
        name: What the file that comes is called.
        bytes: Of the original.
        compressed_bytes: Of the file that `bitlm decompress` gives it back from.
        bits_per_byte: Of the original, everything counted; None where it is empty.
        seconds: What coding took.
        alone_bytes: What gzip, bzip2 and xz make of the original; None where it was given back.
        data: The file that comes, in base64.
    """

    kind: Literal["answer"] = "answer"
    run_id: str
    step: int
    name: str
    bytes: int
    compressed_bytes: int
    bits_per_byte: float | None
    seconds: float
    alone_bytes: dict[str, int] | None
    data: str


class Coding:
    """One file on its way; its lines are read by one thread, and whoever holds it closes it."""

    def __init__(self, data_dir: Path, verb: str, name: str, data: bytes, arguments: Sequence[str]) -> None:
        self._name = name
        self._folder = TemporaryDirectory(prefix="bitlm-")
        source, target = (PLAIN, CODED) if verb == "compress" else (CODED, PLAIN)
        self._target = Path(self._folder.name, target)
        Path(self._folder.name, source).write_bytes(data)
        self._process = OwnProcess(
            data_dir, verb, str(Path(self._folder.name, source)), "--output", str(self._target), *arguments
        )

    def __iter__(self) -> Iterator[CodingProgress | CodedFile]:
        """Yield how far it is, and what came of it last.

        Raises:
            FileCodingError: The file cannot be coded, or not be given back.
            StateConflictError: The service was stopped meanwhile.
        """
        for reached in self._process.progress():
            yield CodingProgress(done_bytes=reached["done"], bytes=reached["total"])
        ended = self._process.ended()
        if ended.code < 0:
            raise StateConflictError("the service was stopped meanwhile; send the file again.")
        if ended.code or ended.answer is None:
            raise FileCodingError(ended.complaint)
        yield self._answer(ended.answer)

    def close(self) -> None:
        """Code no further, and leave nothing behind."""
        self._process.close()
        self._folder.cleanup()

    def kill(self) -> None:
        """Let whoever reads the lines find that it has ended."""
        self._process.kill()

    def _answer(self, result: dict[str, Any]) -> CodedFile:
        told = {field: value for field, value in result.items() if field in CodedFile.model_fields}
        data = b64encode(self._target.read_bytes()).decode()
        answer = CodedFile(**{"alone_bytes": None, **told}, name=self._name, data=data)
        log = structlog.get_logger("bitlm.coding")
        log.info("file_coded", **answer.model_dump(exclude={"kind", "name", "data"}))
        return answer


class Coder:
    """Codes one file at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = Lock()
        self._coding: Coding | None = None

    def compress(self, run_id: str, step: int, name: str, data: bytes) -> Coding:
        """Begin to make a file small with a run's model of that step.

        Raises:
            StateConflictError: Another file is being coded.
        """
        return self._begin("compress", name + SUFFIX, data, ["--run", run_id, "--checkpoint", str(step)])

    def decompress(self, name: str, data: bytes) -> Coding:
        """Begin to give a file back, with the model that it names.

        Raises:
            CompressionError: It is none of ours, which to find out takes no process.
            StateConflictError: Another file is being coded.
        """
        read_header(BytesIO(data))
        return self._begin("decompress", name.removesuffix(SUFFIX) or PLAIN, data, [])

    def require_idle(self) -> None:
        """Check that no file is being coded.

        Raises:
            StateConflictError: One is.
        """
        if self._coding is not None:
            raise StateConflictError("another file is being coded; one is done at a time.")

    def end(self, coding: Coding) -> None:
        """Let go of a file, whether it is done or not."""
        coding.close()
        with self._lock:
            if self._coding is coding:
                self._coding = None

    def close(self) -> None:
        """Leave the file at hand undone."""
        with self._lock:
            if self._coding is not None:
                self._coding.kill()

    def _begin(self, verb: str, name: str, data: bytes, arguments: Sequence[str]) -> Coding:
        with self._lock:
            self.require_idle()
            self._coding = Coding(self._data_dir, verb, name, data, arguments)
            return self._coding
