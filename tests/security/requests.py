"""What the tests of this folder send, whatever it is answered with."""

from collections.abc import Iterator, Mapping

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.web.problems import CONTENT_TYPE

OURS = "http://127.0.0.1:5000"
READS = {"GET", "HEAD", "OPTIONS"}
VALUES = {"run_id": "none", "step": 1, "name": "csv", "filename": "js/main.js"}
"""What stands for the variable parts of a path."""


def addresses(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield every endpoint that the service has, with each of its methods and a path."""
    urls = app.url_map.bind("127.0.0.1:5000")
    for rule in app.url_map.iter_rules():
        path = urls.build(rule.endpoint, {name: VALUES[name] for name in rule.arguments})
        for method in sorted(rule.methods or ()):
            yield rule.endpoint, method, path


def ask(
    client: FlaskClient, method: str, path: str, headers: Mapping[str, str], address: str = "127.0.0.1"
) -> TestResponse:
    """Send a request with an empty body of JSON, from an address."""
    body: dict[str, str] | None = None if method in READS else {}
    environ = {"REMOTE_ADDR": address}
    return client.open(path, method=method, json=body, headers=headers, environ_overrides=environ)


def is_refused(answer: TestResponse, status: int) -> bool:
    """Whether an answer is a problem of this status, and nothing else."""
    return (answer.status_code, answer.content_type) == (status, CONTENT_TYPE)
