"""The four endpoints that the service has promised from the first day."""

from typing import Any

from flask.testing import FlaskClient

from bitlm.session import preset


def test_a_run_is_made_trained_steered_and_sampled(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    made = client.post("/init", json=tiny_run)
    assert made.status_code == 201
    assert made.json is not None
    assert made.json["step"] == 0
    assert made.json["parameters"] > 0
    assert made.json["config"]["d_model"] == 16
    assert made.json["config"]["seed"] == 0

    stepped = client.post("/train-step", json={"steps": 3})
    assert stepped.status_code == 200
    assert stepped.json is not None
    assert stepped.json["step"] == 3
    assert 0 < stepped.json["loss"] < 2
    assert set(stepped.json["telemetry"]) == {"K", "C", "S"}
    assert None not in stepped.json["telemetry"].values()

    steered = client.post("/config/telemetry", json={"lambda_K": 0.25})
    assert steered.status_code == 200
    assert steered.json == {"lambda_K": 0.25, "lambda_C": 0, "lambda_S": 0, "c_floor": 0.3, "s_floor": 0.5}
    assert client.get("/config/telemetry").json == steered.json

    sampled = client.post("/infer", json={"prompt": "The ", "max_new_bytes": 16, "seed": 1})
    assert sampled.status_code == 200
    assert sampled.json is not None
    assert len(sampled.json["bits"]) == 16 * 8
    assert {"passed", "attempts", "K", "C", "S", "reasons"} <= set(sampled.json["gate"])


def test_loss_and_bits_per_byte_are_of_the_same_batch(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    answer = client.post("/train-step", json={}).json
    assert answer is not None
    nats_per_byte = answer["loss"] * 8
    assert abs(answer["bits_per_byte"] - nats_per_byte / 0.6931471805599453) < 1e-9


def test_the_same_seed_repeats_a_sample(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    request = {"prompt": "A", "max_new_bytes": 8, "seed": 7}
    first, second = client.post("/infer", json=request), client.post("/infer", json=request)
    assert first.json == second.json


def test_a_seed_that_was_chosen_is_told_and_repeats_the_sample(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    client.post("/init", json=tiny_run)
    first = client.post("/infer", json={"max_new_bytes": 8}).json
    assert first is not None
    again = client.post("/infer", json={"max_new_bytes": 8, "seed": first["seed"]}).json
    assert again == first


def test_a_prompt_may_be_spelled_in_bits(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    letter_a = [0, 1, 0, 0, 0, 0, 0, 1]
    by_bits = client.post("/infer", json={"bits": letter_a, "max_new_bytes": 8, "seed": 7}).json
    by_text = client.post("/infer", json={"prompt": "A", "max_new_bytes": 8, "seed": 7}).json
    assert by_bits == by_text


def test_the_characters_spell_the_text(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    answer = client.post("/infer", json={"max_new_bytes": 32, "seed": 3}).json
    assert answer is not None
    assert "".join(character["text"] for character in answer["characters"]) == answer["text"]
    assert all(character["surprise_bits"] >= 0 for character in answer["characters"])


def test_given_text_and_the_same_text_in_bits_train_alike(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    client.post("/init", json=tiny_run)
    by_text = client.post("/train-step", json={"text": "AAAA"}).json
    client.post("/init", json=tiny_run)
    by_bits = client.post("/train-step", json={"bits": [0, 1, 0, 0, 0, 0, 0, 1] * 4}).json
    assert by_text is not None
    assert by_bits is not None
    assert by_text["loss"] == by_bits["loss"]


def test_a_pasted_text_is_a_corpus(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    tiny_run.pop("corpus")
    made = client.post("/init", json=tiny_run | {"text": "To be, or not to be. " * 50})
    assert made.status_code == 201
    status = client.get("/status").json
    assert status is not None
    assert status["corpus"]["name"] == "pasted text"
    assert status["corpus"]["bytes"] == 21 * 50


def test_a_size_is_where_the_other_settings_start_from(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    request = {"size": "tiny", "num_layers": 1, "max_seq_len": 256, "corpus": tiny_run["corpus"]}
    made = client.post("/init", json=request).json
    assert made is not None
    assert made["config"]["num_layers"] == 1
    assert made["config"]["d_model"] == preset("tiny")[0].d_model
