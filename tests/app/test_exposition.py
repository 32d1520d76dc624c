"""The service's figures as Prometheus reads them."""

import re

from flask.testing import FlaskClient

from tests.app.rest import get, post
from tests.conftest import WaitUntil

SAMPLE = re.compile(r'([a-z_]+(?:\{[a-z]+="[^"\\\n]*"\})?) (\S+)')
RUN = {"bitlm_step", "bitlm_parameters", "bitlm_seen_bytes", "bitlm_training_seconds"}


def figures(client: FlaskClient) -> dict[str, float]:
    """Return every sample; each must follow a line that says its type, as the format asks."""
    answer = client.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.get_data(as_text=True).splitlines()
    samples = [SAMPLE.fullmatch(line) for line in lines if not line.startswith("#")]
    found = {sample[1]: float(sample[2]) for sample in samples if sample is not None}
    assert len(found) == len(samples), lines
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE ") and line.endswith(" gauge")}
    assert typed == {name.partition("{")[0] for name in found}
    return found


def test_figures_are_those_of_the_status_and_without_a_run_there_are_none_of_a_run(
    client: FlaskClient, tiny_run: dict[str, object], wait_until: WaitUntil
) -> None:
    wait_until(lambda: get(client, "/status")["state"] == "empty")
    before = figures(client)
    assert before.keys().isdisjoint(RUN)
    assert before['bitlm_state{state="empty"}'] == 1
    post(client, "/init", tiny_run, code=201)
    post(client, "/train-step", {"steps": 2})
    status, after = get(client, "/status"), figures(client)
    assert after['bitlm_state{state="empty"}'] == 0
    assert after[f'bitlm_state{{state="{status["state"]}"}}'] == 1
    told = {
        "bitlm_step": status["step"],
        "bitlm_parameters": status["parameters"],
        "bitlm_seen_bytes": status["bytes_seen"],
        "bitlm_bits_per_byte": status["bits_per_byte"],
        "bitlm_training_seconds": status["elapsed_s"],
    }
    assert {name: after[name] for name in told} == told
    assert after["bitlm_disk_free_bytes"] > 0
