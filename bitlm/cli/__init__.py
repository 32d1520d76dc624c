"""The command line: `python -m bitlm train | generate | evaluate`."""

from bitlm.cli.main import main

__all__ = ["main"]
