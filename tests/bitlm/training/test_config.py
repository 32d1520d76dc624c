from typing import Any

import pytest

from bitlm.errors import ConfigError
from bitlm.training import TrainingConfig


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("batch_size", True),
        ("batch_size", 2.0),
        ("learning_rate", "3e-4"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -0.1),
        ("gradient_clip", float("inf")),
        ("ponder_cost", -0.1),
        ("ponder_budget", 1.5),
        ("ponder_start", 2.5),
        ("warmup_steps", -1),
        ("validation_interval", 0),
        ("diagnostics_interval", 0),
        ("telemetry_budget", 0.0),
        ("telemetry_budget", 1.1),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_fix(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(**{field: value})
    assert caught.value.field == field
    assert repr(value) in str(caught.value)
    assert "use a" in str(caught.value)


def test_ponder_cost_is_charged_once_the_layers_have_had_time_to_learn() -> None:
    config = TrainingConfig(ponder_cost=0.5, ponder_start=3)
    assert [config.ponder_cost_after(steps) for steps in (0, 2, 3, 4)] == [0.0, 0.0, 0.5, 0.5]
