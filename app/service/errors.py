"""What can be wrong with a request though its fields are right.

BitLMError
├── StateConflictError     not in this state
│   └── NoRunError         there is no run yet
├── FileCodingError        a file cannot be coded, or not be given back
├── KeyReusedError         an idempotency key came with another request before
├── MemoryShortError       a model does not fit into the memory that is free
├── AbandonedError         whoever asked waits no more
├── NotReadyError          no requests can be taken now
├── BusyError              too many requests wait already
├── WatchingOnlyError      this service only watches
└── ServiceStoppingError   the service is shutting down
"""

from bitlm.errors import BitLMError


class StateConflictError(BitLMError):
    """The service is in a state in which it cannot do this."""


class NoRunError(StateConflictError):
    """There is no live model yet."""

    def __init__(self) -> None:
        super().__init__("there is no model yet; make one with POST /init, then repeat this request.")


class FileCodingError(BitLMError):
    """A file cannot be made small, or not be given back."""


class KeyReusedError(BitLMError):
    """An idempotency key came with another request before."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the Idempotency-Key {key!r} came with a different request before; "
            "choose a new key for a new request."
        )


class MemoryShortError(BitLMError):
    """A model does not fit into the memory that is free."""

    def __init__(self, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"training this model takes {needed_bytes:,} bytes of memory or more; {free_bytes:,} are free: "
            "choose a smaller size, fewer or narrower layers, or end other programs."
        )


class AbandonedError(BitLMError):
    """Whoever asked waits no more, so what was asked for is left undone."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before the answer was there; ask again.")


class NotReadyError(BitLMError):
    """The service is there, but cannot do its work now."""


class BusyError(BitLMError):
    """Too many wait already."""

    def __init__(self, waiting: int, what: str) -> None:
        super().__init__(f"{waiting} {what} already; try again in a moment.")


class WatchingOnlyError(BitLMError):
    """This service only watches, and another one or the command line does what is asked."""

    def __init__(self, owner_url: str | None) -> None:
        owner = f"the one at {owner_url}" if owner_url else "the service, or the command, that owns the run"
        super().__init__(f"this dashboard only watches; ask {owner}.")


class ServiceStoppingError(BitLMError):
    """The service is shutting down and takes no more requests."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down; repeat the request once it runs again.")
