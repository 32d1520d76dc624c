"""Runs on packed text: the same to the last bit, kept without its source, and never all in memory."""

import errno
import os
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from bitlm.baselines import baselines
from bitlm.data import Corpus, PackedText
from bitlm.data.source import INDEX_FILE
from bitlm.data.text import shard_name
from bitlm.errors import CorpusError
from bitlm.history.capsule import write_capsule
from bitlm.history.verification import verify_capsule
from bitlm.model import ModelConfig
from bitlm.packing import pack
from bitlm.session import RunStore, Session
from bitlm.session.reference_file import fit_reference
from bitlm.training import TrainingConfig

TEXT_BYTES = 20_000
COUNTED = 3_000


@pytest.fixture
def packed(corpus: Corpus, tmp_path: Path) -> Corpus:
    (tmp_path / "text").write_bytes(bytes(corpus.data))
    pack(tmp_path / "text", tmp_path / "packed", shard_bytes=6_000)
    return Corpus.load(str(tmp_path / "packed"))


@pytest.fixture
def ours(
    packed: Corpus, store: RunStore, model_config: ModelConfig, training_config: TrainingConfig
) -> Session:
    """A run on packed text."""
    training = replace(training_config, reference_bytes=COUNTED)
    return Session.create(store, model=model_config, training=training, corpus=packed)


@pytest.fixture
def theirs(corpus: Corpus, ours: Session, tmp_path: Path) -> Session:
    """The same run on the same text in memory."""
    config = ours.config
    return Session.create(
        RunStore(tmp_path / "other"), model=config.model, training=config.training, corpus=corpus
    )


def figures(session: Session) -> tuple[float, dict[str, float]]:
    assert session.model.reference is not None
    return session.evaluate(), baselines(session.corpus, session.model.reference)


def test_a_run_on_packed_text_is_the_run_on_the_text(
    ours: Session, theirs: Session, store: RunStore, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "packed")
    assert ours.config == theirs.config.model_copy(update={"corpus": "text"})
    assert ours.config.baselines_key == f"{ours.config.corpus_fingerprint}-{COUNTED}"
    steps = [[event.loss for event in islice(session, 6)] for session in (ours, theirs)]
    assert steps[0] == steps[1]
    pairs = zip(ours.model.state_dict().values(), theirs.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert figures(ours) == figures(theirs)
    ours.close()
    again = Session.open(store, ours.run_id)
    assert again.step_count == 6
    assert next(iter(again)).loss == next(iter(theirs)).loss


def test_no_more_is_read_at_once_than_is_counted(
    ours: Session, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.close()
    reads: list[int] = []
    read = PackedText.__getitem__

    def noted(text: PackedText, where: slice) -> bytes:
        data = read(text, where)
        reads.append(len(data))
        return data

    monkeypatch.setattr(PackedText, "__getitem__", noted)
    monkeypatch.setattr("bitlm.data.text.PIECE_BYTES", 1_000)
    session = Session.open(store, ours.run_id)
    list(islice(session, 5))
    figures(session)
    fit_reference(session.corpus, session.config)
    write_capsule(store, ours.run_id, tmp_path / "run.zip")
    assert max(reads) == COUNTED
    assert sum(reads) > 4 * TEXT_BYTES
    assert verify_capsule(tmp_path / "run.zip", integrity_only=True).problems == ()


def test_shards_are_linked_and_copied_where_they_cannot_be(
    packed: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = RunStore(tmp_path / "linked").texts
    assert linked.keep(packed).data == PackedText.open(linked.path(packed.fingerprint))
    first = linked.path(packed.fingerprint) / shard_name(0)
    assert first.samefile(tmp_path / "packed" / shard_name(0))

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "another file system", str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)
    copied = RunStore(tmp_path / "copied").texts
    assert bytes(copied.keep(packed).data) == bytes(packed.data)
    first = copied.path(packed.fingerprint) / shard_name(0)
    assert not first.samefile(tmp_path / "packed" / shard_name(0))
    assert copied.size(copied.put(packed.data)) == len(packed.data)
    assert sorted(path.name for path in (tmp_path / "copied" / "data").iterdir()) == [packed.fingerprint]


def test_a_text_that_is_kept_already_is_not_kept_again(
    packed: Corpus, corpus: Corpus, store: RunStore
) -> None:
    store.put_data(corpus.data)
    kept = store.texts.path(corpus.fingerprint)
    assert store.texts.keep(packed) == packed
    assert kept.is_file()
    assert store.data(corpus.fingerprint) == corpus.data


def test_damaged_shards_are_neither_kept_nor_trained_on(
    packed: Corpus, store: RunStore, tmp_path: Path
) -> None:
    (tmp_path / "packed" / shard_name(1)).write_bytes(bytes(6_000))
    with pytest.raises(CorpusError, match=r"00001\.shard': it is not what was written"):
        store.put_data(packed.data)
    assert list((store.data_dir / "data").iterdir()) == []


def test_a_kept_text_that_was_changed_or_is_another_is_noticed(packed: Corpus, store: RunStore) -> None:
    digest = store.put_data(packed.data)
    kept = store.texts.path(digest)
    (kept.parent / ("0" * 64)).symlink_to(kept)
    with pytest.raises(CorpusError, match=r"the text 000000000000 in .* is missing or was changed"):
        store.data("0" * 64)
    (kept / INDEX_FILE).unlink()
    with pytest.raises(CorpusError, match="cannot be read"):
        store.data(digest)
