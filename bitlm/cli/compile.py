"""`bitlm compile`: have compiled what a first step and a first sample would wait for."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import ParamSpec

import numpy as np
import typer

from bitlm.bits import PAYLOAD_BITS, bytes_to_bits
from bitlm.cli.options import Json
from bitlm.cli.printing import text_console
from bitlm.compiled import code_folder
from bitlm.compression import compress, decompress
from bitlm.earlier_counts import EarlierCounts
from bitlm.gate import SafetyGate
from bitlm.generation import collect, generate
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel

TEXT = b"Whatever text: what is compiled does not depend on it."
PATCHES = (8, 1)
"""Bits a patch: whole bytes and single bits have functions of their own."""
COMPLETE = "complete"
"""What is in the folder of the code once all of it is."""

Arguments = ParamSpec("Arguments")


def compile_functions(as_json: Json = False) -> None:
    """Compile what trains and generates, for a minute; else the first run after an update waits for it.

    The code is kept beside the package, or in the user's cache folder where that cannot be written.

    Examples:
      python -m bitlm compile
    """
    begin = time.perf_counter()
    with typer.progressbar(PATCHES, label="Compiling", hidden=as_json) as patches:
        for patch_bits in patches:
            _run_everything(patch_bits)
    _note_complete()
    seconds = round(time.perf_counter() - begin, 1)
    typer.echo(json.dumps({"seconds": seconds}) if as_json else f"Ready after {seconds} s.")


def compiled_first(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Have a command compile what has never been compiled before it begins: its minutes are for training."""

    @wraps(command)
    def run(*given: Arguments.args, **named: Arguments.kwargs) -> None:
        if not (folder := code_folder()) or not Path(folder, COMPLETE).exists():
            text_console(stderr=True).print("Compiling for this processor; it takes a minute and is kept …")
            for patch_bits in PATCHES:
                _run_everything(patch_bits)
            _note_complete()
        command(*given, **named)

    return run


def _note_complete() -> None:
    if folder := code_folder():
        Path(folder, COMPLETE).touch()


def _run_everything(patch_bits: int) -> None:
    """Use each compiled function once, on arrays of the types it is used with."""
    values, starts = np.array(list(TEXT), np.uint8), np.zeros(1, np.int64)
    counts = EarlierCounts(values).before(values[None, :2], starts, 8)
    config = ModelConfig(d_model=8, nhead=2, num_layers=1, dim_feedforward=8, max_seq_len=64)
    recall = patch_bits == PAYLOAD_BITS
    model = BitTransformer(replace(config, patch_bits=patch_bits, mixing="reference", recall=recall))
    model.reference = ReferenceModel.fit(TEXT)
    model.reference.bits_per_byte(TEXT)
    model(bytes_to_bits(TEXT[:2])[None], counts=counts).logits.sum().backward()
    sample = collect(generate(model, bytes_to_bits(TEXT[:2]), max_new_bytes=1, top_p=0.9), parity=False)
    SafetyGate().judge(sample, model.reference)
    small = BytesIO()
    compress(model, BytesIO(TEXT), small)
    small.seek(0)
    decompress(model, small, BytesIO())
