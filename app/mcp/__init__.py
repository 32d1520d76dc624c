"""A running service for agents, by the Model Context Protocol: `python -m app.mcp`, or `bitlm mcp`."""
