"""Files made small by the live model and given back, over REST."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from flask.testing import FlaskClient

from tests.conftest import WaitUntil


def coded(client: FlaskClient, path: str, name: str, data: bytes) -> list[dict[str, Any]]:
    """The lines of the answer."""
    with client.post(path, json={"name": name, "data": b64encode(data).decode()}) as answer:
        lines = answer.get_data(as_text=True)
        assert answer.status_code == 200, lines
        return [json.loads(line) for line in lines.splitlines()]


def test_a_file_is_made_small_and_given_back_whatever_is_trained_meanwhile(
    ready: FlaskClient, corpus_file: Path
) -> None:
    client, text = ready, corpus_file.read_bytes()[-3000:]
    client.post("/train-step", json={"steps": 8})
    run_id = client.get("/status").get_json()["run_id"]
    *progress, answer = coded(client, "/compress", "a/../letter.txt", text)
    assert progress[-1] == {"kind": "progress", "done_bytes": 3000, "bytes": 3000}
    assert (answer["kind"], answer["run_id"], answer["step"]) == ("answer", run_id, 8)
    assert answer["name"] == "a/../letter.txt.bitlm"
    small = b64decode(answer["data"])
    assert (answer["bytes"], answer["compressed_bytes"]) == (3000, len(small))
    assert answer["bits_per_byte"] == 8 * len(small) / 3000 < 8
    assert set(answer["alone_bytes"]) == {"gzip", "bzip2", "xz"}
    assert len(small) < min(answer["alone_bytes"].values())
    (checkpoint,) = [
        one for one in client.get(f"/runs/{run_id}/checkpoints").get_json()["checkpoints"] if one["step"] == 8
    ]
    assert checkpoint["name"], "one without a name would not be kept"

    client.post("/train-step", json={"steps": 2})
    restored = coded(client, "/decompress", answer["name"], small)[-1]
    assert b64decode(restored["data"]) == text
    assert (restored["name"], restored["step"], restored["alone_bytes"]) == ("a/../letter.txt", 8, None)


def test_what_is_wrong_is_said_before_anything_begins(client: FlaskClient) -> None:
    file = {"name": "letter.txt", "data": b64encode(b"Dear Ada").decode()}
    none = client.post("/compress", json=file)
    assert (none.status_code, none.get_json()["title"]) == (409, "There is no model yet")
    for wrong in ({"data": "no base64!"}, {"data": "QQ"}, {"name": ""}, {"data": "A" * (2**23)}):
        refused = client.post("/compress", json=file | wrong)
        assert refused.status_code == 422
        assert refused.get_json()["errors"][0]["field"] == next(iter(wrong))


def test_a_file_that_nobody_waits_for_is_let_go_of_and_what_is_none_of_ours_is_refused(
    ready: FlaskClient, corpus_file: Path, wait_until: WaitUntil
) -> None:
    body = {"name": "long.txt", "data": b64encode(corpus_file.read_bytes() * 40).decode()}
    answer = ready.post("/compress", json=body, buffered=False)
    busy = ready.post("/compress", json=body)
    assert (busy.status_code, "one is done at a time" in busy.get_json()["detail"]) == (409, True)
    folders = set(Path(gettempdir()).glob("bitlm-*/original"))
    assert folders
    answer.close()
    wait_until(lambda: not any(folder.exists() for folder in folders))
    refused = ready.post(
        "/decompress", json={"name": "letter.bitlm", "data": b64encode(b"Dear Ada").decode()}
    )
    assert refused.status_code == 422
    assert "not written by `bitlm compress`" in refused.get_json()["detail"]
