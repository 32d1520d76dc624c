"""`bitlm generate`: text from a run, with the gate's verdict."""

import json
import sys
import warnings
from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from bitlm.bits import text_to_bits
from bitlm.cli.gated import print_gated, print_text, print_verdict, record_of
from bitlm.cli.opening import Opened, open_model
from bitlm.cli.options import (
    DEFAULT_DATA_DIR,
    Checkpoint,
    DataDir,
    Json,
    Model,
    Run,
    Strict,
    SwitchModes,
    Temperature,
    TextSeed,
    TopP,
)
from bitlm.errors import ConfigError, MissingReferenceError, SafetyGateError, SafetyGateWarning
from bitlm.gate import SafetyGate
from bitlm.generation import GeneratedByte, Sample, collect, generate_batch
from bitlm.generation import generate as emit
from bitlm.safety import GatedSample, safe_sample_with_retry
from bitlm.streaming_gate import StreamingGate


def generate(
    run: Run = "latest",
    checkpoint: Checkpoint = None,
    model: Model = None,
    prompt: Annotated[str, typer.Option(help="Text to go on from.")] = "",
    max_new_bytes: Annotated[int, typer.Option(min=1, max=65536, help="Longest answer, in bytes.")] = 256,
    temperature: Temperature = 0.8,
    top_p: TopP = 1.0,
    seed: TextSeed = 0,
    samples: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="So many texts, with the seeds SEED, SEED+1, …; --json: an array."),
    ] = None,
    strict: Strict = False,
    switch_modes: SwitchModes = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print bytes as they come, and end where the last of them fail.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Generate text and say whether it passes the gate (C against loops, S against noise).

    The text goes to standard output as it is, each of several --samples under a heading; the verdict goes to
    the error stream.

    Examples:
      python -m bitlm generate --prompt "The "

      python -m bitlm generate --prompt "The " --samples 8

      python -m bitlm generate --run 20261122-120000-ab12 --max-new-bytes 64 --seed 7 --json

      python -m bitlm generate --prompt "The " --stream --max-new-bytes 65536

      python -m bitlm generate --model small.safetensors --prompt "The "
    """
    if stream and (as_json or samples is not None or switch_modes):
        raise ConfigError(
            "--stream",
            True,
            "it prints one text as it comes: leave out --json, --samples and --switch-modes.",
        )
    opened = open_model(data_dir, run, checkpoint, model)
    seeds = range(seed, seed + (samples or 1))
    drawing: dict[str, Any] = {"max_new_bytes": max_new_bytes, "temperature": temperature, "top_p": top_p}
    if stream:
        _stream(opened, prompt, seed, drawing, strict=strict)
        return
    answers = _gated_samples(opened, prompt, seeds, drawing, {"strict": strict, "switch_modes": switch_modes})
    if as_json:
        records = [{"run_id": opened.run_id, "prompt": prompt, **record_of(answer)} for answer in answers]
        typer.echo(json.dumps(records[0] if samples is None else records))
    else:
        for number, (drawn, answer) in enumerate(zip(seeds, answers, strict=True), start=1):
            print_gated(prompt, answer, f"sample {number} · seed {drawn}" if samples is not None else "")


def _gated_samples(
    opened: Opened, prompt: str, seeds: Sequence[int], drawing: dict[str, Any], gating: dict[str, Any]
) -> list[GatedSample]:
    """Draw every seed's first attempt side by side, and what the gate refuses again, one by one."""
    bits = text_to_bits(prompt, parity=opened.model.config.parity)
    firsts: Sequence[Sample | None] = [None]  # a text alone is given up once it can no longer pass
    if len(seeds) > 1:
        firsts = generate_batch(opened.model, [bits] * len(seeds), seeds=seeds, **drawing)
    floors: dict[str, Any] = {"c_floor": opened.telemetry.c_floor, "s_floor": opened.telemetry.s_floor}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SafetyGateWarning)  # the verdicts are printed
        return [
            safe_sample_with_retry(opened.model, bits, **floors, **gating, seed=seed, drawn=first, **drawing)
            for seed, first in zip(seeds, firsts, strict=True)
        ]


def _stream(opened: Opened, prompt: str, seed: int, drawing: dict[str, Any], *, strict: bool) -> None:
    """Print a text as it comes; what has been read cannot be drawn again, so there is one attempt."""
    model, telemetry = opened.model, opened.telemetry
    if model.reference is None:
        raise MissingReferenceError
    gate = SafetyGate(telemetry.c_floor, telemetry.s_floor)
    watching = StreamingGate(gate, model.reference, history=prompt.encode())
    print_text(Console(highlight=False, markup=False), prompt, "")
    decoder = getincrementaldecoder("utf-8")("replace")
    emitted: list[GeneratedByte] = []
    bits = text_to_bits(prompt, parity=model.config.parity)
    for generated in watching.watch(emit(model, bits, seed=seed, **drawing)):
        emitted.append(generated)
        sys.stdout.write(decoder.decode(bytes([generated.value])))
        sys.stdout.flush()
    sys.stdout.write(decoder.decode(b"", final=True) + "\n")
    sample = collect(emitted, model.config.parity)
    verdict = watching.verdict or gate.judge(sample, model.reference, history=prompt.encode())
    print_verdict(verdict, f"ended after {len(emitted)} bytes" if watching.verdict else "the whole text")
    if strict and not verdict.passed:
        raise SafetyGateError(verdict, ())
