"""`python -m app`: the service under gunicorn, one process with threads, for one model has one owner."""

import gc
import logging
import os
import socket
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
from tempfile import TemporaryDirectory
from threading import Thread
from types import FrameType
from typing import Any, NoReturn

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import TConn, ThreadWorker
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from app.settings import Settings

WORKER_TIMEOUT_S = 120
"""A worker whose main loop is silent for so long is taken for dead and replaced."""
KEEP_ALIVE_S = 30
"""How long a connection with nothing on it is kept. Of gunicorn's 2 s a client that asks every two seconds
meets the very moment of closing, and its request fails."""
LINGER_S = 0.2
"""How long a service that stops waits for what may be on its way on a connection that was kept."""
PATIENCE_S = 1.0
"""How long the terminal says nothing of a run that is being taken up."""


class GracefulWorker(ThreadWorker):
    """Begins to stop training the moment it is told to stop, and treats every such signal alike.

    Ctrl-C reaches this process directly as well as through its parent; the stock worker would then leave
    twice, the second time in the middle of the last checkpoint. And it would wait for connections on which
    nothing is asked, such as browsers open ahead, for as long as it keeps them.
    """

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection a thread once something comes on it."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.settimeout(0.0)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking connections, stop training, hang up on the sockets."""
        if self.alive:
            _service(self.app.callable).request_stop()
            self.method_queue.defer(self.hang_up)
        super().handle_exit(sig, frame)

    def hang_up(self) -> None:
        """Close connections on which nothing was asked yet, and soon those on which nothing is asked now."""
        for conn in self.pending_conns:
            conn.timeout = 0.0
        self.murder_pending()
        for conn in self.keepalived_conns:
            conn.timeout = time.monotonic() + LINGER_S

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Leave as gracefully as for SIGTERM."""
        self.handle_exit(sig, frame)


class Server(BaseApplication):
    """gunicorn, configured from our settings instead of its own files and options."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
            "control_socket_disable": True,
            "logconfig_dict": log_configuration(settings.log_level),
            "post_worker_init": self._announce,
            "worker_exit": _close,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the service, in the process that serves it; torch is imported only here."""
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
        run = f"run {status.run_id} at step {status.step:,}{took}; " if status.run_id else ""
        folder = self._settings.data_dir.resolve()
        _say(f"BitLM is ready: {self._settings.url}  ({run}runs are kept in {folder}; Ctrl-C stops)")
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


class WorkerKilled(logging.Filter):
    """Says of a serving process that was killed what is known; gunicorn guesses at the memory."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Reword that one message, and let every message pass."""
        if str(record.msg).endswith("Perhaps out of memory?"):
            record.msg = (
                "The serving process %s was ended by %s, by somebody or for want of memory; another begins."
            )
        return True


def log_configuration(level: str) -> dict[str, Any]:
    """Return the logging of the process: every line a JSON object on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "filters": {"killed": {"()": WorkerKilled}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "gunicorn.error": {
                "level": "DEBUG"
                if level == "debug"
                else "WARNING",  # its coming and going is its own concern
                "handlers": [],
                "filters": ["killed"],
                "propagate": True,
            },
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
        },
    }


def check_free(host: str, port: int) -> None:
    """Find out now whether the port can be had, rather than after seconds of trying.

    Raises:
        OSError: It cannot.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def check_makeable(folder: Path) -> None:
    """Find out now whether the data folder can be written in, or made; the store makes it, durably.

    Raises:
        OSError: It cannot; names the folder at which that ends.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with TemporaryDirectory(prefix=".bitlm-", dir=there):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(there)) from error


def _refuse(*sentences: str) -> NoReturn:
    for sentence in sentences:
        sys.stderr.write(f"error: {sentence}\n")
    sys.exit(2)


def _settings() -> Settings:
    """Return the settings, or end with a sentence for each that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        from bitlm.complaints import fix_of  # noqa: PLC0415 - importing any of bitlm imports torch

        _refuse(*(_complaint(one, fix_of(one, Settings)) for one in error.errors(include_url=False)))
    except SettingsError as error:  # of what is to be JSON and is not
        _refuse(f"{error}; it is a JSON list, such as '[\"localhost:8080\"]' or '[\"texts\"]'.")


def _complaint(complaint: ErrorDetails, fix: str) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f"_{part.upper()}" for part in complaint["loc"])
    name = "BITLM" + "".join(parts)
    return f"{name}={complaint['input']!r}: {fix}" if complaint["loc"] else fix


def main() -> None:
    """Serve until told to stop; a wrong setting is one sentence and exit code 2."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would starve the web; before torch
    settings = _settings()
    try:
        check_makeable(settings.data_dir)
    except OSError as error:
        _refuse(
            f"{settings.data_dir} cannot hold runs: {error.filename}: {error.strerror}; "
            "choose another folder with BITLM_DATA_DIR."
        )
    try:
        check_free(settings.host, settings.port)
    except OSError as error:
        _refuse(
            f"{settings.authority}: {error.strerror}; end what uses it, or choose another with BITLM_PORT."
        )
    logging.captureWarnings(capture=True)
    Server(settings).run()


if __name__ == "__main__":
    main()
