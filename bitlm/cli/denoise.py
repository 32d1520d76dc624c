"""`bitlm denoise`: a gap in a text filled in, with the gate's verdict."""

import json
from collections.abc import Generator
from itertools import groupby
from operator import itemgetter
from typing import Annotated

import typer

from bitlm.bits import text_to_bits
from bitlm.cli.gated import print_gated, record_of
from bitlm.cli.opening import open_model
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
from bitlm.cli.printing import text_console
from bitlm.diffusion import MOST_STEPS, SAMPLERS, SCHEDULES, Denoising, Frame, Template, samples
from bitlm.draw import Filling
from bitlm.safety import GatedSample, Progress, stream_with_retry

MASKED = "░"
"""What stands for a byte that is not known yet."""


def denoise(
    run: Run = "latest",
    checkpoint: Checkpoint = None,
    model: Model = None,
    prompt: Annotated[str, typer.Option(help="What stands before the gap.")] = "",
    suffix: Annotated[str, typer.Option(help="What stands after it.")] = "",
    max_new_bytes: Annotated[int, typer.Option(min=1, max=65536, help="Bytes of the gap.")] = 128,
    steps: Annotated[int, typer.Option(min=1, max=MOST_STEPS, help="More are better and slower.")] = 16,
    noise_schedule: Annotated[
        str, typer.Option(help=f"How much each step reveals: {', '.join(SCHEDULES)}.")
    ] = "cosine",
    sampler: Annotated[
        str,
        typer.Option(
            help=f"What it reveals, any, the surest, or any and hides again: {', '.join(SAMPLERS)}."
        ),
    ] = "ancestral",
    block_bytes: Annotated[
        int | None, typer.Option(min=1, help="Fill in so many bytes at a time, from left to right.")
    ] = None,
    temperature: Temperature = 0.8,
    top_p: TopP = 1.0,
    seed: TextSeed = 0,
    strict: Strict = False,
    switch_modes: SwitchModes = False,
    frames: Annotated[bool, typer.Option("--frames", help="Show the text after each step, too.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fill in a gap by denoising: all of it at once, in steps, seeing what stands before and after.

    For a run that has learned it: train one with --set objective=mixed. The text goes to standard output; the
    verdict, and the frames, to the error stream.

    Examples:
      python -m bitlm train --set objective=mixed

      python -m bitlm denoise --prompt "The " --suffix " object." --max-new-bytes 40 --frames

      python -m bitlm denoise --steps 64 --sampler confidence --noise-schedule linear --json
    """
    opened = open_model(data_dir, run, checkpoint, model)
    template = Template.around(max_new_bytes, prompt=prompt.encode(), suffix=suffix.encode())
    how = Denoising(steps, noise_schedule, sampler, block_bytes=block_bytes)
    how = how.fitted(len(template.given), opened.model.config)
    drawing = stream_with_retry(
        opened.model, text_to_bits(prompt, parity=opened.model.config.parity),
        opened.telemetry.c_floor, opened.telemetry.s_floor, strict,
        temperature=temperature, top_p=top_p, seed=seed, filling=Filling(template, how),
        switch_modes=switch_modes,
    )  # fmt: skip
    answer = _finished(drawing, frames=frames)
    if as_json:
        record = {"run_id": opened.run_id, "prompt": prompt, "suffix": suffix, **record_of(answer)}
        typer.echo(json.dumps(record))
    else:
        print_gated(prompt, answer, suffix=suffix)


def _finished(drawing: Generator[Progress, None, GatedSample], *, frames: bool) -> GatedSample:
    """Draw to the end, and show each frame if asked."""
    console = text_console(stderr=True)
    while True:
        try:
            progress = next(drawing)
        except StopIteration as end:
            gated: GatedSample = end.value
            return gated
        if frames and isinstance(progress, Frame):
            console.print(f"{progress.step:>4}  {_shown(progress)}", soft_wrap=True)


def _shown(frame: Frame) -> str:
    """Return a text as far as it is known, on one line."""
    (whole,) = samples(frame, parity=False)
    masked = frame.masked[0].tolist()
    parts = groupby(zip(whole.data, masked, strict=True), key=itemgetter(1))
    texts = (
        MASKED * len(list(part)) if hidden else bytes(value for value, _ in part).decode(errors="replace")
        for hidden, part in parts
    )
    shown = "".join(texts).replace("\n", "⏎")
    return "".join(letter if letter.isprintable() else "·" for letter in shown)
