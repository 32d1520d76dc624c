import json
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.data import Corpus
from bitlm.errors import CheckpointError, ConfigError, RunNotFoundError
from bitlm.history.branching import fork, twin
from bitlm.history.capsule import SEAL, SEAL_BYTES, Manifest, write_capsule
from bitlm.history.verification import verify_capsule
from bitlm.session import RunStore, Session

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def capsule(kept: RunStore, finished: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capsule") / "run.zip"
    write_capsule(kept, finished, path)
    return path


def members_of(path: Path) -> Members:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sealed(data: bytes) -> bytes:
    return data[:-SEAL_BYTES] + SEAL + sha256(data[:-SEAL_BYTES]).hexdigest().encode()


def packed(members: list[tuple[str, bytes]], path: Path) -> Path:
    """Make a file with a seal that fits, as somebody would who means harm."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.comment = b"0" * SEAL_BYTES
    path.write_bytes(sealed(buffer.getvalue()))
    return path


def listed(members: Members) -> Members:
    """Return the members with a manifest that lists them as they are."""
    manifest = json.loads(members["manifest.json"])
    manifest["members"] = {
        name: {"size": len(data), "sha256": sha256(data).hexdigest()}
        for name, data in members.items()
        if name != "manifest.json"
    }
    return {**members, "manifest.json": json.dumps(manifest).encode()}


def test_a_capsule_holds_all_that_the_run_is_a_function_of(
    capsule: Path, kept: RunStore, finished: str
) -> None:
    members = members_of(capsule)
    record = kept.run(finished)
    texts = json.loads(members["manifest.json"])["texts"]
    assert set(members) == {
        *("config.json", "run.json", "journal.jsonl", "events.jsonl", "metrics.csv", "report.html"),
        *(f"data/{digest}" for digest in texts),
        "manifest.json",
    }
    assert len(texts) == 2
    assert members[f"data/{record.config.corpus_fingerprint}"] == kept.data(record.config.corpus_fingerprint)
    assert json.loads(members["config.json"]) == record.config.model_dump(mode="json")
    journal = [json.loads(line)["kind"] for line in members["journal.jsonl"].splitlines()]
    assert journal == ["telemetry_changed", "steps_requested", "steps_ended", "anneal_started"]
    assert members["metrics.csv"].count(b"\n") == 17
    assert members["report.html"].startswith(b"<!doctype html>")


def test_the_same_run_gives_the_same_bytes(
    capsule: Path, kept: RunStore, finished: str, tmp_path: Path
) -> None:
    write_capsule(kept, finished, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == capsule.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.zip"]


def test_done_again_a_capsule_comes_to_the_same_hash_at_every_checkpoint(capsule: Path) -> None:
    told: list[tuple[int, int]] = []
    report = verify_capsule(capsule, progress=lambda *now: told.append(now))
    assert report.problems == ()
    assert [(one.step, one.same) for one in report.comparisons] == [
        (0, True),
        (6, True),
        (10, True),
        (16, True),
    ]
    assert report.same
    assert report.not_executed == ""
    assert report.differences == ()
    assert told == [(step, 16) for step in range(17)]


def test_verifying_ends_at_the_step_it_is_told(capsule: Path) -> None:
    assert [one.step for one in verify_capsule(capsule, until=9).comparisons] == [0, 6]


def test_a_journal_that_was_changed_and_sealed_anew_does_not_lead_to_its_hashes(
    capsule: Path, tmp_path: Path
) -> None:
    members = members_of(capsule)
    for name in ("journal.jsonl", "events.jsonl"):
        assert b'"new": 0.3' in members[name]
        members[name] = members[name].replace(b'"new": 0.3', b'"new": 0.4')
    report = verify_capsule(packed(list(listed(members).items()), tmp_path / "forged.zip"))
    assert report.intact
    assert not report.same
    assert [(one.step, one.same) for one in report.comparisons] == [
        (0, True),
        (6, False),
        (10, False),
        (16, False),
    ]


def test_a_journal_that_contradicts_the_events_is_told(capsule: Path, tmp_path: Path) -> None:
    members = members_of(capsule)
    members["journal.jsonl"] = b"".join(members["journal.jsonl"].splitlines(keepends=True)[1:])
    report = verify_capsule(packed(list(listed(members).items()), tmp_path / "forged.zip"))
    assert "contradict" in report.problems[0]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "damaged.zip"


@given(data=st.data())
def test_any_flipped_bit_is_noticed(capsule: Path, scratch: Path, data: st.DataObject) -> None:
    whole = bytearray(capsule.read_bytes())
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] ^= 1 << data.draw(st.integers(0, 7))
    scratch.write_bytes(whole)
    report = verify_capsule(scratch, integrity_only=True)
    assert report.problems
    assert not report.same


@given(data=st.data())
def test_any_truncation_is_noticed(capsule: Path, scratch: Path, data: st.DataObject) -> None:
    whole = capsule.read_bytes()
    scratch.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert not verify_capsule(scratch, integrity_only=True).intact


def a_longer_config(members: Members) -> list[tuple[str, bytes]]:
    return list({**members, "config.json": members["config.json"] + b" "}.items())


def one_more(members: Members) -> list[tuple[str, bytes]]:
    return [*members.items(), ("data/" + "0" * 64, b"x")]


def one_less(members: Members) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in members.items() if name != "metrics.csv"]


def one_less_unlisted(members: Members) -> list[tuple[str, bytes]]:
    return list(listed({name: data for name, data in members.items() if name != "run.json"}).items())


def out_of_the_folder(members: Members) -> list[tuple[str, bytes]]:
    return list(listed({**members, "../outside": b"x"}).items())


def at_the_root(members: Members) -> list[tuple[str, bytes]]:
    return list(listed({**members, "/etc/passwd": b"x"}).items())


def a_bomb(members: Members) -> list[tuple[str, bytes]]:
    return list({**members, "metrics.csv": bytes(50_000_000)}.items())


def another_text(members: Members) -> list[tuple[str, bytes]]:
    name = next(name for name in members if name.startswith("data/"))
    return list(listed({**members, name: b"another text"}).items())


def no_manifest(members: Members) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in members.items() if name != "manifest.json"]


def a_manifest_of_another_kind(members: Members) -> list[tuple[str, bytes]]:
    return list({**members, "manifest.json": b'{"format": 2}'}.items())


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (a_longer_config, "'config.json' cannot be read ('config.json' is larger than declared)"),
        (one_more, "is there, but not in the manifest"),
        (one_less, "'metrics.csv' is missing"),
        (one_less_unlisted, "'run.json' is missing"),
        (out_of_the_folder, "'../outside' is no name of a capsule's member"),
        (at_the_root, "'/etc/passwd' is no name of a capsule's member"),
        (a_bomb, "'metrics.csv' is larger than declared"),
        (another_text, "is not the text of that name"),
        (no_manifest, "manifest.json"),
        (a_manifest_of_another_kind, "cannot be read as a capsule"),
    ],
)
def test_a_capsule_that_was_tampered_with_and_sealed_anew_is_told_apart(
    capsule: Path, tmp_path: Path, tamper: Callable[[Members], list[tuple[str, bytes]]], sentence: str
) -> None:
    forged = packed(tamper(members_of(capsule)), tmp_path / "forged.zip")
    report = verify_capsule(forged)
    assert sentence in " ".join(report.problems)
    assert "seal" not in " ".join(report.problems)
    assert report.comparisons == ()
    assert report.not_executed
    assert [path.name for path in tmp_path.iterdir()] == ["forged.zip"]


def test_a_member_that_is_there_twice_is_told(capsule: Path, tmp_path: Path) -> None:
    members = list(members_of(capsule).items())
    with pytest.warns(UserWarning, match="Duplicate name"):
        forged = packed([*members, ("run.json", b"{}")], tmp_path / "forged.zip")
    assert "'run.json' is there 2 times." in verify_capsule(forged).problems


def test_more_than_is_allowed_is_not_unpacked(capsule: Path) -> None:
    report = verify_capsule(capsule, most_bytes=1_000_000)
    assert "more than the 1,000,000 allowed" in report.problems[0]


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all" * 100])
def test_a_file_that_is_no_capsule_is_told_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    report = verify_capsule(tmp_path / "x.zip")
    assert report.manifest is None
    assert any("capsule" in problem for problem in report.problems)


def test_a_file_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.zip"):
        verify_capsule(tmp_path / "absent.zip")


def test_without_its_texts_a_capsule_is_whole_and_says_why_it_cannot_be_done_again(
    kept: RunStore, finished: str, tmp_path: Path
) -> None:
    manifest = write_capsule(kept, finished, tmp_path / "bare.zip", with_text=False)
    assert not [name for name in manifest.members if name.startswith("data/")]
    assert len(manifest.texts) == 2
    report = verify_capsule(tmp_path / "bare.zip")
    assert report.intact
    assert report.comparisons == ()
    assert "is not in the capsule" in report.not_executed


def test_only_the_bytes_are_checked_when_that_is_what_was_asked_for(capsule: Path) -> None:
    report = verify_capsule(capsule, integrity_only=True)
    assert report.same
    assert report.comparisons == ()
    assert report.not_executed == "only the bytes were asked for"


def test_another_environment_is_named(capsule: Path, tmp_path: Path) -> None:
    members = members_of(capsule)
    manifest = json.loads(members["manifest.json"])
    manifest["written_by"]["torch"] = "1.0"
    members["manifest.json"] = json.dumps(manifest).encode()
    report = verify_capsule(packed(list(members.items()), tmp_path / "old.zip"), integrity_only=True)
    assert [(name, there) for name, there, _ in report.differences] == [("torch", "1.0")]


def test_a_branch_carries_the_checkpoint_it_begins_with(
    kept: RunStore, finished: str, tmp_path: Path
) -> None:
    branch = fork(kept, finished, step=6, settings={"dropout": 0.1}, source="cli")
    with_steps(kept, branch, 5)
    manifest = write_capsule(kept, branch, tmp_path / "branch.zip")
    assert manifest.start.step == 6
    assert manifest.start.is_branch
    assert "start/weights.safetensors" in manifest.members
    report = verify_capsule(tmp_path / "branch.zip")
    assert [(one.step, one.same) for one in report.comparisons] == [(10, True), (11, True)]


def test_a_twin_can_be_verified_like_any_run(kept: RunStore, finished: str, tmp_path: Path) -> None:
    change = next(event for event in kept.all_events(finished) if event.kind == "telemetry_changed")
    other = twin(kept, finished, change.event_id, source="cli")
    with_steps(kept, other, 16)
    write_capsule(kept, other, tmp_path / "twin.zip")
    report = verify_capsule(tmp_path / "twin.zip")
    assert report.problems == ()
    assert [(one.step, one.same) for one in report.comparisons] == [(10, True), (16, True)]


def with_steps(store: RunStore, run_id: str, steps: int) -> None:
    """Let a branch go on for at most so many steps, and save it."""
    session = Session.open(store, run_id)
    until = min(16, session.step_count + steps)
    list(islice(session, until - session.step_count))
    session.checkpoint()
    session.close()


def test_a_branch_without_a_whole_checkpoint_cannot_be_put_in_a_capsule(
    kept: RunStore, finished: str, tmp_path: Path
) -> None:
    branch = fork(kept, finished, step=6, source="cli")
    for file in kept.run_dir(branch).glob("checkpoints/*/weights.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot begin without one"):
        write_capsule(kept, branch, tmp_path / "branch.zip")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_to_its_end_leaves_the_file_that_was_there(
    store: RunStore, corpus: Corpus, kept: RunStore, finished: str, tmp_path: Path
) -> None:
    config = kept.run(finished).config
    session = Session.create(store, model=config.model, training=config.training, corpus=corpus)
    session.close()
    path = tmp_path / "run.zip"
    write_capsule(store, session.run_id, path)
    before = path.read_bytes()
    (store.data_dir / "data" / corpus.fingerprint).unlink()
    with pytest.raises(ValueError, match="missing or was changed"):
        write_capsule(store, session.run_id, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["run.zip"]


def test_a_run_that_is_not_there_is_told(kept: RunStore, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        write_capsule(kept, "no-such-run", tmp_path / "x.zip")


def test_the_manifest_reads_back_as_it_was_returned(kept: RunStore, finished: str, tmp_path: Path) -> None:
    manifest = write_capsule(kept, finished, tmp_path / "x.zip")
    assert Manifest.model_validate_json(members_of(tmp_path / "x.zip")["manifest.json"]) == manifest
