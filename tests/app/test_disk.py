"""A disk that is really full: a tmpfs of 20 MB in a mount namespace of the server's own."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import RunningServer, Serve, WaitUntil

TMPFS_BYTES = 20 * 2**20


def call(
    server: "RunningServer", path: str, body: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - our own server
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as problem:
        return problem.code, json.load(problem)


def kinds(server: "RunningServer", run_id: str) -> list[str]:
    return [event["kind"] for event in call(server, f"/runs/{run_id}/events")[1]["events"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "small-disk"
    made.mkdir()
    return made


def on_a_small_disk(folder: Path) -> tuple[str, ...]:
    """Return what starts a program with `folder` on a disk of its own, as root or as anyone."""
    names = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    script = f'mount -t tmpfs -o size={TMPFS_BYTES} tmpfs "{folder}" && exec "$@"'
    return ("unshare", *names, "--mount", "sh", "-c", script, "sh")


def fill(server: "RunningServer", folder: Path, leave_bytes: int) -> Path:
    """Fill the server's disk from outside, up to `leave_bytes`; return the file that does."""
    inside = Path(f"/proc/{server.process.pid}/root{folder}")
    room = os.statvfs(inside)
    ballast = inside / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(room.f_bavail * room.f_frsize - leave_bytes))
    return ballast


@pytest.mark.parametrize("pause_bytes", [2**20, 0], ids=["in time", "too late: ENOSPC"])
def test_a_full_disk_pauses_training_and_it_goes_on_when_there_is_room_again(
    serve: "Serve", folder: Path, tiny_run: dict[str, Any], wait_until: "WaitUntil", pause_bytes: int
) -> None:
    limits = {"BITLM_DISK_WARN_BYTES": str(2**21), "BITLM_DISK_PAUSE_BYTES": str(pause_bytes)}
    server = serve(folder, prefix=on_a_small_disk(folder), **limits)
    _, made = call(server, "/init", {**tiny_run, "checkpoint_interval": 10})
    run_id = made["run_id"]
    assert call(server, "/readyz")[0] == 200
    call(server, "/train/start", {})
    wait_until(lambda: call(server, "/status")[1]["step"] > 10)

    ballast = fill(server, folder, leave_bytes=0 if pause_bytes == 0 else pause_bytes // 2)
    full = wait_until(lambda: _stopped(server))
    assert full["disk"]["state"] == "full"
    assert "goes on by itself once there is room" in full["error"]
    assert call(server, "/healthz")[0] == 200
    code, problem = call(server, "/readyz")
    assert code == 503
    assert "disk is full" in problem["detail"]
    assert call(server, "/train-step", {"steps": 1})[0] == 507
    assert call(server, "/status")[1]["error"] == full["error"], "it still waits for room"
    if pause_bytes == 0:
        code, problem = call(server, "/config/telemetry", {"lambda_K": 0.4})
        assert code == 507, "what cannot be recorded is not acknowledged"
        assert call(server, "/status")[1]["telemetry"]["lambda_K"] == 0.0

    ballast.unlink()
    wait_until(lambda: call(server, "/status")[1]["step"] > full["step"] + 10)
    assert call(server, "/readyz")[0] == 200
    assert call(server, "/status")[1]["error"] is None
    assert call(server, "/config/telemetry", {"lambda_K": 0.4})[0] == 200
    call(server, "/train/pause", {})
    said = kinds(server, run_id)
    assert said.index("disk_alert") < said.index("disk_recovered")
    last = call(server, "/status")[1]["step"]
    columns = call(server, f"/runs/{run_id}/metrics?max_points=3000")[1]["columns"]
    if last < 3000:
        assert columns["step"] == list(range(1, last + 1)), "no step was lost and none was done twice"
    assert call(server, f"/runs/{run_id}/checkpoints")[1]["checkpoints"][0]["step"] == last


def _stopped(server: "RunningServer") -> dict[str, Any] | None:
    status = call(server, "/status")[1]
    return status if status["state"] == "paused" else None
