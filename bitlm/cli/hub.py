"""`bitlm push` and `bitlm pull`: a run's model to a hub with what it reaches, and a model from there."""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bitlm.cli.evaluate import baselines_of
from bitlm.cli.export import Force, refuse_to_overwrite
from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, RunArgument
from bitlm.cli.quality import bound_line, quality_of
from bitlm.cli.save import Weights, record_of, tell_file, write_file
from bitlm.compression.identity import model_hash
from bitlm.hub import DEFAULT_ENDPOINT, MODEL_FILE, Hub
from bitlm.model_card import Measured, model_card, without_counts
from bitlm.model_file import ModelFile, Provenance, load_model
from bitlm.session import Session

RepoId = Annotated[str, typer.Argument(help="OWNER/NAME at the hub.")]
Endpoint = Annotated[str, typer.Option(envvar="HF_ENDPOINT", help="Address of the hub.")]


def push(
    run: RunArgument,
    repo_id: RepoId,
    weights: Weights = "float32",
    checkpoint: Checkpoint = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository for nobody else to see.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, made if it is not there.")] = None,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Put a run's model on a hub such as huggingface.co: the file that `save` writes, and a card.

    The card says what was measured: bits per byte on held-out text with and without the counts that are mixed
    in, beside compressors. The counts are in the file: who can read it can read much of the training text.

    A token is taken from the variable HF_TOKEN alone; an option would show it to everybody on this machine,
    and stay in the shell's history. Needs the extra: pip install 'bitlm[hub]'.

    Examples:
      python -m bitlm push latest me/small-bible --private

      python -m bitlm push 20261122-120000-ab12 me/small-bible --weights int8 --revision int8
    """
    hub = Hub(endpoint)
    session = open_run(data_dir, run, checkpoint)
    hub.make(repo_id, is_private=private, revision=revision)  # what is refused is known before long measuring
    with TemporaryDirectory(prefix="bitlm-") as folder:
        file = Path(folder) / MODEL_FILE
        write_file(session, file, weights)
        kept, origin = load_model(file), Provenance.of(session)
        measured, identity = _measured(session, kept), model_hash(kept.model).hex()
        card = model_card(repo_id, kept, origin, measured, identity)
        record = json.dumps(record_of(kept) | {"measured": asdict(measured)}, indent=2)
        texts = {"README.md": card.encode(), "config.json": record.encode()}
        url = hub.push(repo_id, {MODEL_FILE: file, **texts}, revision)
    if as_json:
        answer = {"run_id": session.run_id, "step": session.step_count, "repo_id": repo_id, "url": url}
        typer.echo(json.dumps(answer | {"measured": asdict(measured)}))
        return
    typer.echo(f"run {session.run_id} at step {session.step_count} is at {url}")
    typer.echo(f"next: python -m bitlm pull {repo_id}{f' --revision {revision}' if revision else ''}")


def pull(
    repo_id: RepoId,
    output: Annotated[
        Path | None, typer.Option(help="The file to write (default: NAME.safetensors).")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit (default: main).")] = None,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fetch a model from a hub as one file, check that it is whole, and say what is in it.

    `generate`, `denoise`, `evaluate`, `compress` and `decompress` take it as --model. It is safetensors:
    nothing in it is executed. For what is private set HF_TOKEN. Needs the extra: pip install 'bitlm[hub]'.

    Examples:
      python -m bitlm pull me/small-bible

      python -m bitlm pull me/small-bible --revision int8 --output small-int8.safetensors
    """
    place = output or Path(f"{repo_id.rpartition('/')[2]}.safetensors")
    refuse_to_overwrite(place, force=force)
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".bitlm-", dir=place.parent) as folder:
        found = Hub(endpoint).pull(repo_id, Path(folder), revision)
        load_model(found)
        found.replace(place)
    tell_file(place, as_json=as_json)


def _measured(session: Session, kept: ModelFile) -> Measured:
    """Return what the model in a file reaches on its run's held-out text."""
    text, share = session.corpus.held_out, session.telemetry.causal_share
    quality, alone = quality_of(kept.model, share, text), None
    if kept.model.mixer is not None and quality["bits_per_byte"] is not None:
        alone = quality_of(without_counts(kept.model), share, text)["bits_per_byte"]
    bound = bound_line(quality["bound"]) if quality["bound"] is not None else None
    return Measured(len(text), quality["bits_per_byte"], alone, bound, baselines_of(session))
