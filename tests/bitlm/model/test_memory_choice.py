from collections.abc import Callable
from itertools import count

import pytest
import torch
from torch import Tensor

from bitlm.model import BitTransformer, ModelConfig, choose_memory
from bitlm.model.layer_trial import LayerTrial, fastest_passes_s, kept_storages
from bitlm.model.memory_choice import ModeTrial, best_mode
from bitlm.model.reversible import MEMORY_MODES, run_layers


def ticking() -> Callable[[], float]:
    """A clock that is a second later each time it is asked."""
    ticks = count()
    return lambda: float(next(ticks))


def trials(**figures: tuple[int, float]) -> list[ModeTrial]:
    return [ModeTrial(memory, kept, seconds) for memory, (kept, seconds) in figures.items()]


TYPICAL = trials(store=(1000, 1.0), checkpoint=(100, 1.3), recompute=(10, 1.32))


@pytest.mark.parametrize(
    ("available", "chosen"), [(4000, "store"), (2000, "store"), (1998, "recompute"), (100, "recompute")]
)
def test_the_fastest_mode_that_fits_half_of_the_memory_is_chosen(available: int, chosen: str) -> None:
    memory, reason = best_mode(TYPICAL, available)
    assert memory == chosen
    assert "the fastest that fits 50%" in reason


def test_of_modes_within_five_percent_the_one_that_keeps_least_is_chosen() -> None:
    assert best_mode(trials(store=(1000, 1.0), recompute=(10, 1.05)), 10**6)[0] == "recompute"
    assert best_mode(trials(store=(1000, 1.0), recompute=(10, 1.06)), 10**6)[0] == "store"
    assert best_mode(trials(checkpoint=(100, 1.0), recompute=(10, 1.2)), 10**6)[0] == "checkpoint"


def test_if_nothing_fits_the_least_is_chosen_and_the_reason_says_so() -> None:
    memory, reason = best_mode(TYPICAL, 19)
    assert memory == "recompute"
    assert reason.startswith("no mode fits 50% of the 1.9e-05 MB available")
    assert reason.endswith("store 1e+03 ms and 0.001 MB; checkpoint 1.3e+03 ms and 0.0001 MB; "
                           "recompute 1.32e+03 ms and 1e-05 MB")  # fmt: skip


@pytest.mark.parametrize("num_layers", [1, 2, 3, 7])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_bytes_reckoned_from_three_layers_are_those_the_whole_depth_keeps(
    num_layers: int, dropout: float
) -> None:
    config = ModelConfig(
        d_model=16, nhead=2, num_layers=num_layers, dim_feedforward=32, max_seq_len=256, dropout=dropout
    )
    model = BitTransformer(config)
    choice = choose_memory(model, 3, available_bytes=10**9, budget_s=1e6)
    layers = model.trunk.reversible_layers(32, 1 if dropout else None)
    for trial in choice.trials:
        inputs = [torch.zeros(3, 32, 16, requires_grad=True) for _ in range(2)]
        with kept_storages(model) as storages:
            outputs = run_layers(layers, tuple(inputs), trial.memory)
        assert outputs[0].requires_grad
        assert trial.kept_bytes == sum(storages.values())


def test_the_choice_holds_every_modes_figures_and_leaves_the_model_as_it_was() -> None:
    config = ModelConfig(
        d_model=16, nhead=2, num_layers=24, dim_feedforward=32, max_seq_len=128, memory="auto"
    )
    model = BitTransformer(config)
    weights = [parameter.clone() for parameter in model.parameters()]
    choice = choose_memory(model, 2, available_bytes=10**9, clock=ticking())
    assert tuple(trial.memory for trial in choice.trials) == MEMORY_MODES
    assert choice.memory in MEMORY_MODES
    assert choice.available_bytes == 10**9
    # a pass takes one tick, at one of the two rows and three of the 24 layers
    assert [trial.pass_s for trial in choice.trials] == pytest.approx([16, 16, 16])
    assert choice.memory == "recompute"
    assert model.trunk.memory == "store"
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(*pair) for pair in zip(weights, model.parameters(), strict=True))


def test_a_trial_asks_the_system_for_its_memory_unless_told() -> None:
    model = BitTransformer(ModelConfig(d_model=8, nhead=1, num_layers=1, dim_feedforward=8, max_seq_len=64))
    assert choose_memory(model, 1, budget_s=0.0).available_bytes > 0


def test_contenders_take_turns_and_each_ones_fastest_pass_counts() -> None:
    now, order = [0.0], []

    def contender(name: str, durations: list[float]) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            now[0] += durations.pop(0)

        return run

    contenders = {"a": contender("a", [3.0, 1.0, 2.0]), "b": contender("b", [5.0, 6.0, 4.0])}
    assert fastest_passes_s(contenders, budget_s=20.0, clock=lambda: now[0]) == {"a": 1.0, "b": 4.0}
    assert order == ["a", "b"] * 3


def test_a_pass_moves_gradients_to_inputs_and_frozen_weights_are_left_out() -> None:
    model = BitTransformer(ModelConfig(d_model=8, nhead=1, num_layers=1, dim_feedforward=8, max_seq_len=64))
    model.trunk.requires_grad_(requires_grad=False)
    trial = LayerTrial(model.trunk.reversible_layers(8, None), 1, 8, 8)
    for memory in MEMORY_MODES:
        trial.pass_through(memory)
    frozen: list[Tensor | None] = [parameter.grad for parameter in model.parameters()]
    assert frozen == [None] * len(frozen)
