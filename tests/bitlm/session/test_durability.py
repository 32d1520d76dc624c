from pathlib import Path

import pytest

from bitlm.session.durability import ASIDE, make_folder, sweep, sync_file, write_durably, write_folder_durably


def test_a_file_replaces_the_one_before_and_leaves_nothing_aside(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    write_durably(target, b"old")
    write_durably(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "one"
    points: list[str] = []
    write_folder_durably(target, {"a": b"1", "b": b"2"}, reached=points.append)
    assert {file.name: file.read_bytes() for file in target.iterdir()} == {"a": b"1", "b": b"2"}
    assert [path.name for path in target.parent.iterdir()] == ["one"]
    assert points == ["a written", "b written", "folder synced", "folder renamed", "parent synced"]


def test_a_folder_is_made_with_those_above_it_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """That each is synced in the one above is seen from outside (tests/app/test_commit_order.py)."""
    target = tmp_path / "one" / "two" / "three"
    make_folder(target)
    (target / "file").touch()
    make_folder(target)
    assert [path.name for path in target.iterdir()] == ["file"]


def test_a_file_in_the_way_of_a_folder_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    for folder in (tmp_path / "one", tmp_path / "one" / "two"):
        with pytest.raises(FileExistsError):
            make_folder(folder)
    assert (tmp_path / "one").read_bytes() == b"1"


def test_only_a_file_that_is_there_can_be_made_durable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    sync_file(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        sync_file(tmp_path / "none")


def test_what_was_left_half_written_is_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".tmp-half").mkdir()
    (tmp_path / ".tmp-half" / "a").write_bytes(b"")
    (tmp_path / ".tmp-file").write_bytes(b"")
    (tmp_path / "unknown").mkdir()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["unknown"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_durably(target, b"old")
    with pytest.raises(TypeError):
        write_durably(target, "not bytes")  # type: ignore[arg-type] # the failure this test is about
    assert target.read_bytes() == b"old"


def test_a_file_that_cannot_take_its_place_leaves_nothing_aside(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_durably(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_take_its_place_leaves_nothing_aside(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old").write_bytes(b"1")
    with pytest.raises(OSError, match="not empty"):
        write_folder_durably(tmp_path / "one", {"new": b"2"})
    assert [path.name for path in tmp_path.rglob("*")] == ["one", "old"]


def test_a_folder_whose_place_aside_is_taken_is_an_error_and_can_be_written_after_a_sweep(
    tmp_path: Path,
) -> None:
    (tmp_path / f"{ASIDE}one").write_bytes(b"")
    with pytest.raises(FileExistsError):
        write_folder_durably(tmp_path / "one", {"a": b"1"})
    sweep(tmp_path)
    write_folder_durably(tmp_path / "one", {"a": b"1"})
    assert [path.name for path in tmp_path.rglob("*")] == ["one", "a"]
