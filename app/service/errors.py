"""What can be wrong with a request though its fields are right.

BitLMError
├── StateConflictError     not in this state
│   └── NoRunError         there is no run yet
└── ServiceStoppingError   the service is shutting down
"""

from bitlm.errors import BitLMError


class StateConflictError(BitLMError):
    """The service is in a state in which it cannot do this."""


class NoRunError(StateConflictError):
    """There is no live model yet."""

    def __init__(self) -> None:
        super().__init__("there is no model yet; make one with POST /init, then repeat this request.")


class ServiceStoppingError(BitLMError):
    """The service is shutting down and takes no more requests."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down; repeat the request once it runs again.")
