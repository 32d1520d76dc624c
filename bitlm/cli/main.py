"""The commands, and how an error is told."""

import re
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bitlm.cli.branch import compare, fork, journal, rollback, twin
from bitlm.cli.calibrate import calibrate
from bitlm.cli.capsule import capsule, verify
from bitlm.cli.checkpoints import checkpoints
from bitlm.cli.compile import compile_functions, compiled_first
from bitlm.cli.completion import completion
from bitlm.cli.compress import compress, decompress
from bitlm.cli.data import data
from bitlm.cli.denoise import denoise
from bitlm.cli.distil import distil
from bitlm.cli.doctor import doctor
from bitlm.cli.effect import effect
from bitlm.cli.evaluate import evaluate
from bitlm.cli.export import export
from bitlm.cli.generate import generate
from bitlm.cli.hub import pull, push
from bitlm.cli.mcp import mcp
from bitlm.cli.replay import replay
from bitlm.cli.rounding import rounding
from bitlm.cli.runs import runs
from bitlm.cli.samples import samples
from bitlm.cli.save import inspect, save
from bitlm.cli.serve import serve
from bitlm.cli.train import train
from bitlm.errors import BitLMError
from bitlm.version import VERSION

app = typer.Typer(
    name="bitlm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def unwrapped(text: str) -> str:
    """Return a docstring whose paragraphs are a line each, for the terminal to wrap; examples stay lines.

    What is in brackets, such as an extra to install, would be taken for markup, and not be shown.
    """
    paragraphs = [
        paragraph if re.search("^ ", paragraph, re.MULTILINE) else paragraph.replace("\n", " ")
        for paragraph in cleandoc(text).split("\n\n")
    ]
    return escape(re.sub(r"\n\n(?=  )", "\n", "\n\n".join(paragraphs)))


def _tell_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"BitLM {VERSION}")
        raise typer.Exit
    return asked


@app.callback()
def bitlm(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which BitLM this is."),
    ] = False,
) -> None:
    """Train, sample and measure a language model whose alphabet is the bit."""


app.command()(compiled_first(serve))
app.command()(doctor)
app.command()(mcp)
app.command()(compiled_first(train))
app.command()(generate)
app.command()(denoise)
app.command()(samples)
app.command()(evaluate)
app.command()(compress)
app.command()(decompress)
app.command()(calibrate)
app.command()(journal)
app.command()(effect)
app.command()(replay)
app.command()(fork)
app.command()(distil)
app.command()(rollback)
app.command()(twin)
app.command()(compare)
app.command()(export)
app.command()(save)
app.command()(rounding)
app.command()(inspect)
app.command()(push)
app.command()(pull)
app.command()(capsule)
app.command()(verify)
app.command(name="compile")(compile_functions)
app.command()(completion)
app.add_typer(runs, name="runs")
app.add_typer(checkpoints, name="checkpoints")
app.add_typer(data, name="data")
for command in (one for group in (app, runs, checkpoints, data) for one in group.registered_commands):
    assert command.callback is not None, "a registered command is a function"
    command.help = unwrapped(command.callback.__doc__ or "")


def program() -> str:
    """Return how this program was called: by the name that pip gives it, or as a module."""
    return "bitlm" if Path(sys.argv[0]).name == "bitlm" else "python -m bitlm"


def main() -> None:
    """Run a command; a mistake of the user's is one sentence and exit code 2."""
    try:
        app(prog_name=program())
    except BitLMError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {place}{error.strerror or error}; check the path and its permissions.\n")
        sys.exit(2)
