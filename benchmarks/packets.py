"""Packets to the socket, most of which no page would send: for benchmarks/fuzz.py."""

import socket
from random import Random

from benchmarks.wire import Outcome, exchange, frame, handshake, read_to_the_end

PACKETS_PER_SOCKET = 5
QUIET_S = 1.0
"""How long the answer to the last packet is waited for; after some packets there is none."""

CONNECT = frame(b"40")
LAST, ITS_ANSWER = frame(b"40/last,"), b"/last,"
"""A packet whose answer says that all before it were read."""

TEXTS = (
    b"", b"0", b"1", b"2", b"2probe", b"3", b"3probe", b"4", b"5", b"6",
    b"7", b"9", b"x", b"40", b"40{}", b'40{"token":1}',
    b"40/none,", b"41", b"41/none,", b'42["update",{}]', b'42["none"]',
    b"42[]", b"42{}", b"42null", b"42[", b"42[1]",
    b'42[["a"]]', b'42[{"a":1}]', b'420["none"]', b'4299999999999999999999["a"]',
    b"43[]", b"430[]", b'43999["ack"]',
    b'44{"message":"no"}', b"44", b'451-["a",{"_placeholder":true,"num":0}]',
    b"450-[]", b"4599999999999-[]", b"45-1-[]",
    b'451-["a",{"_placeholder":true,"num":7}]', b'451-["a",{"_placeholder":1,"num":"x"}]',
    b"46", b"461-[]", b"47", b"49",
    b'42["connect"]', b'42["disconnect"]', b'42["__proto__"]',
    b'42["update","' + b"a" * 3000 + b'"]', b"4" + b"[" * 3000,
    b'42["\xff\xfe"]', b'42["\\ud800"]', b"4\x00", b"2" * 4000, b"bAAAA",
    b"b====", b"\xf0\x9f", b'42["a",NaN]', b"4" * 5000,
)  # fmt: skip
"""Engine.IO's and Socket.IO's packets, whole and broken."""


def send(address: tuple[str, int], random: Random, deadline_s: float) -> list[Outcome]:
    """Open a socket, send packets, hang up; tell of each packet what came of the socket.

    What can upset the framing, so that nothing behind it is read, is the last.
    """
    packets = [well_framed(random) for _ in range(PACKETS_PER_SOCKET - 1)] + [packet(random)]
    connect = CONNECT if random.random() < 0.8 else b""
    with socket.create_connection(address, deadline_s) as connection:
        opening = exchange(connection, handshake(address), b"\r\n\r\n", deadline_s)
        exchange(connection, b"".join((connect, *packets, LAST)), ITS_ANSWER, QUIET_S)
        connection.settimeout(deadline_s)
        _, is_over = read_to_the_end(connection, b"", deadline_s)
    status = opening[9:12].decode("latin-1")
    fault = None if is_over else "hang"
    if not opening.startswith(b"HTTP/1.1 101 "):
        fault = status or "no handshake"
    return [Outcome(status, fault, one) for one in packets]


def well_framed(random: Random) -> bytes:
    """Return a frame with one of the known packets, or one of them changed."""
    payload = bytearray(random.choice(TEXTS))
    if random.random() < 0.4 and payload:
        payload[random.randrange(len(payload))] = random.randrange(256)
    return frame(bytes(payload), opcode=random.choice((1, 1, 1, 2)))


def packet(random: Random) -> bytes:
    """Return any frame, or what is none."""
    if random.random() < 0.2:
        return random.randbytes(random.randrange(1, 64))
    return frame(
        random.choice(TEXTS),
        opcode=random.randrange(16),
        flags=random.choice((0x80, 0x80, 0x00, 0x40, 0xC0, 0xF0)),
        length=random.choice((None, None, None, 1, 125, 70_000, 2**40, 2**63)),
    )
