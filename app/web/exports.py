"""A run as a file: its figures in full, a report to read, a capsule to hand over, its model alone."""

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from flask import Blueprint, Response, abort

from app.service import ModelManager
from app.web.queries import ExportQuery, ModelQuery
from app.web.routes import parsed_query
from bitlm.history.capsule import write_capsule
from bitlm.history.export import export_csv, export_jsonl
from bitlm.history.report import report_html
from bitlm.model_file import RoundingReceipt, save_run
from bitlm.quantisation import Precision
from bitlm.session import RunRecord, RunStore
from bitlm.session.events import METRIC_COLUMNS

FORMATS = ("csv", "jsonl", "report", "capsule")
PIECE_BYTES = 2**16


class Exports:
    """The downloads."""

    def __init__(self, manager: ModelManager, store: RunStore) -> None:
        self._manager = manager
        self._store = store

    def blueprint(self) -> Blueprint:
        """Return the routes that answer with files instead of JSON."""
        exports = Blueprint("exports", __name__)
        exports.add_url_rule("/runs/<run_id>/export/<name>", "export", self.export)
        exports.add_url_rule("/runs/<run_id>/model", "model", self.model)
        return exports

    def export(self, run_id: str, name: str) -> Response:
        """Return a run in one of the formats, piece by piece."""
        store = self._store
        store.flush()
        title = file_title(store.run(run_id))
        if name == "csv":
            rows = export_csv(store, run_id, _asked_columns())
            return _download(rows, "text/csv; charset=utf-8", f"{title}.csv")
        if name == "jsonl":
            return _download(export_jsonl(store, run_id), "application/jsonl", f"{title}.jsonl")
        if name == "report":
            page = report_html(store, run_id)
            return _download(iter([page]), "text/html; charset=utf-8", f"{title}.html")
        if name != "capsule":
            abort(404, f"there is no format {name!r}; use one of {', '.join(FORMATS)}.")
        capsule = _written(lambda path: write_capsule(store, run_id, path))
        return _download(_pieces(capsule), "application/zip", f"{title}.capsule.zip")

    def model(self, run_id: str) -> Response:
        """Return a run's model as one file, piece by piece."""
        store, asked = self._store, parsed_query(ModelQuery)
        title, weights = file_title(store.run(run_id)), asked.weights
        receipts = self._receipts(run_id, weights)
        written = _written(
            lambda path: save_run(store, run_id, path, precision=weights, step=asked.step, receipts=receipts)
        )
        name = f"{title}.{weights}.safetensors"
        return _download(_pieces(written), "application/octet-stream", name)

    def _receipts(self, run_id: str, weights: Precision) -> dict[int, RoundingReceipt]:
        """Return what was measured of keeping the run's weights so, by the step of the checkpoint."""
        report = self._manager.roundings.last(run_id)
        if report is not None and report.step is not None:
            for file in report.files:
                if file.precision == weights:
                    return {report.step: file.receipt}
        return {}


def file_title(record: RunRecord) -> str:
    """Return what a run's files are called, without their ending: its name, if it has one, and its id.

    The letters and digits of the name, of any script, with hyphens between the words.
    """
    words = re.findall(r"\w+(?:\.\w+)*", record.name or "")
    return "-".join([*words, record.run_id])


def _asked_columns() -> tuple[str, ...]:
    """Return the columns that the query `columns` names, with commas between; all where it names none."""
    return tuple(name for name in parsed_query(ExportQuery).columns.split(",") if name) or METRIC_COLUMNS


def _written(write: Callable[[Path], object]) -> BinaryIO:
    """Write a file before anything is answered, so that what is wrong can still be said."""
    with tempfile.TemporaryDirectory(prefix="bitlm-") as folder:
        path = Path(folder) / "written"
        write(path)
        return path.open("rb")  # readable until closed, though its name is gone with the folder


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _download(pieces: Iterator[str] | Iterator[bytes], content_type: str, file_name: str) -> Response:
    response = Response(pieces, content_type=content_type)
    plain = file_name.encode("ascii", "ignore").decode()
    named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name)}"  # RFC 6266
    response.headers["Content-Disposition"] = named
    response.headers["Cache-Control"] = "no-store"
    return response
