"""A small share of `python -m benchmarks.fuzz`, and what the whole of it found."""

import json
import socket
from collections.abc import Iterator

import pytest

from app.web.sockets import MOST_RECEIVED_BYTES, is_of_use
from benchmarks import fuzz, schema_cases
from benchmarks.packets import CONNECT, ITS_ANSWER, LAST, TEXTS
from benchmarks.target import Target, target
from benchmarks.wire import exchange, frame, handshake, read_to_the_end

HALF_A_MINUTE = 30.0


@pytest.fixture(scope="module")
def service() -> Iterator[Target]:
    with target(BITLM_LOG_LEVEL="error") as running:
        running.make_run()
        running.call("/train-step", {})
        yield running


def answer(service: Target, data: bytes) -> tuple[str, dict[str, object]]:
    with socket.create_connection(service.address) as connection:
        received, is_over = read_to_the_end(connection, data, HALF_A_MINUTE)
    assert is_over
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    return head[9:12].decode(), json.loads(body)


@pytest.mark.parametrize(("side", "cases"), [("raw", 300), ("socket", 200)])
def test_nothing_that_is_sent_brings_it_down(service: Target, side: str, cases: int) -> None:
    row, faults = fuzz.fuzz(service, side, cases, seed=0)
    assert row.passed, (row, faults[:3], service.complaints()[:3])
    assert row.cases == cases
    assert len(row.answers) > {"raw": 5, "socket": 0}[side], "the cases are of several kinds"


def test_what_it_answers_is_what_it_says(service: Target) -> None:
    outcomes = schema_cases.outcomes(service.url, seed=0, examples=2, phases=("fuzzing",))
    row, faults = fuzz.judge(service, "openapi", outcomes)
    assert row.passed, (row, faults[:3], service.complaints()[:3])
    assert row.cases >= 52
    assert {"200", "404", "422"} <= row.answers.keys()


def test_what_is_no_request_is_refused_with_a_problem(service: Target) -> None:
    host = b"Host: %s:%d\r\n" % (service.address[0].encode(), service.address[1])
    asked = {
        b"GET  HTTP/1.1\r\n" + host + b"\r\n": 400,
        b"GET /status HTTP/1.1\r\n" + host + b"No colon\r\n\r\n": 400,
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + host + b"\r\n": 414,
    }
    for data, status in asked.items():
        code, told = answer(service, data)
        assert (code, told["status"]) == (str(status), status)
    assert "Invalid HTTP Header" in str(answer(service, list(asked)[1])[1]["detail"])


@pytest.mark.parametrize(
    "path",
    [
        "/runs/no/events?since={}", "/runs/no/samples?since={}", "/runs/no/metrics?since={}",
        "/runs/no/journal?after={}", "/runs/no/model?step={}", "/runs/no/checkpoints/{}",
        "/runs/no/effect?event={}",
    ],
)  # fmt: skip
def test_a_number_that_no_database_holds_is_the_clients_mistake(service: Target, path: str) -> None:
    for number in (2**63, 10**30):
        asked = (
            f"GET {path.format(number)} HTTP/1.1\r\nHost: {service.address[0]}:{service.address[1]}\r\n\r\n"
        )
        assert answer(service, asked.encode())[0] in {"404", "405", "422"}


@pytest.mark.parametrize(
    "line", [b"Connection: Upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n", b"Upgrade: websocket\r\n"]
)
def test_half_a_handshake_is_no_mistake_of_ours(service: Target, line: bytes) -> None:
    code, told = answer(service, handshake(service.address).replace(line, b""))
    assert code == "400"
    assert "handshake" in str(told["detail"])


@pytest.mark.parametrize("leave", [b"1", b"41"])
def test_who_has_taken_leave_is_not_heard_any_more(service: Target, leave: bytes) -> None:
    with socket.create_connection(service.address) as connection:
        exchange(connection, handshake(service.address), b"\r\n\r\n", HALF_A_MINUTE)
        exchange(connection, CONNECT + frame(leave) + CONNECT, b"\x88", HALF_A_MINUTE)
        assert exchange(connection, b"", b"never", HALF_A_MINUTE) == b""
    assert service.complaints() == []


def test_a_packet_that_is_none_is_left_out_and_the_socket_stays(service: Target) -> None:
    broken = b"".join(
        frame(one)
        for one in TEXTS
        if not is_of_use(one.decode("utf-8", "replace")) and one.isascii() and len(one) <= MOST_RECEIVED_BYTES
    )
    with socket.create_connection(service.address) as connection:
        assert b" 101 " in exchange(connection, handshake(service.address), b"\r\n\r\n", HALF_A_MINUTE)
        received = exchange(connection, CONNECT + broken + LAST, ITS_ANSWER, HALF_A_MINUTE)
        assert received.endswith(b'/last,"Unable to connect"')
    assert service.complaints() == []


@pytest.mark.parametrize(
    "packet", ["1", "3", "40", "40{}", '40{"token": "a"}', "41", "40/other,", '40/other,{"a": 1}']
)
def test_packets_that_connect_and_keep_alive_are_heard(packet: str) -> None:
    assert is_of_use(packet)


@pytest.mark.parametrize(
    "packet", ["", "2", "3x", "4", '42["update"]', "40[", "40{", "401{}", "40" + '{"a":' * 9000, "x"]
)
def test_no_other_packets_are(packet: str) -> None:
    assert not is_of_use(packet)
