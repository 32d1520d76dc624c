"""The service under gunicorn: one process with threads, for one model has one owner."""

import gc
import sqlite3
import sys
import time
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any, cast

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from app.connections import Limits, PatientWorker
from app.logs import log_configuration
from app.settings import Settings

WORKER_TIMEOUT_S = 120
"""A worker whose main loop is silent for so long is taken for dead and replaced."""
KEEP_ALIVE_S = 30
"""How long a connection with nothing on it is kept. Of gunicorn's 2 s a client that asks every two seconds
meets the very moment of closing, and its request fails."""
STOPPING_S = 0.2
"""How long a service that stops waits for what may be on its way on a connection that was kept."""
PATIENCE_S = 1.0
"""How long the terminal says nothing of a run that is being taken up."""


class GracefulWorker(PatientWorker):
    """Begins to stop training the moment it is told to stop, and treats every such signal alike.

    Ctrl-C reaches this process directly as well as through its parent; the stock worker would then leave
    twice, the second time in the middle of the last checkpoint. And it would wait for connections on which
    nothing is asked, such as browsers open ahead, for as long as it keeps them.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.limits = cast("Server", self.app).limits

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking connections, stop training, hang up on the sockets."""
        if self.alive:
            _service(self.app.callable).request_stop()
            self.method_queue.defer(self.hang_up)
        super().handle_exit(sig, frame)

    def hang_up(self) -> None:
        """Close connections on which nothing was asked yet, and soon those on which nothing is asked now."""
        self.hasten(STOPPING_S)
        for conn in self.keepalived_conns:
            conn.timeout = time.monotonic() + STOPPING_S

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Leave as gracefully as for SIGTERM."""
        self.handle_exit(sig, frame)


class Server(BaseApplication):
    """gunicorn, configured from our settings instead of its own files and options.

    Attributes:
        limits: What clients may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limits = Limits(KEEP_ALIVE_S, settings.client_timeout_s, settings.max_body_bytes)
        super().__init__()

    def load_config(self) -> None:
        """Hand our settings to gunicorn."""
        settings = self._settings
        options = {
            "bind": settings.authority,
            "workers": 1,
            "worker_class": GracefulWorker,
            "threads": settings.threads,
            "timeout": WORKER_TIMEOUT_S,
            "graceful_timeout": settings.shutdown_grace_s,
            "keepalive": KEEP_ALIVE_S,
            "sendfile": False,  # which waits for a reader for ever
            "control_socket_disable": True,
            "logconfig_dict": log_configuration(settings.log_level),
            "post_worker_init": self._announce,
            "worker_exit": _close,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the service, in the process that serves it; torch is imported only here."""
        gc.disable()  # until all is there: it would go through what is imported again and again
        from app.factory import create_app  # noqa: PLC0415 - threads must not be made before the fork
        from bitlm.errors import BitLMError  # noqa: PLC0415 - importing any of bitlm imports torch

        try:
            return create_app(self._settings)
        except BitLMError as error:
            sys.stderr.write(f"error: {error}\n")
        except (OSError, sqlite3.Error) as error:
            sys.stderr.write(f"error: {self._settings.data_dir} cannot hold runs: {error}\n")
        sys.exit(Arbiter.APP_LOAD_ERROR)

    def _announce(self, worker: ThreadWorker) -> None:
        gc.collect()
        gc.freeze()  # what is there now stays; going through it again and again would delay answers
        gc.enable()
        Thread(target=self._tell, args=(_service(worker.app.callable),), daemon=True).start()

    def _tell(self, service: Any) -> None:
        """Say that the service is ready once it is, and meanwhile what that waits for."""
        manager = service.manager
        if self._settings.needs_token:
            where = self._settings.tokens_file.resolve()
            for sentence in about_tokens(service.invitation, where, at_terminal=sys.stdout.isatty()):
                _say(sentence)
        began = time.monotonic()
        if not manager.wait_until_settled(PATIENCE_S):
            status = manager.status()
            _say(
                f"BitLM is at {self._settings.url}: the page opens already, and run {status.run_id} is being "
                f"taken up, to step {status.step:,}."
            )
            manager.wait_until_settled()
        if not manager.is_alive:
            return
        status, seconds = manager.status(), time.monotonic() - began
        took = f", taken up in {seconds:.0f} s" if seconds > PATIENCE_S else ""
        kept = "are watched" if status.watching else "are kept"
        run = f"run {status.run_id} at step {status.step:,}{took}; " if status.run_id else ""
        folder = self._settings.data_dir.resolve()
        _say(f"BitLM is ready: {self._settings.url}  ({run}runs {kept} in {folder}; Ctrl-C stops)")
        if status.error:
            _say(f"But {status.error}")


def about_tokens(invitation: str | None, tokens_file: Path, *, at_terminal: bool) -> list[str]:
    """Return what is said of new tokens, or of those that are known; a token only where nothing keeps it."""
    told = f"Tokens are asked for: {tokens_file} has them."
    if invitation is None or not at_terminal:
        return [told]
    return [f"Open {invitation} to come in; this is said once.", told]


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def _close(arbiter: Arbiter, worker: ThreadWorker) -> None:  # noqa: ARG001 - gunicorn hands it over
    """Write the last checkpoint; the parent calls this too, and has no service to close."""
    if worker.app.callable is not None:
        _service(worker.app.callable).close()


def _service(app: Any) -> Any:
    return app.extensions["bitlm"]
