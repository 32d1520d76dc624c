from collections.abc import Callable

import pytest

from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig, choose_autocast, cpu_autocast

CONFIG = ModelConfig(d_model=8, nhead=1, num_layers=3, dim_feedforward=8, max_seq_len=64)


def alternating(fp32_s: float, bf16_s: float) -> Callable[[], float]:
    """A clock by which passes take these times in turn.

    It is read at the beginning, before and after each pass, and after each round.
    """
    now = [0.0]
    steps = iter([0.0] + [0.0, fp32_s, 0.0, bf16_s, 0.0] * 10)

    def read() -> float:
        now[0] += next(steps)
        return now[0]

    return read


@pytest.mark.parametrize(("bf16_s", "chosen"), [(0.5, "bf16"), (0.9, "bf16"), (0.95, "off"), (8.0, "off")])
def test_bf16_is_chosen_where_a_layer_takes_a_tenth_less_with_it(bf16_s: float, chosen: str) -> None:
    choice = choose_autocast(CONFIG, has_units=True, clock=alternating(1.0, bf16_s))
    assert choice.autocast == chosen
    assert choice.fp32_s == pytest.approx(1.0)
    assert choice.bf16_s == pytest.approx(bf16_s)
    assert "bf16 has to save 10%" in choice.reason


def test_without_units_for_it_there_is_no_trial() -> None:
    choice = choose_autocast(CONFIG, has_units=False)
    assert (choice.autocast, choice.fp32_s, choice.bf16_s) == ("off", None, None)
    assert choice.reason == "this processor has no units for bf16"


def test_the_context_says_what_is_in_force_and_ends_it() -> None:
    model = BitTransformer(CONFIG)
    with cpu_autocast(model, "bf16") as chosen:
        assert chosen == model.trunk.autocast == "bf16"
        with cpu_autocast(model, "off") as inner:
            assert inner == model.trunk.autocast == "off"
        assert model.trunk.autocast == "bf16"
    assert model.trunk.autocast == "off"
    with cpu_autocast(model) as chosen:
        assert chosen in ("off", "bf16")


def test_another_precision_is_refused_by_name() -> None:
    with (
        pytest.raises(ConfigError, match=r"autocast='fp16': use 'off' or 'bf16' or 'auto'"),
        cpu_autocast(BitTransformer(CONFIG), "fp16"),
    ):
        pass
