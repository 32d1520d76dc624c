"""Verifying a capsule: first that it is what was written, then that its journal leads to its hashes.

A capsule may come from anybody: nothing of it is unpacked to the disk or executed, every name is one of
those that `write_capsule` makes, and nothing is read beyond the size that was declared for it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import error as StructError  # noqa: N812 - the module's own name says nothing
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - as above

from safetensors import SafetensorError
from safetensors.torch import load

from bitlm.data import Corpus, Text
from bitlm.errors import ConfigError
from bitlm.history.capsule import PIECE_BYTES, Environment, Manifest, Member, seal_of
from bitlm.history.walk import Comparison, Mark, Progress, journal_of, marks_of, walk
from bitlm.session import Event, RunConfig
from bitlm.session.checkpoint import MANIFEST, OPTIMIZER, WEIGHTS, Checkpoint
from bitlm.session.durability import unobserved
from bitlm.session.learner import Learner
from bitlm.session.reference_file import fit_reference

NAME = re.compile(
    r"(config|run|manifest)\.json|(journal|events)\.jsonl|metrics\.csv|report\.html|data/[0-9a-f]{64}"
    r"|start/(manifest\.json|(weights|optimizer)\.safetensors)"
)
NEEDED = {"config.json", "run.json", "journal.jsonl", "events.jsonl", "metrics.csv", "report.html"}
NEEDED_OF_A_BRANCH = {f"start/{name}" for name in (WEIGHTS, OPTIMIZER, MANIFEST)}
MOST_MANIFEST_BYTES = 1 << 24
MOST_BYTES = 1 << 32
"""What the members of a capsule may take unpacked, unless whoever verifies it allows more."""

UNREADABLE = (
    BadZipFile,
    ZlibError,
    StructError,
    EOFError,
    OSError,
    KeyError,
    ValueError,
    RuntimeError,
)
"""What zipfile raises on bytes that are no zip, or not one of ours."""


@dataclass(frozen=True)
class CapsuleReport:
    """What verifying a capsule found.

    Attributes:
        manifest: What the capsule says of itself; None if that cannot be read.
        problems: What is not as it was written, one sentence each; none means that it is whole.
        comparisons: One for each checkpoint that was computed again.
        not_executed: Why nothing was computed again; empty if the run was.
        differences: Of this environment from the one it was written in: field, there, here.
    """

    manifest: Manifest | None
    problems: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    not_executed: str = ""
    differences: tuple[tuple[str, object, object], ...] = ()

    @property
    def intact(self) -> bool:
        """Whether every byte is what was written."""
        return not self.problems

    @property
    def same(self) -> bool:
        """Whether it is intact and every checkpoint that was computed again came out the same."""
        return self.intact and all(comparison.same for comparison in self.comparisons)


def verify_capsule(
    path: Path,
    *,
    until: int | None = None,
    integrity_only: bool = False,
    most_bytes: int = MOST_BYTES,
    progress: Progress = unobserved,
) -> CapsuleReport:
    """Check every byte of a capsule, then do its run again and compare every checkpoint.

    Args:
        path: The file.
        until: Step to end with; None for the last checkpoint.
        integrity_only: Check the bytes and leave it at that.
        most_bytes: The members may take so much unpacked, all together.
        progress: Told every step.

    Raises:
        ConfigError: There is no such file.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(
            "file", str(path), f"it cannot be read ({error.strerror}); check the path."
        ) from error
    with file:
        checked = _check(file, most_bytes)
    if checked.problems or checked.manifest is None:
        return CapsuleReport(checked.manifest, checked.problems, not_executed="the capsule is not whole")
    differences = _differences(checked.manifest)
    if integrity_only or checked.run is None:
        reason = "only the bytes were asked for" if integrity_only else checked.missing
        return CapsuleReport(checked.manifest, (), not_executed=reason, differences=differences)
    comparisons = tuple(_again(checked.run, until, progress))
    return CapsuleReport(checked.manifest, (), comparisons, differences=differences)


@dataclass(frozen=True)
class _Run:
    """What is needed to do a run again."""

    learner: Learner
    texts: dict[str, Text]
    journal: list[Event]
    marks: list[Mark]


@dataclass(frozen=True)
class _Checked:
    """What reading a capsule gave."""

    manifest: Manifest | None
    problems: tuple[str, ...]
    run: _Run | None = None
    missing: str = ""


def _check(file: BinaryIO, most_bytes: int) -> _Checked:
    problems: list[str] = []
    manifest = None
    has, fitting = seal_of(file)
    if has != fitting:
        problems.append("the seal is broken: the file is damaged, cut short, or no capsule.")
    try:
        with ZipFile(file) as archive:
            manifest = Manifest.model_validate_json(_read(archive, MANIFEST, MOST_MANIFEST_BYTES))
            problems += _problems(archive, manifest, most_bytes)
            if problems:
                return _Checked(manifest, tuple(problems))
            texts, missing = _texts(archive, manifest)
            run = None if missing else _load(archive, manifest, texts)
            return _Checked(manifest, (), run, missing)
    except (*UNREADABLE, SafetensorError) as error:
        problems.append(f"it cannot be read as a capsule ({error}).")
        return _Checked(manifest, tuple(problems))


def _problems(archive: ZipFile, manifest: Manifest, most_bytes: int) -> Iterator[str]:
    """Tell what is wrong with the members: their names first, and their contents if those are right."""
    names = Counter(info.filename for info in archive.infolist())
    wrong = [f"{name!r} is no name of a capsule's member." for name in names if not NAME.fullmatch(name)]
    wrong += [f"{name!r} is there {count} times." for name, count in names.items() if count > 1]
    listed = {*manifest.members, MANIFEST}
    wrong += [f"{name!r} is there, but not in the manifest." for name in sorted(names.keys() - listed)]
    needed = NEEDED | (NEEDED_OF_A_BRANCH if manifest.start.is_branch else set())
    wrong += [f"{name!r} is missing." for name in sorted((listed | needed) - names.keys())]
    declared = sum(member.size for member in manifest.members.values())
    if declared > most_bytes:
        wrong.append(f"unpacked it would take {declared:,} bytes, more than the {most_bytes:,} allowed.")
    yield from wrong
    if not wrong:
        for name, member in manifest.members.items():
            yield from _member_problems(archive, name, member)


def _member_problems(archive: ZipFile, name: str, member: Member) -> Iterator[str]:
    digest = sha256()
    try:
        for piece in _pieces(archive, name, member.size):
            digest.update(piece)
    except UNREADABLE as error:
        yield f"{name!r} cannot be read ({error})."
        return
    if digest.hexdigest() != member.sha256:
        yield f"{name!r} is not what was written: its SHA-256 is another."
    elif name.startswith("data/") and not name.endswith(member.sha256):
        yield f"{name!r} is not the text of that name."


def _pieces(archive: ZipFile, name: str, most: int) -> Iterator[bytes]:
    """Yield a member's bytes, never more than `most`."""
    info = archive.getinfo(name)
    if info.compress_type != ZIP_DEFLATED or info.flag_bits & 1:
        raise BadZipFile(f"{name!r} is packed in a way capsules are not")
    left = most
    with archive.open(info) as member:
        while piece := member.read(min(PIECE_BYTES, left + 1)):
            left -= len(piece)
            if left < 0:
                raise BadZipFile(f"{name!r} is larger than declared")
            yield piece


def _read(archive: ZipFile, name: str, most: int) -> bytes:
    return b"".join(_pieces(archive, name, most))


def _texts(archive: ZipFile, manifest: Manifest) -> tuple[dict[str, Text], str]:
    """Return the texts by their SHA-256, and what to say if one cannot be had."""
    embedded = Corpus.embedded()
    texts: dict[str, Text] = {}
    for digest in manifest.texts:
        member = manifest.members.get(f"data/{digest}")
        if member is not None:
            texts[digest] = _read(archive, f"data/{digest}", member.size)
        elif digest == embedded.fingerprint:
            texts[digest] = embedded.data
        else:
            return {}, f"the text {digest[:12]}… is not in the capsule"
    return texts, ""


def _load(archive: ZipFile, manifest: Manifest, texts: dict[str, Text]) -> _Run:
    def member(name: str) -> bytes:
        return _read(archive, name, manifest.members[name].size)

    config = RunConfig.model_validate_json(member("config.json"))
    events = [Event.model_validate_json(line) for line in member("events.jsonl").splitlines()]
    journal = [Event.model_validate_json(line) for line in member("journal.jsonl").splitlines()]
    if journal != journal_of(events):
        raise ValueError("its journal and its events contradict each other")
    corpus = Corpus(config.corpus, texts[config.corpus_fingerprint])
    learner = Learner(config, corpus, fit_reference(corpus, config))
    after = manifest.start.event_id
    if manifest.start.is_branch:
        weights, optimizer = load(member(f"start/{WEIGHTS}")), load(member(f"start/{OPTIMIZER}"))
        state = json.loads(member(f"start/{MANIFEST}"))["state"]
        learner.restore(Checkpoint(weights, optimizer, state), texts.__getitem__)
    return _Run(learner, texts, journal_of(events, after=after), marks_of(events, after=after))


def _again(run: _Run, until: int | None, progress: Progress) -> Iterator[Comparison]:
    last = max((mark.step for mark in run.marks), default=run.learner.step_count)
    until = last if until is None else min(until, last)
    return walk(run.learner, run.journal, run.texts.__getitem__, run.marks, until=until, progress=progress)


def _differences(manifest: Manifest) -> tuple[tuple[str, object, object], ...]:
    there = manifest.written_by
    here = Environment.here(there.threads)
    return tuple(
        (name, getattr(there, name), getattr(here, name))
        for name in Environment.model_fields
        if getattr(there, name) != getattr(here, name)
    )
