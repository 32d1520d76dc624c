"""The commands, and how an error is told."""

import sys

import typer

from bitlm.cli.evaluate import evaluate
from bitlm.cli.generate import generate
from bitlm.cli.train import train
from bitlm.errors import BitLMError

app = typer.Typer(
    name="bitlm",
    help="Train, sample and measure a language model whose alphabet is the bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command()(generate)
app.command()(evaluate)


def main() -> None:
    """Run a command; a mistake of the user's is one sentence and exit code 2."""
    try:
        app(prog_name="python -m bitlm")
    except BitLMError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
