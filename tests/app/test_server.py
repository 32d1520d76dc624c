"""The real thing: `python -m app` under gunicorn, watched over a socket, stopped and started again."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import socketio  # type: ignore[import-untyped] # it ships no types

from tests.conftest import TINY, serving

if TYPE_CHECKING:
    from tests.conftest import RunningServer, Serve, WaitUntil


STOPPING_S = 10.0
"""Within which a service has ended, whatever goes on in it."""


def call(server: "RunningServer", path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """GET `path`, or POST `body` to it; of an answer line by line return the last line."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - our own server
        content: dict[str, Any] = json.loads(answer.readlines()[-1])
    return content


class Watcher:
    """A page's end of the socket, as python-socketio has it."""

    def __init__(self, server: "RunningServer", origin: str | None = None) -> None:
        self.updates: list[dict[str, Any]] = []
        options = {"origin": origin or server.url}
        self.client = socketio.Client(reconnection=False, websocket_extra_options=options)
        self.client.on("update", self.updates.append)
        self.client.connect(server.url, transports=["websocket"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["RunningServer"]:
    """One server, with room for one socket, for all tests that do not end theirs."""
    with serving(tmp_path_factory.mktemp("server")) as serve:
        yield serve(BITLM_MAX_SOCKETS="1")


@pytest.fixture
def watcher(server: "RunningServer", wait_until: "WaitUntil") -> Iterator[Watcher]:
    """The only one: it comes in as soon as the one before has left."""
    made: Watcher = wait_until(lambda: _watcher_or_none(server))
    yield made
    made.client.disconnect()


def test_whoever_watches_is_told_of_every_step_and_every_event_in_order(
    server: "RunningServer", watcher: Watcher, tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    run_id = call(server, "/init", tiny_run)["run_id"]
    call(server, "/train/start", {})
    wait_until(lambda: len([update for update in watcher.updates if update["metrics"].get("step")]) >= 3)
    call(server, "/config/telemetry", {"lambda_K": 0.1})
    paused = call(server, "/train/pause", {})
    wait_until(lambda: watcher.updates[-1]["status"] == call(server, "/status"))

    ours = [update for update in watcher.updates if update["run_id"] == run_id]
    steps = [step for update in ours for step in update["metrics"]["step"]]
    assert steps == list(range(1, paused["step"] + 1))
    identities = [event["event_id"] for update in ours for event in update["events"]]
    assert identities == sorted(set(identities))
    kinds = [event["kind"] for update in ours for event in update["events"]]
    assert {"run_created", "training_started", "telemetry_changed", "training_paused"} <= set(kinds)
    assert ours[-1]["status"]["state"] == "paused"


def test_a_page_of_another_origin_gets_no_socket(server: "RunningServer") -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        Watcher(server, origin="http://evil.example")


def test_sockets_beyond_the_cap_are_turned_away_and_the_page_still_answers(
    server: "RunningServer", watcher: Watcher, wait_until: "WaitUntil"
) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        Watcher(server)
    assert call(server, "/healthz")["status"] == "ok"
    watcher.client.disconnect()
    later = wait_until(lambda: _watcher_or_none(server))
    later.client.disconnect()


def _watcher_or_none(server: "RunningServer") -> Watcher | None:
    try:
        return Watcher(server)
    except socketio.exceptions.ConnectionError:
        return None


def test_a_server_told_to_end_keeps_the_step_and_the_next_one_shows_it_paused(
    serve: "Serve", tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    first = serve()
    watchers = [Watcher(first) for _ in range(8)]
    run_id = call(first, "/init", tiny_run)["run_id"]
    call(first, "/train/start", {})
    wait_until(lambda: call(first, "/status")["step"] >= 3)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(_ask_until_it_ends, first) for _ in range(8)]
        began = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - began < STOPPING_S
    assert {status for one in asked for status in one.result()} <= {200, 503}
    for watcher in watchers:
        wait_until(lambda: not watcher.client.connected)  # noqa: B023 - called at once
    kinds = [line["event"] for line in _logged(first) if line["logger"] == "bitlm.events"]
    assert kinds[:2] == ["run_created", "checkpoint_saved"]
    assert {"training_started", "training_paused"} < set(kinds)

    second = serve(first.data_dir)
    status = wait_until(lambda: _paused(second))
    assert status["run_id"] == run_id
    columns = call(second, f"/runs/{run_id}/metrics")["columns"]
    assert columns["step"] == list(range(1, status["step"] + 1))
    events = call(second, f"/runs/{run_id}/events")["events"]
    assert [event["payload"]["recomputed"] for event in events if event["kind"] == "run_resumed"] == [0]
    assert call(second, "/train-step", {"steps": 1})["step"] == status["step"] + 1
    assert second.stop() == 0


def _ask_until_it_ends(server: "RunningServer") -> list[int]:
    """Return how the requests were answered; one that is cut off after its first byte is an error."""
    statuses = []
    while True:
        try:
            call(server, "/infer", {"prompt": "The ", "max_new_bytes": 16})
        except urllib.error.HTTPError as error:
            statuses.append(error.code)
        except (urllib.error.URLError, ConnectionError):
            return statuses
        else:
            statuses.append(200)


def _logged(server: "RunningServer") -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def _paused(server: "RunningServer") -> dict[str, Any] | None:
    status = call(server, "/status")
    return status if status["state"] == "paused" else None


@dataclass(frozen=True)
class Told:
    """What a service logged that was asked before it had a run, then for refused texts and for a replay.

    Attributes:
        text: All that it wrote to stderr.
        answer: The first text, which was not asked for strictly.
    """

    text: str
    answer: dict[str, Any]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> Told:
    asked = {"prompt": "The secret", "seed": 1, "max_new_bytes": 64}
    with serving(tmp_path_factory.mktemp("told")) as serve:
        server = serve()
        with pytest.raises(urllib.error.HTTPError):
            call(server, "/infer", {})
        with pytest.raises(urllib.error.HTTPError):
            call(server, "/estimate", {"d_model": 1})
        call(server, "/init", TINY | {"corpus": str(corpus_file)})
        answer = call(server, "/infer", asked)
        with pytest.raises(urllib.error.HTTPError):
            call(server, "/infer", asked | {"strict": True})
        assert call(server, "/infer", asked | {"stream": True})["answer"]["text"] == answer["text"]
        replay = f"/runs/{answer['run_id']}/replay"
        call(server, replay, {})
        server.ask("DELETE", replay)
        assert server.stop() == 0
    return Told(server.log.read_text(), answer)


def test_every_line_of_the_log_is_a_json_object(told: Told) -> None:
    lines = told.lines
    refused = [line for line in lines if line.get("path") == "/infer"]
    assert [line["status"] for line in refused] == [409, 200, 422, 200]
    assert [line for line in lines if line.get("path") == "/estimate"] == [], "asked while somebody types"
    assert [line for line in lines if line["logger"].startswith("gunicorn")] == []
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def test_each_of_32_requests_at_once_gets_the_verdict_it_gets_alone(
    server: "RunningServer", tiny_run: dict[str, Any]
) -> None:
    call(server, "/init", tiny_run)
    call(server, "/train-step", {"steps": 8})
    requests = [
        {
            "prompt": ("", "The ", "import", "é")[index % 4],
            "max_new_bytes": 24 + index,
            "temperature": (0.0, 0.3, 1.0)[index % 3],
            "seed": index,
            "c_floor": (0.0, 0.3, 0.9)[index % 3],
            "s_floor": (0.0, 0.2, 0.3, 0.5)[index // 3 % 4],
        }
        for index in range(32)
    ]
    alone = [call(server, "/infer", request) for request in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(lambda request: call(server, "/infer", request), requests))
    assert together == alone
    assert {answer["gate"]["passed"] for answer in together} == {True, False}
    for request, answer in zip(requests, together, strict=True):
        assert answer["seed"] == request["seed"]
        assert answer["gate"]["c_floor"] == request["c_floor"]
        assert answer["gate"]["s_floor"] == request["s_floor"]


def test_every_attempt_is_logged_with_what_was_against_it_and_without_its_text(told: Told) -> None:
    attempts = [line for line in told.lines if line["event"] == "sample_attempt"]
    assert [line["attempt"] for line in attempts] == [1, 2, 3, 4] * 3
    assert len({line["seed"] for line in attempts}) == 4
    figures = ("seed", "temperature", "top_p", "passed", "K", "C", "S", "repetition", "reasons", "stopped_at")
    logged = [{name: line[name] for name in figures} for line in attempts]
    answered = told.answer["gate"]["log"]
    assert logged[:4] == [{name: attempt[name] for name in figures} for attempt in answered]
    assert all(attempt["text"] for attempt in answered)
    assert not any("text" in line for line in attempts)
    assert all(line["reasons"] for line in logged)
    assert [line["stopped_at"] for line in logged[:4]].count(None) == 1
    assert None not in [line["stopped_at"] for line in logged[4:8]]
    assert "The secret" not in told.text


def test_what_the_models_thread_logs_for_a_request_has_the_requests_name(told: Told) -> None:
    def names(**wanted: Any) -> list[str]:
        return [line["request_id"] for line in told.lines if wanted.items() <= line.items()]

    plain, strict, streamed = names(path="/infer")[1:]
    assert names(event="sample_attempt") == [plain] * 4 + [strict] * 4 + [streamed] * 4
    assert names(event="run_live") == names(path="/init")
    begun, _cancelled = names(path=f"/runs/{told.answer['run_id']}/replay")
    assert names(event="job_ended") == [begun]


def test_a_port_that_is_taken_is_one_sentence_and_exit_code_2(server: "RunningServer") -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app"],
        env=os.environ
        | {"BITLM_PORT": server.url.rpartition(":")[2], "BITLM_DATA_DIR": str(server.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert re.fullmatch(r"error: 127.0.0.1:\d+: Address already in use; .*BITLM_PORT.*\n", ended.stderr)
