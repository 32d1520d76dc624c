"""A service that only watches takes no request that changes or computes anything."""

from flask import Flask, request

from app.service.errors import WatchingOnlyError
from app.web.gate import SAFE_METHODS


def refuse_writes(app: Flask) -> None:
    """Answer whatever is more than a look with a refusal."""

    @app.before_request
    def refuse() -> None:
        if request.method not in SAFE_METHODS:
            raise WatchingOnlyError
