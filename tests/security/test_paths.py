"""What a request says is never a path out of the data folder, the page's files and the roots for texts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.settings import Settings
from bitlm import RunStore
from bitlm.errors import RunNotFoundError
from tests.conftest import ROOT
from tests.security.requests import is_refused

HIDDEN = "what nobody may read"
UPS = ("..", "..%2f..", "%2e%2e", "%252e%252e", "....//..", "..\\..", ".\x00.", "\uff0e\uff0e", "", "~")
SEPARATORS = ("/", "\\", "%2f", "%5c", "//")
TARGETS = ("etc/passwd", "secret.txt", "bitlm.sqlite3", "tokens.json")
PLACES = ("/static", "/runs", "/runs/none/export")
"""What a name follows in an address."""


def traversals() -> list[str]:
    """Return 500 ways to write a path to somewhere else."""
    parts = product((1, 2, 3, 8), SEPARATORS, UPS, TARGETS)
    ways = (separator.join([*[up] * depth, target]) for depth, separator, up, target in parts)
    return list(islice(dict.fromkeys(ways), 500))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text(HIDDEN * 100)
    texts = folder / "texts"
    texts.mkdir()
    (texts / "book.txt").write_text("A text that may be read. " * 1_000)
    (texts / "link.txt").symlink_to(folder / "secret.txt")
    return Settings(data_dir=folder / "data", torch_threads=1, corpus_roots=(texts,))


@contextmanager
def opened_files() -> Iterator[set[Path]]:
    """Collect every file and folder that this process opens or lists."""
    found: set[Path] = set()
    watching = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], str):
            found.add(Path(arguments[0]).resolve())

    sys.addaudithook(note)
    yield found
    watching = False  # a hook stays for good


def test_of_500_ways_out_none_leads_to_a_read_outside(client: FlaskClient, settings: Settings) -> None:
    python = [Path(prefix).resolve() / "lib" for prefix in (sys.prefix, sys.base_prefix)]
    allowed = (ROOT / "static", ROOT / "config", settings.data_dir, *python)
    ways = traversals()
    assert len(set(ways)) == 500
    client.get("/static/js/main.js").close()  # the system's media types are read once
    with opened_files() as opened:
        for way in ways:
            answers = [
                *(client.get(f"{place}/{way}") for place in PLACES),
                client.post("/init", json={"corpus": way, "size": "tiny"}),
            ]
            assert {answer.status_code for answer in answers} <= {308, 404, 405, 422}, way
            assert not any(HIDDEN.encode() in answer.data for answer in answers)
        client.get("/static/js/main.js").close()
    assert ROOT / "static" / "js" / "main.js" in opened, "or nothing was watched"
    assert [path for path in opened if not any(path.is_relative_to(place) for place in allowed)] == []


@pytest.mark.parametrize(
    "named", ["secret.txt", "texts/link.txt", "texts/../secret.txt", "none.txt", "texts\0", "texts-not"]
)
def test_a_text_outside_the_roots_is_refused_whether_or_not_it_is_there(
    client: FlaskClient, settings: Settings, named: str
) -> None:
    corpus = str(settings.data_dir.parent / named)
    for path in ("/init", "/estimate"):
        answer = client.post(path, json={"corpus": corpus, "size": "tiny"})
        assert is_refused(answer, 422)
        assert "below one of corpus_roots" in answer.get_json(force=True)["detail"]


def test_a_text_below_a_root_is_read(client: FlaskClient, settings: Settings) -> None:
    book = settings.data_dir.parent / "texts" / "book.txt"
    answer = client.post("/estimate", json={"corpus": str(book), "d_model": 10**9})
    assert "d_model" in answer.get_json(force=True)["detail"]


@pytest.mark.parametrize("run_id", ["..", "../x", "a/b", "A", "", "a" * 65, "a\n", "a.b", "é"])
def test_what_cannot_be_a_runs_id_never_becomes_a_folder(tmp_path: Path, run_id: str) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(RunNotFoundError):
        store.run_dir(run_id)
    store.close()
