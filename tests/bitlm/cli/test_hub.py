"""Models sent to a hub and fetched from it, by the hub's own library; the hub is not the real one."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub import ModelCard

from tests.bitlm.cli import fake_hub
from tests.bitlm.cli.fake_hub import FakeHub
from tests.bitlm.cli.program import answer_of, bitlm, trained

NAME = "me/small"

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>'")  # the library's own, of its client


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    """A hub; large files go there as Git's do, for the other way is no protocol of its own."""
    with fake_hub.serving() as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
        patch.setenv("HF_ENDPOINT", served.url)
        patch.setenv("HF_TOKEN", fake_hub.TOKEN)
        yield served


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options that name a data folder with one trained run in it."""
    return trained(tmp_path_factory.mktemp("data"), "--steps", "4")


@pytest.fixture(scope="module")
def pushed(hub: FakeHub, data: tuple[str, str]) -> dict[str, Any]:
    """What was said when the run's model was sent there, in a byte a weight."""
    answer: dict[str, Any] = answer_of("push", "latest", NAME, "--private", "--weights", "int8", *data)
    return answer


def test_what_is_fetched_is_the_file_that_save_writes_and_is_told_of(
    hub: FakeHub, pushed: dict[str, Any], data: tuple[str, str], tmp_path: Path
) -> None:
    saved, fetched = tmp_path / "saved", tmp_path / "new" / "fetched"
    told = answer_of("save", "latest", "--weights", "int8", "--output", str(saved), *data)
    found = answer_of("pull", NAME, "--output", str(fetched))
    assert hub.repositories[NAME]["main"]["model.safetensors"] == fetched.read_bytes()
    assert list(fetched.parent.iterdir()) == [fetched]
    for name in ("identity", "provenance", "weights", "part_bytes"):
        assert found[name] == told[name]
    assert found["receipt"]["bits_per_byte"] == told["receipt"]["bits_per_byte"]
    record = json.loads(hub.repositories[NAME]["main"]["config.json"])
    assert record["identity"] == found["identity"]
    assert record["measured"] == pushed["measured"]
    assert pushed["url"].startswith(f"{hub.url}/{NAME}/commit/")
    assert NAME in hub.private


def test_the_card_says_what_was_measured_to_people_and_to_programs(
    hub: FakeHub, pushed: dict[str, Any], data: tuple[str, str]
) -> None:
    text = hub.repositories[NAME]["main"]["README.md"].decode()
    measured, told = pushed["measured"], answer_of("evaluate", *data)
    assert measured["bits_per_byte"] == pytest.approx(told["bits_per_byte"], abs=0.05)
    assert measured["alone"] > measured["bits_per_byte"] + 1
    assert measured["baselines"] == told["baselines"]
    for figure in (measured["bits_per_byte"], measured["alone"], told["baselines"]["xz"]):
        assert f"| {figure:.3f} |" in text
    assert f"bitlm pull {NAME} --output small.safetensors" in text
    assert "Keeping its weights as int8 made of " in text
    card = ModelCard(text, ignore_metadata_errors=False).data
    assert card["library_name"] == "bitlm"
    results = {one.metric_name: one for one in card["eval_results"]}
    assert results["bits per byte"].metric_value == round(measured["bits_per_byte"], 4)
    assert results["bits per byte without counts"].metric_value == round(measured["alone"], 4)
    assert results["bits per byte"].dataset_revision in text


def test_a_branch_is_made_and_fetched_by_its_name(
    hub: FakeHub, pushed: dict[str, Any], data: tuple[str, str], tmp_path: Path
) -> None:
    bitlm("push", "latest", NAME, "--revision", "whole", *data)
    file = str(tmp_path / "whole")
    assert answer_of("pull", NAME, "--revision", "whole", "--output", file)["weights"] == "float32"
    assert "Keeping its weights" not in hub.repositories[NAME]["whole"]["README.md"].decode()
    assert set(hub.tokens) == {f"Bearer {fake_hub.TOKEN}"}
    assert "give --force" in bitlm("pull", NAME, "--output", file, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pull", "me/none"), "shows no me/none: check the name"),
        (("pull", NAME, "--revision", "none"), f"{NAME} has no such revision"),
        (("pull", "me/other"), "holds no model of BitLM: it has no model.safetensors"),
        (("pull", "me/broken"), "is no whole model file"),
        (("pull", "no name"), "write OWNER/NAME"),
        (("pull", NAME, "--endpoint", "http://127.0.0.1:9"), "no hub answers at http://127.0.0.1:9 ("),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence_and_leaves_nothing(
    hub: FakeHub, pushed: dict[str, Any], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    hub.repositories["me/other"] = {"main": {"README.md": b"text"}}
    hub.repositories["me/broken"] = {"main": {"model.safetensors": b"\x80\x04."}}
    assert sentence in bitlm(*arguments, "--output", str(tmp_path / "file"), code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_token_that_may_nothing_is_sent_or_shown(
    hub: FakeHub,
    pushed: dict[str, Any],
    data: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    refused = bitlm("push", "latest", "me/new", *data, code=2).stderr
    assert f"{hub.url} answers 401 Unauthorized: set HF_TOKEN to a token that may do this" in refused
    assert "me/new" not in hub.repositories
    assert "check the name" in bitlm("pull", NAME, "--output", str(tmp_path / "file"), code=2).stderr


def test_a_hub_that_has_no_room_says_so(
    hub: FakeHub, data: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "room", 0)
    assert "did not take it: LFS batch" in bitlm("push", "latest", "me/full", *data, code=2).stderr
    assert hub.repositories["me/full"] == {"main": {}}


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'bitlm[hub]'" in bitlm("pull", NAME, code=2).stderr
