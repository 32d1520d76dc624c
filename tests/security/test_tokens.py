"""The file of tokens: made once, for its owner alone, and refused as soon as it is not so."""

import json
from pathlib import Path

import pytest

from app.web.access import GRANTED, Scope, TokensError, make_tokens, read_tokens
from app.web.lock import Lock


def test_tokens_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "data" / "tokens.json"
    made = make_tokens(path)
    assert made is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(set(made.values())) == 3
    assert min(map(len, made.values())) >= 43, "256 bits in base64"
    assert make_tokens(path) is None
    assert read_tokens(path) == made


def test_a_file_that_others_may_read_is_refused_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    make_tokens(path)
    path.chmod(0o640)
    with pytest.raises(TokensError, match=r"may be read by others; .*chmod 600"):
        read_tokens(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        json.dumps({"read": "r" * 32, "tune": "t" * 32}),
        json.dumps({"read": "r" * 32, "tune": "t" * 32, "destructive": "short"}),
        json.dumps(dict.fromkeys(("read", "tune", "destructive"), "same" * 10)),
    ],
)
def test_a_damaged_file_is_refused_with_the_fix(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(TokensError, match=r"delete it, and the next start makes new ones"):
        read_tokens(path)


def test_a_token_that_is_replaced_takes_its_cookies_with_it_and_leaves_the_others() -> None:
    old = {scope: f"old {scope.label}" for scope in GRANTED}
    new = old | {Scope.TUNE: "new tune"}
    locks = [Lock(tokens, cookie_name="bitlm") for tokens in (old, new)]
    for scope in GRANTED:
        shown = locks[0].cookie(old[scope], is_encrypted=False).partition(";")[0]
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/status", "HTTP_COOKIE": shown}
        kept = Scope.PUBLIC if scope is Scope.TUNE else scope
        assert [lock.caller(environ).scope for lock in locks] == [scope, kept]
