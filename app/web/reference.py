"""What there is to ask, told by the service itself: for programs and, without the network, for people."""

from collections.abc import Iterable
from functools import cached_property

from flask import Blueprint, current_app, render_template

from app.settings import Settings
from app.web.access import Scope
from app.web.openapi import OpenAPIDocument, describe
from app.web.routes import Concept, Route


class ReferenceRoutes:
    """What there is to ask."""

    def __init__(self, concepts: Iterable[Concept], settings: Settings) -> None:
        """Describe `concepts`, and this one."""
        self._concepts = (*concepts, self)
        self._settings = settings

    def table(self) -> list[Route]:
        """Return these routes."""
        return [Route("GET", "/openapi.json", Scope.READ, self.openapi, OpenAPIDocument)]

    def blueprint(self) -> Blueprint:
        """Return the page of all routes."""
        reference = Blueprint("reference", __name__)
        reference.add_url_rule("/docs", "docs", self.docs)
        return reference

    def openapi(self) -> OpenAPIDocument:
        """Return every route, as OpenAPI describes it."""
        return self._document

    def docs(self) -> str:
        """Return the same as a page."""
        return render_template("docs.html", document=self._document.model_dump())

    @cached_property
    def _document(self) -> OpenAPIDocument:
        """The description, made when it is first asked for: it takes a tenth of a second."""
        return describe(
            self._concepts,
            current_app.url_map,
            cookie_name=self._settings.cookie_name,
            asks_for_tokens=self._settings.needs_token,
        )
