"""What the service that owns a run says of itself, by way of Redis, to those that only watch.

A message is the status and where the owner's page is. What was measured is in the data folder, where whoever
watches reads it by cursor: nothing is kept in Redis, and a message that is lost is made up for by the next.
"""

import time
from threading import Event as Flag
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.service.answers import Status
from app.service.manager import ModelManager
from app.service.watch import Watch
from app.settings import WebAddress

PATIENCE_S = 1.0
"""How long Redis may take for anything."""
RETRY_S = 0.5
"""Time between two tries to reach it, in seconds."""
PULSE_S = 2.0
"""Longest time between two messages of an owner about which nothing changes."""
SILENT_S = 3 * PULSE_S
"""An owner that says nothing for longer is not waited for."""


class Word(BaseModel):
    """A message.

    Attributes:
        url: Where the owner's page is.
        status: The owner's.
    """

    model_config = ConfigDict(frozen=True)

    url: WebAddress
    status: Status


class Line:
    """One end of the way through Redis: whether it is there, said once each time that this changes."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
        )
        place = urlsplit(url)  # of which all but these may hold a password
        self._host = place.hostname or place.path
        self._log = structlog.get_logger("bitlm.redis")
        self.complaint: str | None = None

    def note_lost(self, error: RedisError) -> None:
        """Take in that it cannot be reached; the words of `error` may quote more of the address."""
        why = type(error).__name__
        if self.complaint is None:
            self._log.warning("redis_lost", host=self._host, why=why)
        self.complaint = f"Redis at {self._host} cannot be reached ({why})"

    def note_reached(self) -> None:
        """Take in that it is there."""
        if self.complaint is not None:
            self._log.info("redis_reached", host=self._host)
        self.complaint = None


class Publisher:
    """Says what changes at the owner, in a thread of its own; while Redis is away, that is let go."""

    def __init__(
        self, manager: ModelManager, url: str, channel: str, *, page_url: str, interval_s: float
    ) -> None:
        """Make one that says nothing yet, and then no more often than every `interval_s` seconds."""
        self._manager = manager
        self._channel = channel
        self._page_url = page_url
        self._line = Line(url)
        self._watch = Watch(manager, self._publish, name="publisher", interval_s=interval_s, pulse_s=PULSE_S)

    @property
    def complaint(self) -> str | None:
        """Why nothing can be said, or None."""
        return self._line.complaint

    def start(self) -> None:
        """Begin to watch the manager."""
        self._watch.start()

    def close(self) -> None:
        """Say the last that is to be said, and stop; Redis is not waited for."""
        self._watch.close(PATIENCE_S)

    def _publish(self) -> None:
        word = Word(url=self._page_url, status=self._manager.status())
        try:
            self._line.redis.publish(self._channel, word.model_dump_json())
        except RedisError as error:
            self._line.note_lost(error)
        else:
            self._line.note_reached()


class Subscriber:
    """Hears what an owner says, in a thread of its own, and comes back to it whenever Redis does."""

    def __init__(self, url: str, channel: str) -> None:
        self._channel = channel
        self._line = Line(url)
        self._heard: Word | None = None
        self._heard_at = time.monotonic()
        self._stopping = Flag()
        self._thread = Thread(target=self._run, name="bitlm-subscriber", daemon=True)
        self._log = structlog.get_logger("bitlm.redis")

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()

    @property
    def word(self) -> Word | None:
        """What the owner said last; None while Redis is away, and where the owner has been silent since."""
        return None if self.complaint is not None else self._heard

    @property
    def complaint(self) -> str | None:
        """Why the owner is not heard, or None."""
        if self._line.complaint is not None or time.monotonic() - self._heard_at < SILENT_S:
            return self._line.complaint
        return "the service that owns the runs says nothing"

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except RedisError as error:
                self._line.note_lost(error)
                self._stopping.wait(RETRY_S)

    def _listen(self) -> None:
        messages = self._line.redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call] # redis has no type for it
        with messages:
            messages.subscribe(self._channel)
            while not self._stopping.is_set():
                self._take_in(messages.get_message(timeout=RETRY_S))

    def _take_in(self, message: dict[str, Any] | None) -> None:
        """Take in a message; None, that there is none, says that Redis is there."""
        self._line.note_reached()
        if message is None:
            return
        try:
            self._heard = Word.model_validate_json(message["data"])
        except ValidationError as error:
            self._log.warning("message_left_out", channel=self._channel, complaints=error.error_count())
        else:
            self._heard_at = time.monotonic()
