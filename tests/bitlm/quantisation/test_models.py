import pytest
import torch

from bitlm import quantize_dynamic
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.quantisation import bits_of, is_quantised, rounded, with_weights

CONFIG = ModelConfig(
    d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256, mixing="reference", use_act=True,
    ngram_order=2, ngram_slots=64, recall=True, objective="mixed",
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> BitTransformer:
    return BitTransformer(CONFIG, seed=1)


def test_matrices_and_tables_are_rounded_and_what_is_small_stays(model: BitTransformer) -> None:
    before, after = model.state_dict(), with_weights(model, "int4").state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        name for name in before if is_quantised(name, before[name])
    }
    kept = sum(weight.numel() for name, weight in before.items() if not is_quantised(name, weight))
    assert {name.split(".")[0] for name in before if not is_quantised(name, before[name])} == {
        "embedding", "head", "mixer", "trunk",
    }  # fmt: skip
    assert kept < 0.15 * model.parameter_count
    name = "trunk.blocks.1.feedforward.project_out.weight"
    assert torch.equal(after[name], rounded(before[name], 4))


def test_a_model_of_fewer_bits_keeps_all_else(model: BitTransformer) -> None:
    model.trunk.memory = "recompute"
    other = with_weights(model.eval(), "int8")
    assert (other.config, other.reference, other.trunk.memory, other.training) == (
        model.config, model.reference, "recompute", False,
    )  # fmt: skip
    same = with_weights(model, "float32").state_dict()
    assert all(torch.equal(weight, same[name]) for name, weight in model.state_dict().items())


def test_torchs_name_gives_int8(model: BitTransformer) -> None:
    expected = with_weights(model, "int8").state_dict()
    assert all(torch.equal(w, expected[name]) for name, w in quantize_dynamic(model).state_dict().items())


def test_another_precision_is_an_error() -> None:
    with pytest.raises(ConfigError, match="weights='int3': use one of float32, int8, int4"):
        bits_of("int3")
