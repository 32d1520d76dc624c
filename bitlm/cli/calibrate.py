"""`bitlm calibrate`: floors of the gate that fit a text."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bitlm.calibration import FALSE_REJECT_RATE, Assessment, assess, split
from bitlm.calibration.detection import SAMPLES
from bitlm.calibration.floors import HIGHEST_RATE
from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Run
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel


def calibrate(
    run: Run = "latest",
    corpus: Annotated[
        str | None,
        typer.Option(help="'embedded' or a path, to calibrate without a run (default: the run's text)."),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            min=0.0001, max=HIGHEST_RATE, help="Share of real text that C and S together may refuse."
        ),
    ] = FALSE_REJECT_RATE,
    samples: Annotated[
        int, typer.Option(min=1, max=10_000, help="So many samples of each kind of failure.")
    ] = SAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Key of what is drawn for the failures.")] = 0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fit the gate's floors to a text and say what they catch, for samples of 32 to 1,024 bytes.

    Fitted on one half of the held-out tenth, measured on the other half and on failures made of it. It
    changes no run: the page's Calibrate button and POST /config/telemetry set floors.

    Examples:
      python -m bitlm calibrate

      python -m bitlm calibrate --corpus book.txt --rate 0.02

      python -m bitlm calibrate --corpus embedded --json
    """
    text, reference = _text_and_counts(data_dir, run, corpus)
    assessment = assess(split(text.held_out), reference, false_reject_rate=rate, samples=samples, seed=seed)
    if as_json:
        typer.echo(json.dumps({"corpus": text.name, "fingerprint": text.fingerprint, **assessment.record()}))
    else:
        _print(text.name, assessment)


def _text_and_counts(data_dir: Path, run: str, corpus: str | None) -> tuple[Corpus, ReferenceModel]:
    if corpus is not None:
        text = Corpus.load(corpus)
        return text, ReferenceModel.fit(text.train)
    session = open_run(data_dir, run)
    assert session.model.reference is not None, "a session's model always carries its reference"
    return session.corpus, session.model.reference


def _print(name: str, assessment: Assessment) -> None:
    table = Table(title=f"{name}: floors that refuse {assessment.calibration.false_reject_rate:.1%} of text")
    for title in ("bytes", "C floor", "S floor", "of unseen text refused", "least caught", "least AUC"):
        table.add_column(title, justify="right")
    for floors, caught, ranked in assessment.weakest():
        table.add_row(
            str(floors.length_bytes),
            f"{floors.c_floor:.3f}",
            f"{floors.s_floor:.3f}",
            f"{floors.refused_unseen:.1%}",
            f"{caught.caught:.1%} ({caught.kind})",
            f"{ranked.auc:.4f} ({ranked.kind})",
        )
    Console(highlight=False).print(table)
