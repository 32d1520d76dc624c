"""The page and what it loads that is not ours: plotly.js, from the installed package."""

import gzip
import json
from importlib.metadata import version
from importlib.resources import files
from threading import Lock

from flask import Blueprint, Response, abort, render_template, request

from app.service import ModelManager
from app.web.schemas import DistilRequest
from bitlm.session import SIZES, RunStore, preset
from bitlm.session.presets import DEFAULT_SIZE

PLOTLY_FILE = f"plotly-{version('plotly')}.min.js"
ONE_YEAR_S = 31_536_000
CHANGING = {"application/json", "application/problem+json", "text/html"}
"""Media types of what says how things are now: another moment's is not to be shown again."""


class Vendored:
    """A file that never changes under its name: read and compressed once, when first asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._plain = b""
        self._compressed = b""

    def read(self, *, compressed: bool) -> bytes:
        """Return plotly.min.js, gzipped or plain."""
        with self._lock:
            if not self._plain:
                self._plain = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
                self._compressed = gzip.compress(self._plain, mtime=0)
        return self._compressed if compressed else self._plain


class Pages:
    """The page itself, and the one foreign script it uses."""

    def __init__(self, manager: ModelManager, store: RunStore, max_body_bytes: int) -> None:
        self._manager = manager
        self._store = store
        self._max_body_bytes = max_body_bytes
        self._vendored = Vendored()

    def blueprint(self) -> Blueprint:
        """Return the routes that answer with files instead of JSON."""
        pages = Blueprint("pages", __name__)
        pages.add_url_rule("/", "dashboard", self.dashboard)
        pages.add_url_rule("/static-vendor/<name>", "vendored", self.vendored)
        return pages

    def dashboard(self) -> str:
        """Return the page: the status, what each size stands for, and without a run how many there are."""
        status = self._manager.status()
        presets = {size: _settings_of(size) for size in SIZES}
        return render_template(
            "dashboard.html",
            plotly_url=f"/static-vendor/{PLOTLY_FILE}",
            default_size=DEFAULT_SIZE,
            presets=presets,
            status=json.loads(status.model_dump_json()),
            run_count=len(self._store.runs()) if status.run_id is None else None,
            max_body_bytes=self._max_body_bytes,
            distil=DistilRequest(),
        )

    def vendored(self, name: str) -> Response:
        """Return plotly.js under the name that holds its version, to be kept for good."""
        if name != PLOTLY_FILE:
            abort(404, f"there is no {name!r} here; the script is {PLOTLY_FILE}.")
        compressed = request.accept_encodings.quality("gzip") > 0
        response = Response(
            self._vendored.read(compressed=compressed), content_type="text/javascript; charset=utf-8"
        )
        response.headers["Cache-Control"] = f"public, max-age={ONE_YEAR_S}, immutable"
        response.headers["Vary"] = "Accept-Encoding"
        if compressed:
            response.headers["Content-Encoding"] = "gzip"
        return response


def harden(response: Response) -> Response:
    """Tell the browser to load and run nothing but what comes from here, and to hand it to no other page."""
    response.headers["Content-Security-Policy"] = "; ".join(
        (
            "default-src 'self'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            f"connect-src 'self' ws://{request.host} wss://{request.host}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if response.mimetype in CHANGING:
        response.headers["Cache-Control"] = "no-store"
    return response


def _settings_of(size: str) -> dict[str, object]:
    model, training = preset(size)
    return vars(model) | vars(training)
