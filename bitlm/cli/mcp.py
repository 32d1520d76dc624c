"""`bitlm mcp`: a running service for agents, in a process that begins without torch."""

from typing import Annotated

import typer

from bitlm.cli.serve import become


def mcp(
    url: Annotated[
        str | None,
        typer.Option(envvar="BITLM_MCP_URL", help="The service (default: http://127.0.0.1:5000)."),
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(envvar="BITLM_MCP_TRANSPORT", help="stdio or streamable-http (default: stdio)."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            envvar="BITLM_MCP_PORT",
            help="TCP port on the loopback address, for streamable-http (default: 5001).",
        ),
    ] = None,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Let agents train, steer, branch and name.")
    ] = False,
    allow_destructive: Annotated[
        bool, typer.Option("--allow-destructive", help="Let them throw away runs and checkpoints as well.")
    ] = False,
) -> None:
    """Let agents use a running service, by the Model Context Protocol: look and sample, unless told more.

    Its tools are the service's routes. Where the service asks for a token, BITLM_MCP_TOKEN has it; an option
    would show it to everybody on this machine. Needs the extra: pip install 'bitlm[mcp]'.

    Examples:
      python -m bitlm mcp

      python -m bitlm mcp --url http://127.0.0.1:5002 --allow-write

      python -m bitlm mcp --transport streamable-http --port 5001
    """
    become(
        "app.mcp",
        {
            "BITLM_MCP_URL": url,
            "BITLM_MCP_TRANSPORT": transport,
            "BITLM_MCP_PORT": port,
            "BITLM_MCP_ALLOW_WRITE": True if allow_write else None,
            "BITLM_MCP_ALLOW_DESTRUCTIVE": True if allow_destructive else None,
        },
    )
