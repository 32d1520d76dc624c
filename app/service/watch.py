"""A thread that looks at the manager whenever something about it has changed."""

from collections.abc import Callable
from threading import Event as Flag
from threading import Thread

import structlog

from app.service.manager import ModelManager


class Watch:
    """Calls `look` after changes: any number of them, while it looks or waits, are one more look."""

    def __init__(
        self,
        manager: ModelManager,
        look: Callable[[], None],
        *,
        name: str,
        interval_s: float = 0.0,
        pulse_s: float | None = None,
    ) -> None:
        """Make one that does not watch yet.

        Args:
            manager: Tells of changes.
            look: What it does then; a failure is logged, and the next change brings another look.
            name: Of the watch, in the log and among the threads.
            interval_s: Least seconds between the end of a look and the next.
            pulse_s: Seconds without any change after which it looks all the same; None for never.
        """
        self._manager = manager
        self._look = look
        self._interval_s = interval_s
        self._pulse_s = pulse_s
        self._changed = Flag()
        self._stopping = Flag()
        self._thread = Thread(target=self._run, name=f"bitlm-{name}", daemon=True)
        self._log = structlog.get_logger(f"bitlm.{name}")

    def start(self) -> None:
        """Begin to watch."""
        self._manager.observe(self._changed.set)
        self._thread.start()

    def close(self, timeout_s: float | None = None) -> None:
        """Look a last time, where a look is due, and stop; wait for that no longer than `timeout_s`."""
        self._stopping.set()
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.wait(self._pulse_s)
            self._changed.clear()
            try:
                self._look()
            except Exception:  # noqa: BLE001 - logged; training must not depend on who is told of it
                self._log.exception("look_failed")
            self._stopping.wait(self._interval_s)
