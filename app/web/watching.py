"""A service that only watches takes no request that changes or computes anything, but to pass it on."""

from collections.abc import Container

from flask import Flask, request

from app.service.follower import Follower
from app.web.gate import SAFE_METHODS


def refuse_writes(app: Flask, follower: Follower, passed_on: Container[str | None]) -> None:
    """Answer whatever is more than a look, and not passed on, with where it can be asked.

    `passed_on` holds endpoints, by their names.
    """

    @app.before_request
    def refuse() -> None:
        if request.method not in SAFE_METHODS and request.endpoint not in passed_on:
            raise follower.refusal()
