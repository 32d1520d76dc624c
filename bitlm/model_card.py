"""A model's card: what a hub says of it, in words for people and in YAML for programs.

Source: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019; "Model Cards", Hugging Face Hub, docs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bitlm.model import BitTransformer
from bitlm.model_file import ModelFile, Provenance

ALONE = "this model without the counts it mixes in"


@dataclass(frozen=True)
class Measured:
    """What a model reaches on the held-out tenth of its text.

    Attributes:
        held_out_bytes: How much text that is.
        bits_per_byte: Of the model in the file; None of one that only denoises.
        alone: Of the same without its counts; None where it mixes none in, or only denoises.
        bound: What denoising costs at most, in a sentence; None of one that does not.
        baselines: Of other compressors, in bits per byte.
    """

    held_out_bytes: int
    bits_per_byte: float | None
    alone: float | None
    bound: str | None
    baselines: Mapping[str, float]


def without_counts(model: BitTransformer) -> BitTransformer:
    """Return a model that predicts what the tree of one that mixes counts in does by itself."""
    alone = BitTransformer(replace(model.config, mixing="none"))
    weights = model.state_dict().items()
    alone.load_state_dict({name: weight for name, weight in weights if not name.startswith("mixer.")})
    return alone.eval()


def model_card(repo_id: str, kept: ModelFile, came: Provenance, measured: Measured, identity: str) -> str:
    """Return a card, as a repository's README.md is one.

    Args:
        repo_id: OWNER/NAME.
        kept: The file that is in the repository.
        came: Where its model comes from.
        measured: What it reaches.
        identity: The hash that `bitlm inspect` tells.
    """
    name, command = repo_id.rpartition("/")[2], "denoise" if measured.bits_per_byte is None else "generate"
    return f"""---
library_name: bitlm
pipeline_tag: text-generation
tags: [bitlm, bits, compression, reversible-transformer]
{_index(name, came, measured)}---

# {name}

A language model whose alphabet is the bit, trained by BitLM {kept.version}.

| | |
|---|---|
| text | {_plain(came.corpus)}, SHA-256 `{came.corpus_fingerprint}` |
| trained | {came.step:,} steps, {came.bytes_seen:,} bytes, run `{came.run_id}` |
| parameters | {kept.model.parameter_count:,}, kept as {kept.precision} in {kept.weight_bytes:,} bytes |
| identity | `{identity}` |

## What it reaches

Bits per byte of the text's last tenth ({measured.held_out_bytes:,} bytes), which it was not trained on; lower
is better. All others were given the rest of the text first, too. Measured on the file that is here.

| | bits per byte |
|---|--:|
{"".join(_rows(measured))}
{"".join(_remarks(kept, measured))}
## How to use it

```sh
pip install 'bitlm[hub]'
bitlm pull {repo_id} --output {name}.safetensors
bitlm inspect {name}.safetensors
bitlm {command} --model {name}.safetensors --prompt "The "
```

The file is safetensors, checked by its SHA-256 when it is read; nothing in it is executed.

## What it is not good for

A model of this size spells words and copies a text's manner; it does not know or reason, and its gate tells
loops and noise from text, not truth. The counts of its text are in the file: much of it can be read there.
"""


def _index(name: str, came: Provenance, measured: Measured) -> str:
    """Return the figures for programs, as far as there are any (`model-index`); JSON is YAML."""
    found = {"bits per byte": measured.bits_per_byte, "bits per byte without counts": measured.alone}
    metrics = [
        {"type": "bits_per_byte", "name": title, "value": round(figure, 4)}
        for title, figure in found.items()
        if figure is not None
    ]
    if not metrics:
        return ""
    dataset = {
        "name": came.corpus,
        "type": "text",
        "split": "last tenth",
        "revision": came.corpus_fingerprint,
    }
    result = {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}
    return f"model-index: {json.dumps([{'name': name, 'results': [result]}])}\n"


def _rows(measured: Measured) -> Iterator[str]:
    ours = {"**this model**": measured.bits_per_byte, ALONE: measured.alone}
    reached = {title: figure for title, figure in ours.items() if figure is not None}
    for title, figure in sorted(({**measured.baselines, **reached}).items(), key=lambda row: -row[1]):
        yield f"| {title} | {figure:.3f} |\n"


def _remarks(kept: ModelFile, measured: Measured) -> Iterator[str]:
    if measured.bound is not None:
        yield f"It fills gaps in, too: {measured.bound}.\n"
    if kept.receipt is not None:
        before, after = kept.receipt.bits_per_byte
        yield (
            f"Keeping its weights as {kept.precision} made of {before:.4f} bits per byte {after:.4f}, "
            f"measured on {kept.receipt.held_out_bytes:,} bytes held out.\n"
        )


def _plain(words: str) -> str:
    """Return words as Markdown that says them and nothing else, in a row of a table."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>|" else one for one in words if one.isprintable())
