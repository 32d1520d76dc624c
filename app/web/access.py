"""What a caller may do, and the tokens that say so: one for each scope, in a file of its owner's alone."""

import json
import secrets
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType

from bitlm.errors import BitLMError
from bitlm.session.durability import write_durably

OWNER_ONLY = 0o600
OTHERS = 0o077
"""The bits of a file's mode that let anyone but its owner at it."""
TOKEN_BYTES = 32
SHORTEST_TOKEN = 32
"""Characters of a token that somebody wrote into the file."""


class Scope(IntEnum):
    """What a request needs, and what a token grants; each holds those below it."""

    PUBLIC = 0
    READ = 1
    TUNE = 2
    DESTRUCTIVE = 3

    @property
    def label(self) -> str:
        """Its name as people read and write it."""
        return self.name.lower()


GRANTED = (Scope.READ, Scope.TUNE, Scope.DESTRUCTIVE)
"""The scopes that have a token."""

Tokens = Mapping[Scope, str]


class TokensError(BitLMError):
    """The file of tokens is not as the service wrote it."""


def make_tokens(path: Path) -> Tokens | None:
    """Make a file of new tokens and return them, or None where there is one already."""
    if path.exists():
        return None
    tokens = {scope: secrets.token_urlsafe(TOKEN_BYTES) for scope in GRANTED}
    text = json.dumps({scope.label: token for scope, token in tokens.items()}, indent=2) + "\n"
    write_durably(path, text.encode(), mode=OWNER_ONLY)
    return MappingProxyType(tokens)


def read_tokens(path: Path) -> Tokens:
    """Return the tokens of a file.

    Raises:
        TokensError: Others may read the file too, or a token is missing, short, or of two scopes.
    """
    if path.stat().st_mode & OTHERS:
        raise TokensError(f"{path} may be read by others; make it yours alone: chmod 600 {path}")
    try:
        found = json.loads(path.read_bytes())
        tokens = {scope: str(found[scope.label]) for scope in GRANTED}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "does not hold a token for each scope") from error
    if min(map(len, tokens.values())) < SHORTEST_TOKEN or len(set(tokens.values())) < len(tokens):
        raise _damaged(
            path, f"needs a token of its own for each scope, of {SHORTEST_TOKEN} characters or more"
        )
    return MappingProxyType(tokens)


def _damaged(path: Path, what: str) -> TokensError:
    return TokensError(f"{path} {what}; delete it, and the next start makes new ones.")
