"""How torchrun tells a process which of how many it is."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from bitlm.errors import ConfigError


@dataclass(frozen=True)
class Launch:
    """One of the processes that a torchrun started, or a process that nobody but a user did.

    Attributes:
        rank: From 0.
        size: How many processes there are, on all machines.
        on_this_machine: How many of them share this machine's cores.
        restarts: How often torchrun has started all of them again, since one died.
        key: The same for every start of one torchrun on this machine, and no other's; None without one.
    """

    rank: int = 0
    size: int = 1
    on_this_machine: int = 1
    restarts: int = 0
    key: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Launch":
        """Return what the environment of a process says of it.

        Raises:
            ConfigError: The variables of torchrun are there, and one is no number.
        """
        if "TORCHELASTIC_RUN_ID" not in environment:
            return cls()
        return cls(
            rank=_number(environment, "RANK"),
            size=_number(environment, "WORLD_SIZE"),
            on_this_machine=_number(environment, "LOCAL_WORLD_SIZE"),
            restarts=_number(environment, "TORCHELASTIC_RESTART_COUNT"),
            key=f"{environment['TORCHELASTIC_RUN_ID']}/{socket.gethostname()}/{os.getppid()}",
        )


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isdigit():
        raise ConfigError(
            name, value, "it is set by torchrun; start with torchrun, or without its variables."
        )
    return int(value)
