"""A service that only watches takes no request that changes or computes anything."""

from flask import Flask, request

from app.service.follower import Follower
from app.web.gate import SAFE_METHODS


def refuse_writes(app: Flask, follower: Follower) -> None:
    """Answer whatever is more than a look with where it can be asked."""

    @app.before_request
    def refuse() -> None:
        if request.method not in SAFE_METHODS:
            raise follower.refusal()
