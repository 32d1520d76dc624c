"""The protocol's side: tools and resources of a service, and which of them may be used.

Source: "Model Context Protocol", specification, https://modelcontextprotocol.io.
"""

import json
from typing import Any

from anyio import to_thread
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from app.mcp.catalogue import JSON, Offer, Scope, offers
from app.mcp.service import RunningService, ServiceError

Context = ServerRequestContext[Any]
SCHEME = "bitlm:/"
ALLOWING = {Scope.TUNE: "--allow-write", Scope.DESTRUCTIVE: "--allow-destructive"}
"""What the operator says for it."""

INSTRUCTIONS = """BitLM trains and samples a language model whose alphabet is the bit. One model is live at a
time: get_status says which. K, C and S are its telemetry; text that falls below a floor of C or S is refused
by the gate. Alerts, such as of drift, are events of a run.
Only tools that this server was started for are listed."""


class Agents:
    """Answers what agents ask, up to a scope.

    Raises:
        ServiceError: The service cannot be asked what it offers.
    """

    def __init__(self, service: RunningService, granted: Scope) -> None:
        """Read what the service offers."""
        self._service = service
        self._granted = granted
        document = service.ask("GET", "/openapi.json")
        self._version = document["info"]["version"]
        self._offers = {offer.name: offer for offer in offers(document)}

    def server(self) -> Server[Any]:
        """Return the server, for any transport."""
        return Server(
            "bitlm",
            title="BitLM",
            version=self._version,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )

    async def _list_tools(
        self, _context: Context, _asked: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        granted = (offer for offer in self._offers.values() if offer.scope <= self._granted)
        return types.ListToolsResult(tools=[_tool(offer) for offer in granted])

    async def _call_tool(self, _context: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            told = await self._done(self._offer(asked.name), asked.arguments or {})
        except ServiceError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        return types.CallToolResult(
            content=[types.TextContent(text=json.dumps(told, ensure_ascii=False))], structured_content=told
        )

    def _offer(self, name: str) -> Offer:
        offer = self._offers.get(name)
        if offer is None:
            raise ServiceError(f"there is no tool {name!r}; tools/list has those that there are.")
        if offer.scope > self._granted:
            raise ServiceError(
                f"{name} needs the scope {offer.scope.name.lower()}, and this server was started without: "
                f"whoever runs it can start it with {ALLOWING[offer.scope]}."
            )
        return offer

    async def _done(self, offer: Offer, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            path, query, body = offer.request(arguments)
        except KeyError as error:
            raise ServiceError(f"{offer.name} takes {error.args[0]!r}; give it.") from error
        return await to_thread.run_sync(self._service.ask, offer.method, path, query, body)

    async def _list_resources(
        self, _context: Context, _asked: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        wholes = [_resource(offer, offer.path) for offer in self._readable() if "{" not in offer.path]
        runs = (await to_thread.run_sync(self._service.ask, "GET", "/runs"))["runs"]
        of_a_run = [
            offer for offer in self._readable() if offer.path in {"/runs/{run_id}", "/runs/{run_id}/metrics"}
        ]
        each = [
            _resource(offer, offer.path.format(run_id=run["run_id"])) for run in runs for offer in of_a_run
        ]
        return types.ListResourcesResult(resources=[*wholes, *each])

    async def _list_templates(
        self, _context: Context, _asked: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        templates = [
            types.ResourceTemplate(
                name=offer.name,
                title=offer.title,
                uri_template=SCHEME + offer.path,
                description=offer.description,
                mime_type=JSON,
            )
            for offer in self._readable()
            if "{" in offer.path
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def _read_resource(
        self, _context: Context, asked: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        path = asked.uri.removeprefix(SCHEME)
        if not any(offer.matches(path) for offer in self._readable()):
            raise MCPError(types.INVALID_PARAMS, f"there is no resource {asked.uri!r}.")
        try:
            told = await to_thread.run_sync(self._service.ask, "GET", path)
        except ServiceError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        text = json.dumps(told, ensure_ascii=False)
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=asked.uri, mime_type=JSON, text=text)]
        )

    def _readable(self) -> list[Offer]:
        """Return what can be read as it is, with nothing to be said besides."""
        return [
            offer
            for offer in self._offers.values()
            if offer.method == "GET" and not offer.query.intersection(offer.takes["required"])
        ]


def _tool(offer: Offer) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=offer.scope is Scope.READ,
        destructive_hint=offer.scope is Scope.DESTRUCTIVE,
        open_world_hint=False,
    )
    return types.Tool(
        name=offer.name,
        title=offer.title,
        description=offer.description,
        input_schema=offer.takes,
        output_schema=offer.answers,
        annotations=hints,
    )


def _resource(offer: Offer, path: str) -> types.Resource:
    return types.Resource(
        name=path.removeprefix("/"), title=offer.title, uri=SCHEME + path,
        description=offer.description, mime_type=JSON,
    )  # fmt: skip
