"""A capsule: one file with all that a run is a function of, and the hashes it came to.

A zip whose members are listed, with size and SHA-256, in its `manifest.json`; its comment is the seal,
the SHA-256 of everything before it. The same run gives the same bytes. Seal and hashes tell damage, not
forgery: whoever changes a capsule on purpose can seal it anew, but not make its journal lead to other hashes.
"""

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import torch
from pydantic import BaseModel, ConfigDict, Field

from bitlm.data import pieces
from bitlm.errors import CheckpointError
from bitlm.history.aside import written_aside
from bitlm.history.export import event_line, export_csv
from bitlm.history.report import report_html
from bitlm.history.walk import journal_of
from bitlm.session import Event, RunRecord, RunStore
from bitlm.session.checkpoint import MANIFEST, OPTIMIZER, WEIGHTS
from bitlm.session.checkpoint_table import CheckpointRecord
from bitlm.version import VERSION

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The only time a zip of the same bytes can bear."""

SEAL = b"BitLM capsule, SHA-256 of all before: "
SEAL_BYTES = len(SEAL) + 64
PIECE_BYTES = 1 << 20
START_FILES = (WEIGHTS, OPTIMIZER, MANIFEST)


class Environment(BaseModel):
    """What a run's last bits can depend on beside itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bitlm: str
    torch: str
    python: str
    machine: str
    cpu: str
    cpu_capability: str
    threads: int

    @classmethod
    def here(cls, threads: int) -> "Environment":
        """Return this process's, for a run of so many threads."""
        return cls(
            bitlm=VERSION,
            torch=torch.__version__,
            python=platform.python_version(),
            machine=platform.machine(),
            cpu=_cpu_model(),
            cpu_capability=torch.backends.cpu.get_cpu_capability(),
            threads=threads,
        )


class Start(BaseModel):
    """Where the journal begins: step 0 from the seed, or a branch's first checkpoint, in `start/`.

    Attributes:
        step: Its step.
        event_id: The last event that is in it.
        is_branch: Whether its files are needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    event_id: int = 0
    is_branch: bool = False


class Member(BaseModel):
    """Size and hash of a member."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """What a capsule says of itself.

    Attributes:
        run_id: The run.
        written_by: Where the capsule was written.
        start: Where its journal begins.
        texts: SHA-256 of every text the run was trained on, whether or not it is in the capsule.
        members: Every other member by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    run_id: str
    written_by: Environment
    start: Start
    texts: tuple[str, ...]
    members: dict[str, Member]


def write_capsule(store: RunStore, run_id: str, path: Path, *, with_text: bool = True) -> Manifest:
    """Write a run as one file, whole or not at all, and return what it says of itself.

    Args:
        store: Where the run is kept.
        run_id: The run.
        path: The file; one of that name is replaced.
        with_text: Whether to put in the texts; without them, whoever verifies it needs to have them.

    Raises:
        RunNotFoundError: There is no such run.
        CheckpointError: It is a branch, and no checkpoint to begin it with is whole.
        CorpusError: A text is missing or was changed.
        StorageFullError: It did not fit.
    """
    store.flush()
    record = store.run(run_id)
    events = store.all_events(run_id)
    first = _first_checkpoint(store, record)
    texts = texts_of(record, events)
    contents = _contents(store, record, events, first, texts if with_text else [])
    with written_aside(path) as file:
        with ZipFile(file, "w") as archive:
            members = {name: _write(archive, name, contents[name]) for name in sorted(contents)}
            manifest = Manifest(
                run_id=run_id,
                written_by=Environment.here(record.config.threads),
                start=Start(step=first.step, event_id=first.event_id, is_branch=True) if first else Start(),
                texts=tuple(texts),
                members=members,
            )
            _write(archive, MANIFEST, [_json(manifest)])
            archive.comment = SEAL + b"0" * 64
        _seal(file)
    return manifest


def texts_of(record: RunRecord, events: Iterable[Event]) -> list[str]:
    """Return the SHA-256 of every text a run was trained on."""
    named = {event.payload.get("sha256") for event in events if event.kind == "steps_requested"}
    return sorted({record.config.corpus_fingerprint, *filter(None, named)})


def seal_of(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return the seal that a capsule bears and the one that fits its bytes."""
    file.seek(0, 2)
    left = max(0, file.tell() - SEAL_BYTES)
    file.seek(0)
    digest = sha256()
    while left and (piece := file.read(min(PIECE_BYTES, left))):
        digest.update(piece)
        left -= len(piece)
    return file.read(SEAL_BYTES), SEAL + digest.hexdigest().encode()


def _seal(file: BinaryIO) -> None:
    _, fitting = seal_of(file)
    file.seek(-SEAL_BYTES, 2)
    file.write(fitting)


def _contents(
    store: RunStore,
    record: RunRecord,
    events: Sequence[Event],
    first: CheckpointRecord | None,
    texts: list[str],
) -> dict[str, Iterable[bytes]]:
    """Return the members by name, each to be read piece by piece when its turn comes."""
    contents: dict[str, Iterable[bytes]] = {
        "config.json": [_json(record.config)],
        "run.json": [_json(record)],
        "journal.jsonl": _lines(journal_of(events)),
        "events.jsonl": _lines(events),
        "metrics.csv": (piece.encode() for piece in export_csv(store, record.run_id)),
        "report.html": _later(lambda: report_html(store, record.run_id).encode()),
    }
    for digest in texts:
        contents[f"data/{digest}"] = _text(store, digest)
    if first is not None:
        folder = store.checkpoints.folder(first)
        for name in START_FILES:
            contents[f"start/{name}"] = _later((folder / name).read_bytes)
    return contents


def _text(store: RunStore, digest: str) -> Iterator[bytes]:
    """Yield a kept text, once it is asked for."""
    yield from pieces(store.data(digest))


def _later(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Yield what `read` returns, once it is asked for."""
    yield read()


def _first_checkpoint(store: RunStore, record: RunRecord) -> CheckpointRecord | None:
    """Return the oldest whole checkpoint of a branch; None for a run that begins with its seed."""
    if record.origin is None:
        return None
    for first, loaded in reversed(list(store.checkpoints.good_ones(record.run_id))):
        if not isinstance(loaded, CheckpointError):
            return first
    raise CheckpointError(
        f"no checkpoint of {record.run_id!r} is whole, and a branch cannot begin without one."
    )


def _write(archive: ZipFile, name: str, pieces: Iterable[bytes]) -> Member:
    info = ZipInfo(name, FIRST_DAY)
    info.compress_type = ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o644 << 16
    digest, size = sha256(), 0
    with archive.open(info, "w", force_zip64=True) as member:
        for piece in pieces:
            member.write(piece)
            digest.update(piece)
            size += len(piece)
    return Member(size=size, sha256=digest.hexdigest())


def _json(value: BaseModel) -> bytes:
    return json.dumps(value.model_dump(mode="json"), indent=2).encode() + b"\n"


def _lines(events: Iterable[Event]) -> Iterator[bytes]:
    for event in events:
        yield json.dumps(event_line(event)).encode() + b"\n"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
