"""Bytes to the service and back, with nothing between that would put them right."""

import os
import socket
import struct
import time
from dataclasses import dataclass

READ_AT_ONCE = 65_536


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    Attributes:
        what: The status it was answered, or how it ended.
        fault: What is wrong with that; None where nothing is.
        sent: What was sent, for whoever looks into it.
    """

    what: str
    fault: str | None
    sent: bytes


def read_to_the_end(connection: socket.socket, data: bytes, deadline_s: float) -> tuple[bytes, bool]:
    """Send `data` and that it is all; return what came, and whether the other side ended in time."""
    received, deadline = bytearray(), time.monotonic() + deadline_s
    try:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while time.monotonic() < deadline:
            more = connection.recv(READ_AT_ONCE)
            if not more:
                return bytes(received), True
            received += more
    except TimeoutError:
        return bytes(received), False
    except OSError:  # it hung up on what we still sent
        return bytes(received), True
    return bytes(received), False


def exchange(connection: socket.socket, data: bytes, awaited: bytes, deadline_s: float) -> bytes:
    """Send `data`; return what came until `awaited` was in it, the other side ended, or time was over."""
    received, deadline = bytearray(), time.monotonic() + deadline_s
    try:
        connection.sendall(data)
        while awaited not in received and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            more = connection.recv(READ_AT_ONCE)
            if not more:
                break
            received += more
    except OSError:  # its time is over, or it hung up on what we still sent
        pass
    return bytes(received)


def handshake(address: tuple[str, int]) -> bytes:
    """Return the request that opens a websocket of Socket.IO."""
    host = f"{address[0]}:{address[1]}"
    return (
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = 1, *, flags: int = 0x80, length: int | None = None) -> bytes:
    """Return a client's frame (RFC 6455, section 5.2).

    Args:
        payload: Not yet masked.
        opcode: 1 for text, 2 for binary, 8 for closing, 9 and 10 for ping and pong; 0 goes on.
        flags: The bits above the opcode: 0x80 ends a message, 0x40 says that it is deflated.
        length: What is said to be the payload's; the true one unless given.
    """
    said, mask = len(payload) if length is None else length, os.urandom(4)
    if said < 126:
        size = struct.pack("!B", 0x80 | said)
    elif said < 65_536:
        size = struct.pack("!BH", 0xFE, said)
    else:
        size = struct.pack("!BQ", 0xFF, said)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([flags | opcode]) + size + mask + masked
