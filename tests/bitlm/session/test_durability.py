from pathlib import Path

import pytest

from bitlm.session.durability import write_durably, write_folder_durably


def test_a_file_replaces_the_one_before_and_leaves_nothing_aside(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    write_durably(target, b"old")
    write_durably(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "one"
    for content in (b"old", b"new"):
        write_folder_durably(target, {"a": content, "b": content})
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"a": b"new", "b": b"new"}
    assert [path.name for path in target.parent.iterdir()] == ["one"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_durably(target, b"old")
    with pytest.raises(TypeError):
        write_durably(target, "not bytes")  # type: ignore[arg-type] # the failure this test is about
    assert target.read_bytes() == b"old"
