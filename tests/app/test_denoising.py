"""Texts that are filled in rather than written, by REST."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

GAP = {"mode": "diffusion", "prompt": "The ", "suffix": " end.", "max_new_bytes": 12, "seed": 3, "steps": 4}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"steps": 4}, "steps", "give mode='diffusion' with it"),
    ({"mode": "diffusion", "steps": 257}, "steps", "256"),
    ({"mode": "diffusion", "noise_schedule": "sine"}, "noise_schedule", "linear"),
    ({"mode": "diffusion", "sampler": "best"}, "sampler", "ancestral"),
    ({"mode": "diffusion", "block_bytes": 17}, "block_bytes", "half a window"),
    ({"mode": "diffusion", "template": ["a"]}, "template", "leave at least one byte"),
    ({"mode": "diffusion", "template": ["a", 2], "prompt": "b"}, "prompt", "leave prompt out"),
]
"""What cannot be filled in, with the field that is named and the fix."""


@pytest.fixture
def mixed(client: FlaskClient, tiny_run: dict[str, Any]) -> FlaskClient:
    """A client of a service whose run learns to denoise."""
    assert client.post("/init", json={**tiny_run, "objective": "mixed"}).status_code == 201
    assert client.post("/train-step", json={"steps": 5}).status_code == 200
    return client


def asked(client: FlaskClient, **request: Any) -> dict[str, Any]:
    answer = client.post("/infer", json=request)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_gap_is_filled_in_the_same_by_its_seed_and_judged(mixed: FlaskClient) -> None:
    first, second = (asked(mixed, **GAP) for _ in range(2))
    assert first == second
    assert len(first["bits"]) == 12 * 8
    assert first["gate"]["c_floor"] == 0.3
    assert asked(mixed, **{**GAP, "seed": 4})["bits"] != first["bits"]
    surprise = sum(character["surprise_bits"] for character in first["characters"])
    assert surprise > 0
    events = mixed.get(f"/runs/{first['run_id']}/events").get_json()["events"]
    event = next(one for one in events if one["kind"] == "sample")
    assert event["payload"]["request"]["denoise"]["suffix"] == " end."


def test_frames_come_before_the_text_and_keep_what_was_given(mixed: FlaskClient) -> None:
    answer = mixed.post("/infer", json={**GAP, "stream": True, "c_floor": 0, "s_floor": 0})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["kind"] for line in lines] == [
        "start",
        "attempt",
        *["frame"] * 5,
        "text",
        "verdict",
        "answer",
    ]
    frames = lines[2:7]
    assert [(frame["step"], frame["steps"]) for frame in frames] == [(step, 4) for step in range(5)]
    for frame in frames:
        assert bytes(frame["values"][:4]) == b"The "
        assert bytes(frame["values"][16:]) == b" end."
        assert frame["confidence"][:4] == [1.0] * 4
        hidden = [value is None for value in frame["values"]]
        assert hidden == [value is None for value in frame["confidence"]]
    assert frames[0]["values"][4:16] == [None] * 12
    told = "".join(character["text"] for character in lines[7]["characters"])
    assert told == bytes(frames[-1]["values"][4:16]).decode(errors="replace") == lines[-1]["answer"]["text"]


def test_a_strict_request_tells_no_frame(mixed: FlaskClient) -> None:
    answer = mixed.post("/infer", json={**GAP, "stream": True, "strict": True, "s_floor": 0, "c_floor": 0})
    kinds = {json.loads(line)["kind"] for line in answer.text.splitlines()}
    assert "frame" not in kinds
    assert {"text", "answer"} <= kinds
    refused = mixed.post("/infer", json={**GAP, "strict": True, "s_floor": 1})
    assert refused.status_code == 422
    assert refused.get_json()["gate"]["attempts"] == 4


def test_how_much_is_denoised_is_changed_while_training(mixed: FlaskClient) -> None:
    assert mixed.get("/config/telemetry").get_json()["causal_share"] == 0.5
    answer = mixed.post("/config/telemetry", json={"causal_share": 0})
    assert answer.get_json()["causal_share"] == 0
    step = mixed.post("/train-step", json={"steps": 1}).get_json()["step"]
    run = mixed.get("/status").get_json()["run_id"]
    (bound,) = mixed.get(f"/runs/{run}/metrics?since={step - 1}").get_json()["columns"]["bound_bits_per_byte"]
    assert bound is not None
    assert mixed.post("/config/telemetry", json={"causal_share": 1}).status_code == 200
    mixed.post("/train-step", json={"steps": 1})
    (bound,) = mixed.get(f"/runs/{run}/metrics?since={step}").get_json()["columns"]["bound_bits_per_byte"]
    assert bound is None


def test_a_causal_run_says_what_it_lacks_for_denoising(ready: FlaskClient) -> None:
    assert "causal_share" not in ready.get("/config/telemetry").get_json()
    refused = ready.post("/config/telemetry", json={"causal_share": 0.5})
    assert refused.status_code == 422
    (error,) = refused.get_json()["errors"]
    assert (error["field"], error["value"]) == ("causal_share", 0.5)
    assert "make one with 'mixed'" in error["detail"]


@pytest.mark.parametrize("strict", [False, True])
def test_training_goes_on_between_the_steps(mixed: FlaskClient, *, strict: bool) -> None:
    long = {**GAP, "max_new_bytes": 40, "steps": 30, "strict": strict, "s_floor": 0, "c_floor": 0}
    assert mixed.post("/train/start", json={}).status_code == 200
    answer = mixed.post("/infer", json={**long, "stream": True})
    begun = json.loads(answer.text.splitlines()[0])["step"]
    assert mixed.get("/status").get_json()["step"] > begun + 3
    assert mixed.post("/train/stop", json={}).status_code == 200


def test_a_retry_may_be_written_the_other_way(mixed: FlaskClient) -> None:
    request = {"prompt": "The ", "max_new_bytes": 12, "seed": 3, "switch_modes": True, "s_floor": 1}
    answer = mixed.post("/infer", json={**request, "stream": True})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    begun = [line["mode"] for line in lines if line["kind"] == "attempt" and not line["resumed"]]
    assert begun == ["causal", "diffusion", "causal", "diffusion"]
    assert {line["attempt"] for line in lines if line["kind"] == "frame"} == {2, 4}
    log = lines[-1]["answer"]["gate"]["log"]
    assert [attempt["mode"] for attempt in log] == begun
    refused = mixed.post("/infer", json={**GAP, "switch_modes": True})
    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["field"] == "switch_modes"


def test_a_template_may_have_several_gaps_and_be_longer_than_the_window(mixed: FlaskClient) -> None:
    parts = ["The ", 3, " and ", 60, "."]
    answer = asked(mixed, mode="diffusion", template=parts, steps=2, seed=1)
    assert len(answer["bits"]) == (3 + 5 + 60) * 8
    middle = bytes(
        int("".join(map(str, answer["bits"][place : place + 8])), 2)
        for place in range(0, len(answer["bits"]), 8)
    )
    assert middle[3:8] == b" and "


def test_what_cannot_be_filled_in_is_refused(mixed: FlaskClient) -> None:
    for request, field, fix in REFUSED:
        answer = mixed.post("/infer", json=request)
        assert answer.status_code == 422, request
        assert field in answer.text
        assert fix in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_never_learned_it_says_how_one_would(ready: FlaskClient, *, stream: bool) -> None:
    answer = ready.post("/infer", json={**GAP, "stream": stream})
    assert answer.status_code == 422
    assert "objective='diffusion' or 'mixed'" in answer.text
