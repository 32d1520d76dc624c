"""`bitlm data`: a text of any size, packed to be trained on without being held in memory."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bitlm.cli.options import Json
from bitlm.cli.printing import bar
from bitlm.data import PackedText
from bitlm.data.source import INDEX_FILE
from bitlm.data.text import Index, require_whole
from bitlm.errors import ConfigError
from bitlm.history.narration import percent
from bitlm.packing import SHARD_BYTES, pack

MEGABYTE = 1 << 20

data = typer.Typer(
    help="Pack texts that are larger than memory; `train --corpus` takes what it writes.",
    no_args_is_help=True,
)


@data.command()
def build(
    source: Annotated[str, typer.Argument(help="A text file, or a folder of text files.")],
    output: Annotated[Path, typer.Option(help="Folder to write: new, empty, or begun by this command.")],
    shard_mb: Annotated[
        int, typer.Option(min=1, max=1 << 20, help="Length of a shard in megabytes of 2^20 bytes.")
    ] = SHARD_BYTES // MEGABYTE,
    as_json: Json = False,
) -> None:
    """Pack a file, or all text files below a folder, into shards with an index.

    The text is the one that `train --corpus SOURCE` would read, with the same fingerprint, and a run on it is
    the same to the last bit; but its memory does not grow with the text. Cut off and called again, it goes on
    after the last whole shard. A source that has changed meanwhile is an error.

    Examples:
      python -m bitlm data build texts --output packed

      python -m bitlm data build book.txt --output packed --shard-mb 16 --json

      python -m bitlm train --corpus packed
    """
    with bar("packing", None) as move:
        index = pack(
            source,
            output,
            shard_bytes=shard_mb * MEGABYTE,
            progress=lambda done, total: move(completed=done, total=total),
        )
    _tell(output, index, as_json=as_json)
    if not as_json:
        typer.echo(f"next: python -m bitlm train --corpus {output}")


@data.command()
def show(
    folder: Annotated[Path, typer.Argument(help="What `data build` wrote.")],
    verify: Annotated[bool, typer.Option("--verify", help="Read it all and compare every hash.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is in a packed text: sizes, fingerprint, what was left out.

    Examples:
      python -m bitlm data show packed

      python -m bitlm data show packed --verify --json
    """
    if not (folder / INDEX_FILE).exists():
        raise ConfigError("folder", str(folder), "there is no packed text; name what `data build` wrote.")
    text = PackedText.open(folder)
    if verify:
        with bar("verifying", len(text)) as move:
            require_whole(text, lambda more: move(advance=more))
    _tell(folder, text.index, as_json=as_json, verified=verify)


def _tell(folder: Path, index: Index, *, as_json: bool, verified: bool = False) -> None:
    """Print what a packed text says of itself."""
    if as_json:
        told: dict[str, Any] = {"folder": str(folder), **index.model_dump(), "verified": verified}
        typer.echo(json.dumps(told))
        return
    shards = f"{len(index.shards)} of up to {index.shard_bytes:,} bytes"
    typer.echo(
        f"{index.name}: {index.bytes:,} bytes, shards: {shards}{', every hash right' if verified else ''}"
    )
    typer.echo(f"SHA-256 {index.fingerprint}")
    if index.not_utf8:
        typer.echo(f"{percent(index.not_utf8)} of it is no UTF-8: it is taken as bytes.")
    for name in index.skipped:
        typer.echo(f"left out, as it contains NUL: {name}")
