"""A model that knows a little English without training: it believes the counts of some."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bitlm.data import Corpus
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel

MakeModel = Callable[..., BitTransformer]


@pytest.fixture(scope="session")
def make_model(corpus: Corpus) -> MakeModel:
    """Makes a tiny model that mixes in the counts of twenty kilobytes of text, and believes them."""
    reference = ReferenceModel.fit(corpus.data)

    def make(seed: int = 0, **settings: Any) -> BitTransformer:
        shape: dict[str, Any] = {
            "d_model": 8, "nhead": 1, "num_layers": 1, "dim_feedforward": 8, "max_seq_len": 512,
            "mixing": "reference", "mixing_order": 4,
        }  # fmt: skip
        model = BitTransformer(ModelConfig(**(shape | settings)), seed=seed)
        model.reference = reference
        if model.mixer is not None:
            with torch.no_grad():
                model.mixer.project_out.bias[:-1] = torch.tensor([1.0, 0.4, 0.4, 0.4, 0.4])
        return model

    return make


@pytest.fixture(scope="session")
def model(make_model: MakeModel) -> BitTransformer:
    return make_model()
