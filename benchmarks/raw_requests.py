"""Requests as bytes, most of which no client would send: for benchmarks/fuzz.py."""

import json
import re
import socket
from collections.abc import Callable
from random import Random

from benchmarks.wire import Outcome, read_to_the_end

METHODS = (
    b"GET",
    b"POST",
    b"PATCH",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"TRACE",
    b"CONNECT",
    b"get",
    b"G T",
)
PATHS = (
    b"/", b"/status", b"/runs", b"/runs/none/metrics", b"/openapi.json", b"/metrics", b"/docs", b"/healthz",
    b"/static/js/main.js", b"/socket.io/?EIO=4&transport=websocket", b"/socket.io/?EIO=4&transport=polling",
    b"*", b"//", b"/%00", b"/%ff%fe", b"/..%2f..%2fetc/passwd",
    b"http://evil.example/status", b"/?%", b"/runs?trashed=%80",
    b"/runs/a%0d%0ax/metrics?since=1e9&max_points=%31", b"/\xff\xfe", b"evil.example:443", b"",
)  # fmt: skip
BODIES: tuple[tuple[bytes, dict[str, object]], ...] = (
    (b"/estimate", {"d_model": 32, "nhead": 2}),
    (b"/infer", {"prompt": "The ", "max_new_bytes": 1}),
    (b"/config/telemetry", {"lambda_K": 0.1}),
    (b"/config/alerts", {"action": "warn"}),
    (b"/config/samples", {"schedule": None}),
    (b"/decompress", {"name": "a", "data": "AAAA"}),
)
"""What is sent to be cut, flipped and told wrong lengths of."""

VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/9.9",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP",
    b"",
)
LENGTHS = (
    b"0",
    b"-1",
    b"+5",
    b"5, 5",
    b"1e3",
    b"0x10",
    b"99999999999999999999",
    b"5 ",
    b"",
    b"\xb2",
    b"1073741825",
)
CODINGS = (
    b"chunked",
    b"gzip",
    b"chunked, chunked",
    b"identity",
    b"gzip, chunked",
    b"xchunked",
    b"chunked\x00",
    b"",
)
CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"-1\r\nx\r\n", b"5\r\nhel", b"zz\r\n\r\n",
    b"2\r\n{}\r\n0\r\n\r\n", b"2;a=b\r\n{}\r\n0\r\nTrailer: x\r\n\r\n", b"2\n{}\n0\n\n", b"0\r\n\r\n" * 3,
)  # fmt: skip
HEADERS = (
    b"Expect: 100-continue", b"Expect: wonders", b"Connection: upgrade",
    b"Upgrade: websocket", b"Upgrade: h2c",
    b"Accept-Encoding: gzip;q=nan, *;q=-1", b"Range: bytes=0-1,5-9999999999",
    b"If-None-Match: \xff", b"Cookie: =;;=;\x01",
    b"Content-Type: application/json; charset=utf-99", b"Content-Type: text/plain", b"Content-Encoding: gzip",
    b"Authorization: Bearer \xff\xff", b"Origin: null", b"Sec-Fetch-Site: sideways",
    b"X-Forwarded-For: '; --",
    b"Idempotency-Key: " + b"k" * 300, b" folded", b"No colon",
    b": no name", b"Sp ace: x", b"Nul: a\x00b", b"Bell\x07: x",
    b"Host: evil.example", b"Sec-WebSocket-Version: 12", b"Sec-WebSocket-Key: short", b"Content-Length: 3",
)  # fmt: skip

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def send(address: tuple[str, int], random: Random, deadline_s: float) -> Outcome:
    """Send one request, say that nothing more comes, and tell what it was answered."""
    data = request(address, random)
    with socket.create_connection(address, deadline_s) as connection:
        received, is_over = read_to_the_end(connection, data, deadline_s)
    found = STATUS.match(received)
    status = int(found[1]) if found else None
    fault = None
    if not is_over:
        fault = "hang"
    elif status is not None and status >= 500:
        fault = str(status)
    elif status is None and received:
        fault = "no HTTP"
    return Outcome(str(status or "closed"), fault, data)


def request(address: tuple[str, int], random: Random) -> bytes:
    """Return a request, well-formed in most of its parts and wrong in one or a few."""
    host = f"Host: {address[0]}:{address[1]}".encode()
    if random.random() < 0.05:
        return random.randbytes(random.randrange(1, 2000))
    if random.random() < 0.5:
        made = _with_body(host, random)
    else:
        line = b" ".join((random.choice(METHODS), random.choice(PATHS), random.choice(VERSIONS)))
        chosen = random.choices(HEADERS, k=random.randrange(4))
        made = b"\r\n".join((line, *([host] if random.random() < 0.9 else []), *chosen, b"", b""))
    for change in random.choices(CHANGES, k=random.choice((0, 1, 1, 2))):
        made = change(made, random)
    return made


def _with_body(host: bytes, random: Random) -> bytes:
    path, content = random.choice(BODIES)
    body = json.dumps(content).encode()
    if random.random() < 0.3:
        body = random.choice(
            (b"[" * 5000, b'{"a":' * 2000, b"\xff\xfe{}", b"nul", b'{"prompt":"\\ud800"}', b"1e999", b"")
        )
    fields = [b"Content-Type: application/json"]
    if random.random() < 0.3:
        body = random.choice(CHUNKS)
        fields.append(b"Transfer-Encoding: " + random.choice(CODINGS))
    if len(fields) == 1 or random.random() < 0.2:
        length = random.choice(LENGTHS) if random.random() < 0.4 else str(len(body)).encode()
        fields.append(b"Content-Length: " + length)
    fields += random.choices(HEADERS, k=random.randrange(2))
    return b"\r\n".join((b"POST " + path + b" HTTP/1.1", host, *fields, b"", body))


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data or b"\x00")
    for _ in range(random.randrange(1, 4)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _insert(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    what = random.choice((b"\x00", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\xff", b"\x0b", b"%", b":"))
    return data[:place] + what + data[place:]


def _swell(data: bytes, random: Random) -> bytes:
    """Make the line or a header huge, or the headers many."""
    line, _, rest = data.partition(b"\r\n")
    size = random.choice((4_000, 9_000, 70_000))
    more = random.choice(
        (b"X: " + b"a" * size, b"\r\n".join(b"X-%d: a" % number for number in range(size // 20)))
    )
    return line + random.choice((b"", b"?" + b"a" * size)) + b"\r\n" + more + b"\r\n" + rest


def _twice(data: bytes, random: Random) -> bytes:
    return data + request_line(random) + data


def request_line(random: Random) -> bytes:
    """Return what may stand between two requests on one connection."""
    return random.choice((b"", b"\r\n", b"\r\n\r\n", b"GET", b"\x00"))


def _bare_lines(data: bytes, random: Random) -> bytes:
    return data.replace(b"\r\n", random.choice((b"\n", b"\r", b"\n\r", b"\r\r\n")))


CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (_cut, _flip, _insert, _swell, _twice, _bare_lines)
