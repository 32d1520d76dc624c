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
from bitlm.calibration.report import calibration_html
from bitlm.cli.export import Force, refuse_to_overwrite
from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Run
from bitlm.data import Corpus
from bitlm.history.aside import written_aside
from bitlm.reference import ReferenceModel


def calibrate(
    run: Run = "latest",
    corpus: Annotated[
        str | None,
        typer.Option(help="'embedded' or a path, to calibrate without a run (default: the run's text)."),
    ] = None,
    false_reject_rate: Annotated[
        float,
        typer.Option(
            min=0.0001, max=HIGHEST_RATE, help="Share of real text that C and S together may refuse."
        ),
    ] = FALSE_REJECT_RATE,
    samples: Annotated[
        int, typer.Option(min=1, max=10_000, help="So many samples of each kind of failure.")
    ] = SAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Key of what is drawn for the failures.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write a report there, one HTML page.")] = None,
    force: Force = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fit the gate's floors to a text and say what they catch, for samples of 32 to 1,024 bytes.

    Fitted on one half of the held-out tenth, measured on the other half and on failures made of it. It
    changes no run: the page's Calibrate button and POST /config/telemetry set floors.

    Examples:
      python -m bitlm calibrate

      python -m bitlm calibrate --corpus book.txt --false-reject-rate 0.02 --output calibration.html

      python -m bitlm calibrate --corpus embedded --json
    """
    if output is not None:
        refuse_to_overwrite(output, force=force)
    text, reference = _text_and_counts(data_dir, run, corpus)
    assessment = assess(
        split(text.held_out), reference, false_reject_rate=false_reject_rate, samples=samples, seed=seed
    )
    if output is not None:
        page = calibration_html(text.name, text.fingerprint, assessment, samples=samples)
        with written_aside(output) as file:
            file.write(page.encode())
    if as_json:
        typer.echo(json.dumps({"corpus": text.name, "fingerprint": text.fingerprint, **assessment.record()}))
        return
    _print(text.name, assessment)
    if output is not None:
        typer.echo(f"the report is written to {output}.")


def _text_and_counts(data_dir: Path, run: str, corpus: str | None) -> tuple[Corpus, ReferenceModel]:
    if corpus is not None:
        text = Corpus.load(corpus)
        return text, ReferenceModel.fit(text.train)
    session = open_run(data_dir, run)
    assert session.model.reference is not None, "a session's model always carries its reference"
    return session.corpus, session.model.reference


def _print(name: str, assessment: Assessment) -> None:
    table = Table(title=f"{name}: floors that refuse {assessment.calibration.false_reject_rate:.1%} of text")
    for title in ("bytes", "C floor", "S floor", "unseen text refused", "least caught", "least AUC"):
        table.add_column(title, justify="right")
    for floors, caught, ranked in assessment.weakest():
        table.add_row(
            str(floors.length_bytes),
            f"{floors.c_floor:.3f}",
            f"{floors.s_floor:.3f}",
            f"{floors.refused_unseen:.1%}",
            f"{caught.caught:.1%} {caught.kind}" if caught.caught < 1 else "all",
            f"{ranked.auc:.4f} {ranked.kind}" if ranked.auc < 1 else "1",
        )
    Console(highlight=False).print(table)
