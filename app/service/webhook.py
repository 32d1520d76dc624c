"""Alerts for people who do not watch: each is posted to one address of the operator's."""

import json
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import structlog

from app.service.manager import ModelManager
from app.service.news import News
from app.service.watch import Watch
from bitlm.history.narration import is_alert, sentence
from bitlm.session import Event, RunStore

TIMEOUT_S = 10.0
"""Longest wait for the address to take an alert."""


class _NoRedirects(HTTPRedirectHandler):
    """An alert goes to the address that the operator chose and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """Posts the live run's alerts from a thread of its own, each once, and those since its making only.

    An alert that the address does not take is logged and lost here; it stays in the run's events. The log
    names the host alone, for an address may hold a secret.
    """

    def __init__(
        self, manager: ModelManager, store: RunStore, url: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._news = News(manager, store, since=clock())
        self._url = url
        self._open = build_opener(_NoRedirects).open
        self._watch = Watch(manager, self._tell, name="webhook")
        self._log = structlog.get_logger("bitlm.webhook")

    def start(self) -> None:
        """Begin to watch the manager."""
        self._watch.start()

    def close(self) -> None:
        """Stop; what is under way is waited for as long as the address may take."""
        self._watch.close(TIMEOUT_S)

    def _tell(self) -> None:
        for event in self._news.events():
            if is_alert(event):
                self._post(event)

    def _post(self, alert: Event) -> None:
        told = {**alert.model_dump(mode="json"), "sentence": sentence(alert)}
        request = Request(  # noqa: S310 - the settings allow http and https only
            self._url, json.dumps(told).encode(), {"Content-Type": "application/json"}
        )
        try:
            self._open(request, timeout=TIMEOUT_S).close()
        except HTTPError as error:
            self._log_refusal(alert, f"answered {error.code}")
        except (OSError, HTTPException) as error:  # whose words may quote the address
            self._log_refusal(alert, f"could not be reached ({type(error).__name__})")

    def _log_refusal(self, alert: Event, why: str) -> None:
        host = urlsplit(self._url).hostname
        self._log.warning("alert_not_delivered", host=host, why=why, event_id=alert.event_id)
