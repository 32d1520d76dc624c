from typing import Any

import pytest

from bitlm.growth import training_memory
from bitlm.training.optimizer import split_parameters
from tests.bitlm.growth.test_carrying import FEATURES, trained
from tests.bitlm.growth.test_growing import gradient_of

HEADS = {"nhead": 3, "head_width": 6}


@pytest.mark.parametrize("features", [{}, {"patch_bits": 1, "parity": True} | HEADS, FEATURES])
def test_training_holds_what_was_reckoned_and_a_count_for_each_tensor(features: dict[str, Any]) -> None:
    trainer = trained(1, **features)
    reckoned, parameters = training_memory(trainer.model.config), list(trainer.model.parameters())
    assert reckoned.parameters == sum(one.untyped_storage().nbytes() for one in parameters)
    assert reckoned.gradients == sum(gradient_of(one).untyped_storage().nbytes() for one in parameters)
    held = sum(one.untyped_storage().nbytes() for one in trainer.optimizer.tensors().values())
    counts = 4 * len(split_parameters(trainer.model)[1])
    assert reckoned.optimizer + counts == held
    assert reckoned.total == reckoned.parameters + reckoned.gradients + reckoned.optimizer
