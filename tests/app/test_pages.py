"""The page, the script it loads, and what the browser is told about both."""

import gzip
import json
import re
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.web.compression import SMALLEST_BYTES
from app.web.schemas import NO_SETTINGS, InitRequest

PLOTLY = f"/static-vendor/plotly-{version('plotly')}.min.js"


def test_the_page_loads_scripts_from_here_alone(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    assert PLOTLY in page.text
    scripts = re.findall(r"<script[^>]*>", page.text)
    assert scripts
    assert not [tag for tag in scripts if re.search(r'src="(?!/)', tag)]


def test_the_page_itself_says_which_run_there_is_how_it_is_and_how_far(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    assert shown(client)["run"] == "no run"
    assert re.search(r'data-welcome="empty"(?! hidden)', client.get("/").text)
    run_id = client.post("/init", json=tiny_run).get_json()["run_id"]
    client.post("/train-step", json={"steps": 3})
    assert shown(client) == {"run": run_id, "state": "ready", "step": "3", "title": "BitLM: ready"}
    assert re.search(r'data-welcome="ready" hidden', client.get("/").text)
    client.post("/train/pause")
    client.post(f"/runs/{run_id}/trash")
    assert shown(client)["run"] == "no run"
    client.post(f"/runs/{run_id}/restore")
    assert shown(client) | {"step": ""} == {
        "run": "1 run", "state": "none open", "step": "", "title": "BitLM: none open",
    }  # fmt: skip
    assert re.search(r'data-welcome="closed"(?! hidden)', client.get("/").text)
    client.post(f"/runs/{run_id}/open")
    client.patch(f"/runs/{run_id}", json={"name": "</script><b>"})
    assert shown(client)["run"] == "&lt;/script&gt;&lt;b&gt;"
    (data,) = re.findall(r'id="page-data">(.*?)</script>', client.get("/").text, re.DOTALL)
    assert json.loads(data)["status"] == client.get("/status").json
    assert json.loads(data)["status"]["name"] == "</script><b>"


def test_the_form_of_a_new_run_has_every_setting(client: FlaskClient) -> None:
    (form,) = re.findall(r"<summary>Every setting</summary>(.*?)</details>", client.get("/").text, re.DOTALL)
    fields = re.findall(r'<(?:input|select) name="(.*?)"', form)
    assert sorted(fields) == sorted(InitRequest.model_fields.keys() - NO_SETTINGS)


def shown(client: FlaskClient) -> dict[str, str]:
    """What the page shows before any script has run."""
    places = {
        "run": r'data-figure="run">(.*?)<',
        "step": r'data-figure="step">(.*?)<',
        "state": r'data-state=".*?".*<span data-label>(.*?)<',
        "title": r"<title>(.*?)<",
    }
    page = re.sub(r'<span class="run-day">(.*?)</span>', r"\1", client.get("/").text)
    return {name: re.findall(place, page)[0] for name, place in places.items()}


def test_the_browser_is_told_to_run_nothing_foreign(client: FlaskClient) -> None:
    headers = client.get("/", headers={"Host": "localhost:5000"}).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws://localhost:5000 wss://localhost:5000"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_plotly_comes_from_the_installed_package_compressed_and_for_good(client: FlaskClient) -> None:
    answer = client.get(PLOTLY, headers={"Accept-Encoding": "gzip, br"})
    assert answer.status_code == 200
    assert answer.mimetype == "text/javascript"
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    original = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    assert gzip.decompress(answer.data) == original
    assert len(answer.data) < len(original) / 2
    assert client.get(PLOTLY).data == original


def test_no_other_vendored_name_is_served(client: FlaskClient) -> None:
    assert client.get("/static-vendor/plotly-0.0.0.min.js").status_code == 404
    assert client.get("/static-vendor/..%2fpyproject.toml").status_code == 404


def test_answers_are_not_kept_by_the_browser(client: FlaskClient) -> None:
    for path in ("/status", "/"):
        assert client.get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/static/js/main.js", "/static/css/page.css", "/calibration"])
def test_text_is_compressed_for_who_takes_it_so_and_is_the_same(ready: FlaskClient, path: str) -> None:
    plain = ready.get(path, buffered=True)
    answer = ready.get(path, headers={"Accept-Encoding": "gzip, deflate"}, buffered=True)
    assert "Content-Encoding" not in plain.headers
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) == len(answer.data) < len(plain.data) / 2
    assert gzip.decompress(answer.data) == plain.data
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_a_browser_that_has_the_compressed_text_is_told_to_keep_it(client: FlaskClient) -> None:
    gzipped = {"Accept-Encoding": "gzip"}
    etag = client.get("/static/js/main.js", headers=gzipped, buffered=True).headers["ETag"]
    again = client.get("/static/js/main.js", headers=gzipped | {"If-None-Match": etag}, buffered=True)
    assert (again.status_code, again.data) == (304, b"")


def test_a_short_answer_and_one_that_comes_by_and_by_are_not_compressed(ready: FlaskClient) -> None:
    gzipped = {"Accept-Encoding": "gzip"}
    assert "Content-Encoding" not in ready.get("/healthz", headers=gzipped).headers
    body = {"max_new_bytes": 64, "stream": True, "details": True}
    lines = ready.post("/infer", json=body, headers=gzipped)
    assert "Content-Encoding" not in lines.headers
    assert len(lines.data) > SMALLEST_BYTES
