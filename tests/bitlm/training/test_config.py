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
        ("warmup_steps", -1),
        ("validation_interval", 0),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_fix(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(**{field: value})
    assert caught.value.field == field
    assert repr(value) in str(caught.value)
    assert "use a" in str(caught.value)
