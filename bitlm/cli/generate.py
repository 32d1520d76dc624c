"""`bitlm generate`: text from a run, with the gate's verdict."""

import json
import warnings
from typing import Annotated, Any

import typer
from rich.console import Console

from bitlm.bits import text_to_bits
from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, Run
from bitlm.errors import SafetyGateWarning
from bitlm.safety import GatedSample, safe_sample_with_retry


def generate(
    run: Run = "latest",
    checkpoint: Checkpoint = None,
    prompt: Annotated[str, typer.Option(help="Text to go on from.")] = "",
    max_new_bytes: Annotated[int, typer.Option(min=1, max=65536, help="Longest answer, in bytes.")] = 256,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="0 = the likeliest, 1 = as learned.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Keep the likeliest bytes of this total.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same text.")] = 0,
    strict: Annotated[bool, typer.Option(help="Print nothing when the gate refuses; exit code 2.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Generate text and say whether it passes the gate (C against loops, S against noise).

    Examples:
      python -m bitlm generate --prompt "The "

      python -m bitlm generate --run 20261122-120000-ab12 --max-new-bytes 64 --seed 7 --json
    """
    session = open_run(data_dir, run, checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SafetyGateWarning)  # the verdict is printed below
        answer = safe_sample_with_retry(
            session.model,
            text_to_bits(prompt, parity=session.config.model.parity),
            c_floor=session.telemetry.c_floor,
            s_floor=session.telemetry.s_floor,
            strict=strict,
            max_new_bytes=max_new_bytes,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
    if as_json:
        typer.echo(json.dumps({"run_id": session.run_id, "prompt": prompt, **_record(answer)}))
    else:
        _print(prompt, answer)


def _record(answer: GatedSample) -> dict[str, Any]:
    verdict = answer.verdict
    return {
        "text": answer.sample.text,
        "bits": answer.sample.bits.tolist(),
        "gate": {
            "passed": verdict.passed,
            "attempts": len(answer.attempts),
            "K": verdict.K,
            "C": verdict.C,
            "S": verdict.S,
            "reasons": list(verdict.reasons),
        },
    }


def _print(prompt: str, answer: GatedSample) -> None:
    console = Console(highlight=False, markup=False)
    console.print(prompt, style="dim", end="")
    console.print(answer.sample.text)
    verdict = answer.verdict
    word = "passed" if verdict.passed else "NOT passed: " + "; ".join(verdict.reasons)
    figures = f"K {verdict.K:.2f}  C {verdict.C:.2f}  S {verdict.S:.2f}"
    Console(stderr=True, highlight=False).print(f"gate {word}  ({figures}, attempts {len(answer.attempts)})")
