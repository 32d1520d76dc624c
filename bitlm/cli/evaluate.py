"""`bitlm evaluate`: bits per byte of a run on its held-out part, or of any model on another text."""

import json
from typing import Annotated, Any

import typer

from bitlm.baselines import baselines
from bitlm.cli.opening import Opened, open_model, open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, Model, Run
from bitlm.cli.quality import bound_line, quality_of
from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.session import Session


def evaluate(
    run: Run = "latest",
    checkpoint: Checkpoint = None,
    model: Model = None,
    corpus: Annotated[
        str | None, typer.Option(help="Another text (path) (default: the run's held-out part).")
    ] = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Let the counts mixed in grow with what is read, as PPM's do.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Measure a run in bits per byte, every byte counted once, beside what compressors reach.

    Of a run that denoises also what that costs at most, with its 95 % interval.

    Another text is measured whole; its baselines are of its own last tenth given the rest and are
    therefore not comparable, so they are left out.

    Examples:
      python -m bitlm evaluate --run latest

      python -m bitlm evaluate --run latest --adaptive

      python -m bitlm evaluate --run 20261122-120000-ab12 --corpus other.txt --json

      python -m bitlm evaluate --model small.safetensors --corpus other.txt
    """
    session: Session | None = None
    if corpus is not None:
        opened, other = open_model(data_dir, run, checkpoint, model), Corpus.load(corpus)
        name, text = other.name, other.data
    elif model is not None:
        raise ConfigError("--corpus", None, "a model file has no held-out text: say what to measure it on.")
    else:
        session = open_run(data_dir, run, checkpoint)
        opened, name, text = Opened.of(session), session.corpus.name, session.corpus.held_out
    if adaptive and opened.telemetry.causal_share == 0.0:
        raise ConfigError("--adaptive", True, "this run only denoises, and no counts are mixed into that.")
    result: dict[str, Any] = {
        "run_id": opened.run_id,
        "step": opened.step,
        "corpus": name,
        **quality_of(opened.model, opened.telemetry.causal_share, text, adaptive=adaptive),
        "adaptive": adaptive,
    }
    if session is not None:
        result["baselines"] = baselines_of(session)
    if as_json:
        typer.echo(json.dumps(result))
        return
    _print(opened, result)


def _print(opened: Opened, result: dict[str, Any]) -> None:
    measured = []
    if result["bits_per_byte"] is not None:
        adapting = ", counts adapting" if result["adaptive"] else ""
        measured.append(f"{result['bits_per_byte']:.3f} bits per byte{adapting}")
    if result["bound"] is not None:
        measured.append(bound_line(result["bound"]))
    of_what = opened.name if opened.run_id is None else f"run {opened.run_id} at step {opened.step}"
    typer.echo(f"{of_what}: {'; '.join(measured)}")
    for compressor, value in result.get("baselines", {}).items():
        typer.echo(f"  {compressor:<8} {value:.3f}")


def baselines_of(session: Session) -> dict[str, float]:
    """Return what compressors reach on the run's held-out part, measured before or now."""
    assert session.model.reference is not None, "a session's model always carries its reference"
    kept = session.store.baselines(session.config.baselines_key)
    return kept or baselines(session.corpus, session.model.reference)
