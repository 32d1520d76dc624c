import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.__main__ import _settings
from app.settings import Settings
from tests.conftest import ROOT


def test_the_service_listens_on_loopback_unless_told_otherwise() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 5000)
    assert settings.url == "http://127.0.0.1:5000"


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITLM_PORT", "6001")
    monkeypatch.setenv("BITLM_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert (settings.port, settings.data_dir) == (6001, tmp_path)


def test_what_is_passed_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITLM_PORT", "6001")
    assert Settings(port=6002).port == 6002


def test_only_who_watches_is_told_whether_to_steer() -> None:
    assert Settings(viewer=True, steer=True).steer
    with pytest.raises(
        ValidationError, match="BITLM_STEER=true is for who only watches: use it with BITLM_V"
    ):
        Settings(steer=True)


def test_a_name_that_is_no_address_of_this_machine_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValidationError, match="use an address of this machine, such as"):
        Settings(host="example.org")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "2001:db8::7"])  # noqa: S104 - not listened on
def test_whoever_listens_for_other_machines_asks_for_a_token_whatever_the_settings_say(host: str) -> None:
    assert Settings(host=host, require_token=False).needs_token


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_a_loopback_address_a_token_is_asked_for_where_it_is_wanted(host: str) -> None:
    assert not Settings(host=host).needs_token
    assert Settings(host=host, require_token=True).needs_token


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - not listened on
def test_of_every_address_the_page_is_called_by_a_name_of_its_own(host: str) -> None:
    assert Settings(host=host).url == "http://127.0.0.1:5000"
    named = Settings(host=host, allowed_hosts=("lab.example:443",))
    assert named.url == "https://lab.example"
    assert {"https://lab.example", "http://localhost:5000"} <= named.origins
    assert not any("0.0.0.0" in name or "[::]" in name for name in named.hosts)  # noqa: S104 - the same


def test_a_proxy_that_speaks_https_lets_others_in_so_a_token_is_asked_for() -> None:
    assert Settings(allowed_hosts=("lab.example:443",)).needs_token
    assert not Settings(allowed_hosts=("lab.example:8080",)).needs_token


def test_where_others_can_ask_they_may_name_no_text_but_below_the_roots() -> None:
    roots = (Path("texts"),)
    assert Settings().readable_roots is None
    assert Settings(host="0.0.0.0").readable_roots == ()  # noqa: S104 - not listened on
    assert Settings(corpus_roots=roots).readable_roots == roots


def test_a_port_that_a_browser_leaves_out_is_no_part_of_an_origin() -> None:
    hosts = ("lab.example:80", "lab.example:443", "lab.example:8080")
    expected = {"http://lab.example", "https://lab.example", "http://lab.example:8080"}
    assert expected <= Settings(allowed_hosts=hosts).origins


def test_an_ipv6_address_is_bracketed_where_a_port_follows() -> None:
    assert Settings(host="::1", port=6003).url == "http://[::1]:6003"


def test_sockets_and_the_model_may_not_take_every_thread() -> None:
    with pytest.raises(
        ValidationError,
        match=r"BITLM_THREADS=16 is too few for BITLM_MAX_SOCKETS=16 and BITLM_MAX_WAITING=2: "
        r".* use BITLM_THREADS=22 or more",
    ):
        Settings(threads=16, max_sockets=16, max_waiting=2)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=5000)  # type: ignore[call-arg] # the mistake a user makes


def test_a_forwarded_name_needs_its_port() -> None:
    assert "lab.example:8080" in Settings(allowed_hosts=("lab.example:8080",)).hosts
    with pytest.raises(ValidationError, match="allowed_hosts"):
        Settings(allowed_hosts=("lab.example",))


def test_torch_leaves_a_core_to_the_web() -> None:
    assert Settings().computing_threads >= 1
    assert Settings(torch_threads=3).computing_threads == 3


def test_every_setting_is_documented() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "operations.md").read_text()
    missing = [name for name in Settings.model_fields if f"| `BITLM_{name.upper()}` |" not in text]
    assert missing == []


def test_another_file_of_settings_can_be_chosen_and_has_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    file = ROOT / "config" / "production.toml"
    monkeypatch.setenv("BITLM_CONFIG", str(file))
    settings = Settings()
    assert (settings.require_token, settings.readable_roots) == (True, ())
    named = set(re.findall(r"^(?:# )?(\w+) = ", file.read_text(), re.MULTILINE))
    assert named == Settings.model_fields.keys()
    monkeypatch.setenv("BITLM_PORT", "6001")
    assert Settings().port == 6001


def test_a_file_of_settings_that_is_not_there_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BITLM_CONFIG", "none.toml")
    with pytest.raises(SystemExit, match="2"):
        _settings()
    assert capsys.readouterr().err == (
        "error: BITLM_CONFIG='none.toml': there is no such file; name a TOML file of settings.\n"
    )


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "config/bitlm.service"])
def test_what_a_deployment_sets_is_there_to_be_set(name: str) -> None:
    text = (ROOT / name).read_text()
    known = {f"BITLM_{field.upper()}" for field in Settings.model_fields} | {"BITLM_CONFIG"}
    assert set(re.findall(r"BITLM_[A-Z_]+", text)) <= known
    assert all((ROOT / file).is_file() for file in re.findall(r"BITLM_CONFIG[=:] *(\S+)", text))
