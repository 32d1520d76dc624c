"""Agents, by the protocol's own client, at a real service."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from app.mcp.catalogue import Offer, Scope, offers
from app.mcp.service import RunningService
from tests.conftest import ROOT, TINY, WaitUntil, free_port, serving


def run_alone(work: Callable[[], Awaitable[None]]) -> None:
    """Run in a thread of its own: in this one the tests with a browser keep an event loop."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(anyio.run, work).result()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that asks for a token, asked with the one that may everything."""
    with serving(tmp_path_factory.mktemp("served")) as start:
        server = start(BITLM_REQUIRE_TOKEN="true")  # noqa: S106 - a setting, no token
        tokens = json.loads((server.data_dir / "tokens.json").read_text())
        yield RunningService(server.url, tokens["destructive"])


@pytest.fixture(scope="module")
def offered(served: RunningService) -> list[Offer]:
    return offers(served.ask("GET", "/openapi.json"))


@pytest.fixture
def over_http(served: RunningService, wait_until: WaitUntil) -> Iterator[str]:
    """The address of a server for agents that was allowed nothing besides."""
    port = str(free_port())
    settings = environment(served) | {"BITLM_MCP_TRANSPORT": "streamable-http", "BITLM_MCP_PORT": port}
    process = subprocess.Popen([sys.executable, "-m", "app.mcp"], cwd=ROOT, env=settings)

    def listens() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(port))) == 0

    wait_until(listens)
    yield f"http://127.0.0.1:{port}/mcp"
    process.terminate()
    process.wait(timeout=60)


LEARNS_LATE = TINY | {
    "num_layers": 1,
    "d_model": 8,
    "nhead": 1,
    "dim_feedforward": 16,
    "batch_size": 1,
    "max_seq_len": 128,
    "mixing": "none",
    "ngram_order": 1,
    "recall": False,
    "warmup_steps": 2000,
    "learning_rate": 0.02,
    "probe_interval": 10_000,
    "validation_interval": 10_000,
    "diagnostics_interval": 10_000,
}
"""Settings of a run whose K rises by more than 0.2 from the second hundred of its steps to the third."""


def environment(served: RunningService) -> dict[str, str]:
    return os.environ | {"BITLM_MCP_URL": served.url, "BITLM_MCP_TOKEN": served.token or ""}


def text_of(answer: Any) -> str:
    (content,) = answer.content
    return str(content.text)


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, answer.content
    told: dict[str, Any] = answer.structured_content
    assert json.loads(text_of(answer)) == told
    return told


def test_an_agent_trains_moves_a_slider_samples_through_the_gate_and_reads_what_happened(
    served: RunningService, offered: list[Offer], corpus_file: Path
) -> None:
    started = StdioServerParameters(
        command=sys.executable,
        args=["-m", "bitlm", "mcp", "--allow-write"],
        env=environment(served),
        cwd=str(ROOT),
    )

    async def work() -> None:
        async with Client(started) as client:
            made = await called(client, "post_init", **LEARNS_LATE, corpus=str(corpus_file))
            assert (await called(client, "post_train_step", steps=3))["step"] == 3
            assert (await called(client, "post_config_telemetry", lambda_K=0.25))["lambda_K"] == 0.25
            sample = await called(client, "post_infer", prompt="The ", max_new_bytes=16, strict=False)
            assert {"text", "gate"} <= sample.keys()
            journal = await called(client, "get_runs_run_id_journal", run_id=made["run_id"])
            told = [(entry["kind"], entry["source"]) for entry in journal["entries"]]
            assert told == [("steps_requested", "mcp"), ("telemetry_changed", "mcp")]
            assert (await called(client, "post_train_step", steps=310))["step"] == 313
            metrics = f"bitlm://runs/{made['run_id']}/metrics"
            assert metrics in [resource.uri for resource in (await client.list_resources()).resources]
            (read,) = (await client.read_resource(metrics)).contents
            assert json.loads(read.text) == served.ask("GET", f"/runs/{made['run_id']}/metrics")  # type: ignore[union-attr] # it is text
            assert (await called(client, "get_status"))["step"] == 313
            events = await called(client, "get_runs_run_id_events", run_id=made["run_id"])
            assert events == served.ask("GET", f"/runs/{made['run_id']}/events")
            (alert,) = (event for event in events["events"] if event["kind"] == "drift_alert")
            assert (alert["source"], alert["payload"]["metric"]) == ("session", "K")
            assert alert["payload"]["after"] > alert["payload"]["before"] + 0.2
            wrong = await client.call_tool("post_config_telemetry", {"lambda_K": 7})
            assert wrong.is_error
            assert "lambda_K" in text_of(wrong)
            gone = await client.call_tool("delete_runs_run_id", {"run_id": made["run_id"]})
            assert gone.is_error
            assert "--allow-destructive" in text_of(gone)
            named = {tool.name for tool in (await client.list_tools()).tools}
            assert named == {offer.name for offer in offered if offer.scope <= Scope.TUNE}

    run_alone(work)


def test_without_being_told_more_agents_can_look_and_every_write_is_refused(
    served: RunningService, offered: list[Offer], over_http: str
) -> None:
    async def work() -> None:
        async with Client(over_http) as client:
            listed = (await client.list_tools()).tools
            assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in listed)
            before = served.ask("GET", "/runs")
            writes = [offer for offer in offered if offer.scope > Scope.READ]
            assert len(writes) > 15
            for offer in writes:
                refused = await client.call_tool(offer.name, {"run_id": "none", "step": 0})
                assert refused.is_error
                assert "this server was started without" in text_of(refused)
            assert served.ask("GET", "/runs") == before
            with pytest.raises(MCPError, match="there is no resource"):
                await client.read_resource("bitlm://runs/../openapi.json?x")

    run_alone(work)


def test_every_route_with_a_json_answer_is_a_tool_with_its_meaning_and_its_scope(
    offered: list[Offer],
) -> None:
    scopes = {offer.name: offer.scope for offer in offered}
    assert scopes["get_status"] is scopes["post_infer"] is scopes["get_healthz"] is Scope.READ
    assert scopes["post_train_start"] is Scope.TUNE
    assert scopes["delete_runs_run_id"] is scopes["post_runs_run_id_trash"] is Scope.DESTRUCTIVE
    assert "get_metrics" not in scopes  # it is text
    assert all(offer.description and offer.takes["type"] == "object" for offer in offered)
    assert "$ref" not in json.dumps([offer.takes for offer in offered]).replace('"$ref": "#/$defs/', "")


def test_arguments_find_their_places() -> None:
    takes = {"type": "object", "properties": {}, "required": []}
    offer = Offer(
        "x", "x", "x", "PATCH", "/runs/{run_id}/x", Scope.TUNE, takes, None, frozenset({"all"}), has_body=True
    )
    assert offer.request({"run_id": "a/b", "all": True, "name": "n"}) == (
        "/runs/a%2Fb/x", {"all": "true"}, {"name": "n"},
    )  # fmt: skip
    assert offer.matches("/runs/a/x")
    assert not offer.matches("/runs/a/b/x")
