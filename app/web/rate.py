"""How many requests a client may make: a bucket of tokens for each address.

Source: Turner, "New directions in communications (or which way to the information age?)", IEEE Communications
Magazine 24(10), 1986.
"""

import time
from collections.abc import Callable
from threading import Lock

BURST_S = 10
"""The bucket holds what flows into it in so many seconds: a page is many files at once."""
MOST_KNOWN = 10_000
"""Addresses that are remembered; of more, those are forgotten whose buckets are full again."""


class Rate:
    """Counts requests by address; any thread may ask."""

    def __init__(self, requests_per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests_per_s = requests_per_s
        self._clock = clock
        self._fullness: dict[str, tuple[float, float]] = {}  # tokens in the bucket, and when that was so
        self._lock = Lock()

    def wait_s(self, address: str) -> float:
        """Take a token and return 0, or return how long there will be none, in seconds."""
        with self._lock:
            now = self._clock()
            if len(self._fullness) > MOST_KNOWN:
                self._forget(now)
            tokens = self._tokens(address, now)
            if tokens < 1:
                return (1 - tokens) / self._requests_per_s
            self._fullness[address] = (tokens - 1, now)
            return 0.0

    def _tokens(self, address: str, now: float) -> float:
        most = self._requests_per_s * BURST_S
        tokens, then = self._fullness.get(address, (most, now))
        return min(most, tokens + (now - then) * self._requests_per_s)

    def _forget(self, now: float) -> None:
        most = self._requests_per_s * BURST_S
        kept = {address: self._tokens(address, now) for address in self._fullness}
        self._fullness = {address: (tokens, now) for address, tokens in kept.items() if tokens < most}
