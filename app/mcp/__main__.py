"""`python -m app.mcp`: a running service for agents, over standard input and output or over HTTP."""

import sys
from typing import Annotated, Any, Literal

import anyio
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.mcp.catalogue import Scope
from app.mcp.service import RunningService, ServiceError

LOOPBACK = "127.0.0.1"


class AgentSettings(BaseSettings):
    """What the operator decides; `bitlm mcp --help` says the same.

    Attributes:
        url: Where the service answers.
        token: Of the service, where it asks for one; what it may bounds what agents may.
        transport: By what agents come.
        port: TCP port to listen on for streamable-http, on the loopback address.
        allow_write: Whether agents may change things.
        allow_destructive: Whether they may throw things away as well.
    """

    model_config = SettingsConfigDict(env_prefix="BITLM_MCP_", frozen=True)

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$")] = "http://127.0.0.1:5000"
    token: Annotated[str | None, Field(repr=False)] = None
    transport: Literal["stdio", "streamable-http"] = "stdio"
    port: Annotated[int, Field(ge=1, le=65535)] = 5001
    allow_write: bool = False
    allow_destructive: bool = False

    @property
    def granted(self) -> Scope:
        """The most that agents may."""
        if self.allow_destructive:
            return Scope.DESTRUCTIVE
        return Scope.TUNE if self.allow_write else Scope.READ


async def _serve_stdio(server: Any) -> None:
    from mcp.server.stdio import stdio_server  # noqa: PLC0415 - of the extra

    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    """Serve agents until they hang up; what is wrong is one sentence and exit code 2."""
    try:
        from app.mcp.server import Agents  # noqa: PLC0415 - of the extra

        settings = AgentSettings()
        server = Agents(RunningService(settings.url.rstrip("/"), settings.token), settings.granted).server()
    except ImportError as error:
        _refuse(f"the package {error.name} is not installed: pip install 'bitlm[mcp]'.")
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        _refuse(f"BITLM_MCP_{'_'.join(map(str, wrong['loc'])).upper()}={wrong['input']!r}: {wrong['msg']}.")
    except ServiceError as error:
        _refuse(str(error))
    if settings.transport == "stdio":
        anyio.run(_serve_stdio, server)
        return
    import uvicorn  # noqa: PLC0415 - of the extra

    # Host and Origin are checked by the app: it is for programs on this machine alone.
    uvicorn.run(
        server.streamable_http_app(host=LOOPBACK), host=LOOPBACK, port=settings.port, log_level="warning"
    )


def _refuse(sentence: str) -> None:
    sys.stderr.write(f"error: {sentence}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
