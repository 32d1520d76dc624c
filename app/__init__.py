"""The BitLM service: one live model behind a page, a REST interface and a socket."""
