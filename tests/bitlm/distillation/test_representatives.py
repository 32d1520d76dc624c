import pytest
import torch

from bitlm.data import even_windows
from bitlm.distillation import TelemetrySynthesizer
from bitlm.errors import ConfigError, CorpusError
from bitlm.model import BitTransformer, ModelConfig

LETTERS, DIGITS, NOISE = (
    b"the cat sat on the mat, and the dog on the log; " * 20,
    b"3.14159 2.71828 1.41421 1.73205 0.57721 1.61803 " * 10,
    bytes(torch.randint(256, (480,), generator=torch.Generator().manual_seed(0)).tolist()),
)


@pytest.fixture(scope="module")
def model() -> BitTransformer:
    config = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=16, max_seq_len=256)
    model = BitTransformer(config, seed=1).eval()
    for name, weight in model.named_parameters():
        if "norm" not in name:
            weight.data *= 5  # an untrained model hardly tells one text from another
    return model


def test_each_kind_of_text_has_a_representative_and_its_share(model: BitTransformer) -> None:
    text = LETTERS + DIGITS + NOISE
    found = TelemetrySynthesizer(model).cluster(text, k=3)
    rows = {
        bytes(window.tolist()): float(share)
        for window, share in zip(found.windows, found.shares, strict=True)
    }
    for kind in (LETTERS, DIGITS, NOISE):
        share = sum(share for window, share in rows.items() if window in kind)
        assert share == pytest.approx(len(kind) / len(text), abs=0.06)
    assert float(found.shares.sum()) == pytest.approx(1)


def test_the_seed_decides_where_the_search_begins(model: BitTransformer) -> None:
    first, same, other = (
        TelemetrySynthesizer(model, seed=seed).cluster(LETTERS[:48], k=4).windows for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_activations_and_attention_weigh_alike(model: BitTransformer) -> None:
    numbers = TelemetrySynthesizer(model).summaries(even_windows(LETTERS + NOISE, 32, 6))
    channels, heads = numbers[:, : model.config.d_model], numbers[:, model.config.d_model :]
    assert heads.shape[1] == model.config.num_layers * model.config.nhead
    for part in (channels, heads):
        assert float(part.square().sum(1).mean()) == pytest.approx(1, abs=1e-3)


def test_a_text_all_of_one_kind_still_has_as_many(model: BitTransformer) -> None:
    found = TelemetrySynthesizer(model).cluster(b"a" * 40, k=3)
    assert found.windows.shape == (3, 32)
    assert float(found.shares.sum()) == pytest.approx(1)


def test_more_than_there_are_is_refused(model: BitTransformer) -> None:
    with pytest.raises(ConfigError, match="from 1 to 2, the windows that there are"):
        TelemetrySynthesizer(model).cluster(b"a" * 33, k=3)
    with pytest.raises(CorpusError, match="one window needs 32"):
        TelemetrySynthesizer(model).cluster(b"a" * 31)
