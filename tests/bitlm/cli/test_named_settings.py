from typing import Any

import pytest

from bitlm.cli.named_settings import with_named
from bitlm.cli.options import parsed
from bitlm.errors import ConfigError
from bitlm.session import preset
from tests.bitlm.cli.program import commands

NOTHING: dict[str, Any] = {"diffusion": False, "qat": False, "reversible": False, "checkpoint": None}


@pytest.mark.parametrize(
    ("option", "value", "name", "expected"),
    [
        ("diffusion", True, "objective", "mixed"),  # with a causal share of 0
        ("qat", True, "qat", True),
        ("reversible", True, "memory", "recompute"),
        ("checkpoint", True, "memory", "checkpoint"),
        ("checkpoint", False, "memory", "store"),
    ],
)
def test_an_option_is_the_setting_that_its_help_names(
    option: str, *, value: bool, name: str, expected: object
) -> None:
    settings = with_named(["batch_size=2"], **NOTHING | {option: value})
    model, training = preset("tiny", **parsed(settings))
    assert (vars(model) | vars(training))[name] == expected
    assert training.batch_size == 2
    train = dict(commands())["train"]
    (told,) = (one for one in train.params if one.name == option)
    assert settings[-1] in (getattr(told, "help", None) or "")


def test_a_setting_is_said_once() -> None:
    with pytest.raises(ConfigError, match="memory is given already"):
        with_named(["memory=store"], **NOTHING | {"reversible": True})
    with pytest.raises(ConfigError, match="memory is given already"):
        with_named(None, **NOTHING | {"reversible": True, "checkpoint": True})
    assert with_named(None, **NOTHING) == []


def test_the_help_of_every_command_has_an_example_of_it() -> None:
    lacking = [name for name, command in commands() if f"python -m bitlm {name}" not in (command.help or "")]
    assert lacking == []
