"""In which order the real service's system calls reach the kernel, as strace sees them.

A process that is killed proves nothing of a power cut: the kernel keeps what was written. What survives one
is what was fsynced, so the calls themselves are looked at.
"""

import json
import re
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import serving

if TYPE_CHECKING:
    from tests.conftest import RunningServer, WaitUntil

STRACE = Path("/usr/bin/strace")
TRACED = (
    "openat", "mkdir", "rename", "renameat", "fsync", "fdatasync", "write", "pwrite64", "recvfrom", "sendto",
)  # fmt: skip
SYNCS = ("fsync", "fdatasync")
WRITES = ("write", "pwrite64")
LONGEST_STRING = 5000
"""More than a page of SQLite: an event's JSON is seen whole in the write that carries it."""

NAME = "a-name-to-look-for"
LAMBDA_K = 0.271828

WHOLE = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<text>.*)\) += (?P<result>-?\d+)")
BEGUN = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<text>.*) <unfinished \.\.\.>")
RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<text>.*)\) += (?P<result>-?\d+)")
DESCRIPTOR = re.compile(r"\d+<(?P<path>[^>]*)>")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Call:
    """A system call that succeeded.

    Attributes:
        began: Number of the line it begins at.
        ended: Number of the line that says it is done.
        path: Of the file it is about: the one it makes, opens, writes, syncs or renames, or the socket.
        becomes: For a rename, the new name.
        text: Its arguments, as strace prints them.
    """

    name: str
    began: int
    ended: int
    path: str
    becomes: str
    text: str

    @property
    def makes(self) -> bool:
        """Whether it makes a file or a folder."""
        return self.name == "mkdir" or (self.name == "openat" and "O_CREAT" in self.text)


def parsed(lines: Iterable[str]) -> Iterator[Call]:
    """Yield the calls in the order in which they began; those that failed are left out."""
    waiting: dict[str, tuple[int, str]] = {}
    calls = []
    for number, line in enumerate(lines):
        if found := BEGUN.match(line):
            waiting[found["pid"]] = (number, found["text"])
        elif found := RESUMED.match(line):
            began, text = waiting.pop(found["pid"])
            calls.append((found, began, number, text + found["text"]))
        elif found := WHOLE.match(line):
            calls.append((found, number, number, found["text"]))
    for found, began, ended, text in sorted(calls, key=lambda call: call[1]):
        if int(found["result"]) >= 0:
            yield _call(found["name"], began, ended, text)


def _call(name: str, began: int, ended: int, text: str) -> Call:
    if name in {"openat", "mkdir", "rename", "renameat"}:
        paths = QUOTED.findall(text)
        return Call(name, began, ended, paths[0], paths[-1], text)
    descriptor = DESCRIPTOR.match(text)
    return Call(name, began, ended, descriptor["path"] if descriptor else "", "", text)


class Trace:
    """What a service did until it ended."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.calls = list(calls)

    def first(self, *names: str, path: str = "", after: int = -1, saying: str = "") -> Call:
        """Return the first such call after a line; `path` is how its path ends, `saying` what it carries."""
        for call in self.calls:
            if call.name in names and call.began > after and call.path.endswith(path) and saying in call.text:
                return call
        raise AssertionError(f"no {' or '.join(names)} of '…{path}' with {saying!r} after line {after}")

    def answer(self, request: str) -> tuple[Call, Call]:
        """Return where a request came in, and where the answer to it went out."""
        asked = self.first("recvfrom", saying=f'"{request} HTTP/1.1')
        told = self.first("sendto", path=asked.path, after=asked.ended, saying='"HTTP/1.1 2')
        return asked, told

    def row(self, text: str, after: int) -> tuple[Call, Call]:
        """Return the write that brings `text` to the database's log, and the sync that makes it durable."""
        written = self.first("pwrite64", path="-wal", after=after, saying=text)
        return written, self.first(*SYNCS, path="-wal", after=written.ended)


def assert_one_after_the_other(*calls: Call) -> None:
    for before, after in pairwise(calls):
        assert before.ended < after.began, f"{after} began before {before} was done"


def post(server: "RunningServer", path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - our own server
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - our own server
        content: dict[str, Any] = json.load(answer)
    return content


@dataclass(frozen=True)
class Story:
    """A service that made a run, did a step, changed λ_K and saved a checkpoint, with its trace.

    Attributes:
        data_dir: Its data folder, two levels below a folder that was there.
    """

    run_id: str
    data_dir: Path
    trace: Trace


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path, wait_until: "WaitUntil") -> Story:
    if not STRACE.exists():
        pytest.fail(f"{STRACE} is missing: install Debian's package 'strace' (apt-get install strace).")
    folder = tmp_path_factory.mktemp("traced")
    log, data_dir = folder / "strace.log", folder / "new" / "data"
    # -D keeps the server our own child, so it is stopped as any other; it is the tracer that stands aside.
    trace = (str(STRACE), "-D", "-f", "--seccomp-bpf", "-y", "-s", str(LONGEST_STRING), "-o", str(log))
    tiny = {"d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 256}
    with serving(folder) as serve:
        server = serve(data_dir, prefix=(*trace, "-e", f"trace={','.join(TRACED)}"))
        run_id = post(server, "/init", {**tiny, "corpus": str(corpus_file)})["run_id"]
        post(server, "/train-step", {})
        post(server, "/config/telemetry", {"lambda_K": LAMBDA_K})
        post(server, f"/runs/{run_id}/checkpoints", {"name": NAME})
    ended = re.compile(rf"^{server.process.pid} +\+\+\+ exited", re.MULTILINE)
    wait_until(lambda: ended.search(log.read_text(errors="replace")))
    return Story(run_id, data_dir, Trace(parsed(log.read_text(errors="replace").splitlines())))


def test_a_checkpoint_is_synced_then_named_then_recorded_then_acknowledged(story: Story) -> None:
    trace = story.trace
    asked, told = trace.answer(f"POST /runs/{story.run_id}/checkpoints")
    renamed = trace.first("rename", after=asked.ended)
    assert Path(renamed.path).parent == Path(renamed.becomes).parent
    assert Path(renamed.path).name.startswith(".tmp-")
    synced = trace.first("fsync", path=renamed.path, after=asked.ended)
    for file in ("weights.safetensors", "optimizer.safetensors", "manifest.json"):
        path = f"{renamed.path}/{file}"
        writes = [call for call in trace.calls if call.name in WRITES and call.path == path]
        assert_one_after_the_other(asked, *writes, trace.first("fsync", path=path), synced)
    parent = trace.first("fsync", path="/checkpoints", after=renamed.ended)
    row, committed = trace.row(NAME, asked.ended)
    assert "checkpoint_saved" in row.text
    assert_one_after_the_other(synced, renamed, parent, row, committed, told)


def test_a_command_is_on_the_disk_before_it_is_acknowledged(story: Story) -> None:
    asked, told = story.trace.answer("POST /config/telemetry")
    row, committed = story.trace.row(str(LAMBDA_K), asked.ended)
    assert "telemetry_changed" in row.text
    assert_one_after_the_other(asked, row, committed, told)


def test_a_run_that_is_acknowledged_is_on_the_disk_with_every_folder_that_leads_to_it(story: Story) -> None:
    """Also the folders above it, the text and the reference model: without them it could not be opened."""
    _, told = story.trace.answer("POST /init")
    calls = final_names([call for call in story.trace.calls if call.ended < told.began])
    top = str(story.data_dir.parent)
    names: dict[str, int] = {}
    for call in calls:
        if call.makes and call.path.startswith(top):
            names.setdefault(call.path, call.ended)
    names |= {
        call.path: call.ended for call in calls if call.name.startswith("rename") and call.path in names
    }
    assert top in names
    assert str(story.data_dir / "bitlm.sqlite3") in names
    assert str(story.data_dir / "runs" / story.run_id / "reference.safetensors") in names
    syncs = [call for call in calls if call.name in SYNCS]
    for path, named in names.items():
        if path.endswith(("/lock", "-shm", "-journal")):
            continue  # of no use after a power cut
        parent = str(Path(path).parent)
        assert any(sync.path == parent and sync.began > named for sync in syncs), f"the name of {path}"
        writes = [call.ended for call in calls if call.name in WRITES and call.path == path]
        if writes and "sqlite3" not in path:
            assert any(sync.path == path and sync.began > max(writes) for sync in syncs), f"{path} itself"


def final_names(calls: list[Call]) -> list[Call]:
    """Return the calls with the paths as they are called in the end; a rename bears the new name."""
    named: list[Call] = []
    moved: dict[str, str] = {}
    for call in reversed(calls):
        if call.name.startswith("rename"):
            new = _moved(call.becomes, moved)
            moved[call.path] = new
            named.append(replace(call, path=new))
        else:
            named.append(replace(call, path=_moved(call.path, moved)))
    return named[::-1]


def _moved(path: str, moved: dict[str, str]) -> str:
    """Return what becomes of a path, when it or a folder above it is renamed later."""
    for name in (path, *map(str, Path(path).parents)):
        if name in moved:
            return moved[name] + path.removeprefix(name)
    return path
