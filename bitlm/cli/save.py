"""`bitlm save` and `bitlm inspect`: a run's model as one file, and what such a file holds."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from bitlm.cli.export import Force, refuse_to_overwrite
from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, RunArgument
from bitlm.compression.identity import model_hash
from bitlm.errors import MissingReferenceError
from bitlm.model import ModelConfig
from bitlm.model_file import ModelFile, Provenance, RoundingReceipt, load_model, save_model
from bitlm.quantisation import Precision
from bitlm.session import Session

MEASURED_BYTES = 2**16
"""Of held-out text that both models are measured on, if there are so many: some seconds."""

FLOAT_BYTES = 4

Weights = Annotated[
    Precision, typer.Option(help="What to keep the weights as: in 4 bytes each, 1, or a half.")
]


def save(
    output: Annotated[Path, typer.Option(help="The file to write.")],
    run: RunArgument = "latest",
    weights: Weights = "float32",
    checkpoint: Checkpoint = None,
    force: Force = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write a run's model as one file that needs neither the run nor its text; say what fewer bits cost.

    `generate`, `denoise`, `evaluate`, `compress` and `decompress` take it as --model; `inspect` says what is
    in it. The optimizer stays behind: training goes on in the run.

    Examples:
      python -m bitlm save latest --output small.safetensors

      python -m bitlm save latest --weights int8 --output small-int8.safetensors

      python -m bitlm save 20261122-120000-ab12 --checkpoint 400 --weights int4 --output int4.safetensors
    """
    refuse_to_overwrite(output, force=force)
    write_file(open_run(data_dir, run, checkpoint), output, weights)
    tell_file(output, as_json=as_json)


def inspect(
    file: Annotated[Path, typer.Argument(help="A model file that `save` wrote.")], as_json: Json = False
) -> None:
    """Check that a model file is whole, and say what is in it: shape, bytes by part, training, identity.

    The identity is the hash that `compress` writes: equal where all predictions are.

    Examples:
      python -m bitlm inspect small.safetensors

      python -m bitlm inspect small-int8.safetensors --json
    """
    tell_file(file, as_json=as_json)


def write_file(session: Session, path: Path, weights: Precision) -> None:
    """Write a run's model as one file, with what fewer bits cost."""
    receipt = None
    if weights != "float32":
        receipt = RoundingReceipt.of(session.model, weights, session.corpus.held_out[:MEASURED_BYTES])
    save_model(session.model, path, precision=weights, provenance=Provenance.of(session), receipt=receipt)


def tell_file(path: Path, *, as_json: bool) -> None:
    """Say what is in a model file."""
    kept, size = load_model(path), path.stat().st_size
    if as_json:
        typer.echo(json.dumps({"file": str(path), "bytes": size, **record_of(kept)}))
        return
    typer.echo(f"{path}: {size:,} bytes, weights {kept.precision}")
    for title, told in _lines(kept):
        typer.echo(f"  {title:<10} {told}")


def record_of(kept: ModelFile) -> dict[str, Any]:
    """Return what is in a model file as `--json` says it."""
    provenance, receipt = kept.provenance, kept.receipt
    return {
        "version": kept.version,
        "config": asdict(kept.model.config),
        "parameters": kept.model.parameter_count,
        "weights": kept.precision,
        "weight_bytes": kept.weight_bytes,
        "part_bytes": kept.part_bytes,
        "identity": _identity(kept),
        "provenance": provenance and provenance.model_dump(mode="json"),
        "receipt": receipt and receipt.model_dump(mode="json"),
    }


def _lines(kept: ModelFile) -> Iterator[tuple[str, str]]:
    """Yield what is to be said to people."""
    model, provenance, receipt = kept.model, kept.provenance, kept.receipt
    chosen = [field for field in fields(ModelConfig) if getattr(model.config, field.name) != field.default]
    yield "shape", " ".join(f"{field.name}={getattr(model.config, field.name)}" for field in chosen)
    share = kept.weight_bytes / (FLOAT_BYTES * model.parameter_count)
    yield "weights", f"{model.parameter_count:,} in {kept.weight_bytes:,} bytes, {share:.3f} of float32's"
    yield "bytes", " · ".join(f"{part} {taken:,}" for part, taken in kept.part_bytes.items())
    if receipt is not None:
        before, after = receipt.bits_per_byte
        cost = f"{before:.4f} → {after:.4f} bits per byte of {receipt.held_out_bytes:,} bytes held out"
        yield "rounding", f"{cost}, logits change by {receipt.logit_difference:.3g} at most"
    if provenance is not None:
        trained = f"{provenance.step:,} steps, {provenance.bytes_seen:,} bytes"
        yield "trained", f"{trained}, run {provenance.run_id}, BitLM {kept.version}"
        yield "text", f"{provenance.corpus}, SHA-256 {provenance.corpus_fingerprint[:12]}…"
    yield "identity", _identity(kept) or "none: its counts are missing"


def _identity(kept: ModelFile) -> str | None:
    try:
        return model_hash(kept.model).hex()
    except MissingReferenceError:
        return None
