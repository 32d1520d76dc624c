"""`bitlm evaluate`: bits per byte of a run on its held-out part or on another text."""

import json
from typing import Annotated, Any

import typer

from bitlm.baselines import baselines
from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, Run
from bitlm.cli.quality import bound_line, quality_of
from bitlm.data import Corpus
from bitlm.errors import ConfigError


def evaluate(
    run: Run = "latest",
    checkpoint: Checkpoint = None,
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
    """
    session = open_run(data_dir, run, checkpoint)
    if adaptive and session.telemetry.causal_share == 0.0:
        raise ConfigError("--adaptive", True, "this run only denoises, and no counts are mixed into that.")
    other = Corpus.load(corpus) if corpus else None
    result: dict[str, Any] = {
        "run_id": session.run_id,
        "step": session.step_count,
        "corpus": other.name if other else session.corpus.name,
        **quality_of(session, other.data if other else None, adaptive=adaptive),
        "adaptive": adaptive,
    }
    if other is None:
        assert session.model.reference is not None, "a session's model always carries its reference"
        kept = session.store.baselines(session.corpus.fingerprint)
        result["baselines"] = kept or baselines(session.corpus, session.model.reference)
    if as_json:
        typer.echo(json.dumps(result))
        return
    measured = []
    if result["bits_per_byte"] is not None:
        measured.append(
            f"{result['bits_per_byte']:.3f} bits per byte{', counts adapting' if adaptive else ''}"
        )
    if result["bound"] is not None:
        measured.append(bound_line(result["bound"]))
    typer.echo(f"run {session.run_id} at step {session.step_count}: {'; '.join(measured)}")
    for name, value in result.get("baselines", {}).items():
        typer.echo(f"  {name:<8} {value:.3f}")
