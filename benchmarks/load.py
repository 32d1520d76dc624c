"""Does the service stay usable while it is attacked, or watched by many? Prints a table, writes its results.

The real service trains a tiny run throughout. Each attack is a row, made by a process of its own: handshakes
of sockets that never go on, requests that come byte by byte (slowloris), a message that unpacks to a thousand
times its size, readers that stop reading. Meanwhile a legitimate request is asked again and again. Then many
pages watch, and training is timed with and without them, in turn.
`python -m benchmarks.load`
"""

import argparse
import re
import socket
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from statistics import median

import numpy as np

from benchmarks.packets import CONNECT
from benchmarks.record import RESULTS, keep
from benchmarks.service_latency import START_DEADLINE_S, wait_until
from benchmarks.target import PLOTLY, Target, target
from benchmarks.wire import exchange, frame, handshake

Address = tuple[str, int]

THREADS, MAX_SOCKETS = 256, 240
ATTACKED_THREADS = 48
"""As many as the service has unless told otherwise."""
HALF_OPEN, SLOW, STALLED = 64, 2 * ATTACKED_THREADS, 20
BOMB_BYTES, BETWEEN_BOMBS_S = 64 * 2**20, 0.5
SETTLED_STEPS = 500
"""After which training holds the memory that it needs."""
ANSWER_BAR_S, THREADS_BAR_S, GROWTH_BAR_BYTES = 10.0, 30.0, 20 * 2**20
ADMITTED_AFTER_S = 15.0
"""After which a new viewer must get a socket, whoever else holds some."""
LATENESS_BAR_S, SLOWED_BAR = 0.5, 0.25


UPDATE = b'42["update",'
STEPS = re.compile(rb'"step":\[([\d,]+)\]')


@dataclass(frozen=True)
class Row:
    """What came of one attack, or of many who watch.

    Attributes:
        what: The attack.
        values: What was measured; units are in the names.
        passed: Whether every bar was kept.
    """

    what: str
    values: dict[str, float]
    passed: bool


def open_halfway(address: Address, seconds: float) -> None:
    """Ask for sockets and never say a word on them."""
    held = [socket.create_connection(address) for _ in range(HALF_OPEN)]
    for connection in held:
        connection.sendall(handshake(address))
    time.sleep(seconds)


def trickle(address: Address, seconds: float) -> None:
    """Send requests byte by byte, of which the end never comes."""
    held = [socket.create_connection(address) for _ in range(SLOW)]
    ends = time.monotonic() + seconds
    for connection in held:
        connection.sendall(b"GET /status HTTP/1.1\r\n")
    while time.monotonic() < ends:
        for connection in list(held):
            try:
                connection.sendall(b"X")
            except OSError:
                held.remove(connection)
        time.sleep(1.0)


def bomb(address: Address, seconds: float) -> None:
    """Send a deflated message that is a thousand times as long as what is sent, again and again."""
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(b"4" * BOMB_BYTES) + packer.flush(zlib.Z_SYNC_FLUSH)
    asked = handshake(address)[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        with socket.create_connection(address) as connection:
            exchange(connection, asked, b"\r\n\r\n", left)
            exchange(connection, frame(packed.removesuffix(b"\0\0\xff\xff"), flags=0xC0), b"never", left)
        time.sleep(BETWEEN_BOMBS_S)


def stall(address: Address, seconds: float) -> None:
    """Ask for long answers and read none; whoever still has the whole after `THREADS_BAR_S` was waited for.

    Raises:
        SystemExit: One was.
    """
    host = f"Host: {address[0]}:{address[1]}\r\n\r\n".encode()
    held = []
    for _ in range(STALLED):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        connection.sendall(f"GET {PLOTLY} HTTP/1.1\r\n".encode() + host)
        held.append(connection)
    time.sleep(max(seconds, THREADS_BAR_S))
    if any(read_whole(connection) for connection in held):
        sys.exit(1)


def read_whole(connection: socket.socket) -> bool:
    """Whether the whole answer comes, as to one who was waited for."""
    answer = exchange(connection, b"", b"never", ANSWER_BAR_S)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return length is None or len(body) >= int(length[1])


ATTACKS: dict[str, Callable[[Address, float], None]] = {
    "half-open sockets": open_halfway,
    "slowloris": trickle,
    "deflate bomb": bomb,
    "stalled readers": stall,
}


def attacked(service: Target, what: str, seconds: float) -> Row:
    """Attack for so long, ask for the status meanwhile, and see what is left afterwards."""
    resident, threads, worker = service.resident_bytes, service.threads, service.worker
    process = get_context("spawn").Process(target=ATTACKS[what], args=(service.address, seconds))
    process.start()
    slowest_s, most, is_admitted, began = 0.0, resident, False, time.monotonic()
    while process.is_alive():
        if not is_admitted and time.monotonic() - began > ADMITTED_AFTER_S:
            is_admitted = admits(service.address)
        slowest_s = max(slowest_s, answered_after_s(service.address))
        most = max(most, service.resident_bytes)
        time.sleep(0.2)
    process.join()
    is_quiet = wait_for_threads(service, threads + ATTACKED_THREADS)
    values = {
        "slowest_answer_s": slowest_s,
        "grown_bytes": float(most - resident),
        "viewer_admitted": float(is_admitted),
        "threads_before": float(threads),
        "threads_after": float(service.threads),
    }
    kept = slowest_s <= ANSWER_BAR_S and service.worker == worker and is_quiet
    kept = kept and is_admitted and process.exitcode == 0
    return Row(what, values, kept and (what != "deflate bomb" or most - resident < GROWTH_BAR_BYTES))


def wait_for_threads(service: Target, most: int) -> bool:
    """Whether it soon has no more threads than that; those of gunicorn's pool stay once they were needed."""
    try:
        wait_until(lambda: service.threads <= most, THREADS_BAR_S)
    except TimeoutError:
        return False
    return True


def admits(address: Address) -> bool:
    """Whether one more viewer gets a socket."""
    with socket.create_connection(address) as connection:
        return b" 101 " in exchange(connection, handshake(address), b"\r\n\r\n", ANSWER_BAR_S)


def answered_after_s(address: Address) -> float:
    """Return how long the status took to come, or the deadline where it did not."""
    began = time.monotonic()
    asked = f"GET /status HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n\r\n".encode()
    deadline_s = 3 * ANSWER_BAR_S
    with socket.create_connection(address) as connection:
        received = exchange(connection, asked, b"}", deadline_s)
    return time.monotonic() - began if received.startswith(b"HTTP/1.1 200 ") else deadline_s


def watch(address: Address, viewers: int, seconds: float, told: Connection) -> None:
    """Watch with many sockets; tell how many steps were missed, and how late each update came.

    Late is what comes after the first of the viewers has it.
    """
    selector, held = DefaultSelector(), []
    for number in range(viewers):
        connection = socket.create_connection(address)
        exchange(connection, handshake(address), b"\r\n\r\n", START_DEADLINE_S)
        connection.sendall(CONNECT)
        connection.setblocking(False)  # noqa: FBT003 - the socket's own signature
        selector.register(connection, EVENT_READ, number)
        held.append(connection)
    unread = [b""] * viewers
    seen: list[list[int]] = [[] for _ in range(viewers)]
    first: dict[int, float] = {}
    late_s: list[float] = []
    ends = time.monotonic() + seconds
    while (now := time.monotonic()) < ends:
        for key, _ in selector.select(ends - now):
            unread[key.data] += held[key.data].recv(2**20)
            *whole, unread[key.data] = unread[key.data].split(UPDATE)
            for steps in (STEPS.search(one) for one in whole):
                if steps is not None and steps[1]:
                    seen[key.data] += [int(step) for step in steps[1].split(b",")]
                    came = time.monotonic()
                    late_s.append(came - first.setdefault(seen[key.data][-1], came))
    missed = sum(one[-1] - one[0] + 1 - len(one) for one in seen if one) + 10**6 * sum(
        not one for one in seen
    )
    told.send((missed, late_s))


def watched(service: Target, viewers: int, seconds: float, turns: int) -> Row:
    """Time training with and without viewers, in turn."""
    alone, together, missed, late_s = [], [], 0, [0.0]
    context = get_context("spawn")
    for _ in range(turns):
        alone.append(steps_per_s(service, seconds))
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=watch, args=(service.address, viewers, 3 * seconds, theirs))
        process.start()
        wait_until(lambda: service.threads > viewers, START_DEADLINE_S)
        together.append(steps_per_s(service, seconds))
        lost, lateness = ours.recv()
        process.join()
        missed, late_s = missed + lost, late_s + lateness
    slowed = 1 - median(with_them / without for with_them, without in zip(together, alone, strict=True))
    p99_s = float(np.percentile(late_s, 99))
    values = {
        "viewers": float(viewers),
        "updates": float(len(late_s) - 1),
        "missed_steps": float(missed),
        "lateness_p99_s": p99_s,
        "training_slowed": slowed,
    }
    kept = missed == 0 and p99_s < LATENESS_BAR_S and slowed < SLOWED_BAR and len(late_s) > viewers
    return Row(f"{viewers} viewers", values, kept)


def steps_per_s(service: Target, seconds: float) -> float:
    """Return how fast it trains."""
    began, first = time.monotonic(), service.call("/status")["step"]
    time.sleep(seconds)
    return float((service.call("/status")["step"] - first) / (time.monotonic() - began))


def begin_training(service: Target) -> None:
    """Make a tiny run and let it train."""
    service.make_run(checkpoint_interval=100_000)
    service.call("/train/start", {})
    wait_until(lambda: service.call("/status")["step"] > SETTLED_STEPS, START_DEADLINE_S)


def main() -> None:
    """Attack, watch, print, write; the exit code says whether the bars were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each attack, and of each turn")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    rows = []
    for what in ATTACKS:
        with target(BITLM_LOG_LEVEL="error") as service:
            begin_training(service)
            rows.append(attacked(service, what, options.seconds))
            print(rows[-1], flush=True)
    many = {"BITLM_THREADS": str(THREADS), "BITLM_MAX_SOCKETS": str(MAX_SOCKETS), "BITLM_MAX_WAITING": "8"}
    with target(BITLM_LOG_LEVEL="error", **many) as service:
        begin_training(service)
        rows.append(watched(service, options.viewers, options.seconds, options.turns))
        print(rows[-1], flush=True)
    settings = {name: getattr(options, name) for name in ("seconds", "viewers", "turns")}
    keep(options.output, "load", by=__file__, settings=settings, rows=[asdict(row) for row in rows])
    sys.exit(0 if all(row.passed for row in rows) else 1)


if __name__ == "__main__":
    main()
