"""The libraries benchmarks compare with: installed from benchmarks/requirements.txt, imported when needed."""

from importlib import import_module
from types import ModuleType


class PeerMissingError(ImportError):
    """A library to compare with is not installed; says how to install it."""


def peer(name: str) -> ModuleType:
    """Return the module `name`; its names are untyped, so type checks pass where it is not installed.

    Raises:
        PeerMissingError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PeerMissingError(
            f"{name} cannot be imported ({error}); "
            ".venv/bin/python -m pip install -r benchmarks/requirements.txt installs what is compared with."
        ) from error
