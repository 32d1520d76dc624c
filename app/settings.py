"""Settings of the service: a TOML file, overridden by `BITLM_*` environment variables."""

import os
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PACKAGE = Path(__file__).parent
HOME = PACKAGE if (PACKAGE / "config").is_dir() else PACKAGE.parent
"""The folder that holds `config`, `static` and `templates`: the package once it is installed (setup.py), and
the one around it in a checkout."""
SETTINGS_FILE = HOME / "config" / "app.toml"
LOCALHOST = "localhost"
TOKENS_FILE = "tokens.json"
HTTP_RESERVE = 4
"""Threads that sockets and the model must leave free, so that a page can load however many use them."""

CHANNEL = "bitlm"
RedisAddress = Annotated[
    str,
    Field(
        pattern=r"^(rediss?://(\S*@)?(\[[\da-fA-F:]+\]|[\w.-]+)(:\d{1,5})?(/\d+)?|unix:///[^\s?]+)$",
        examples=["redis://localhost:6379"],
    ),
]
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]+", examples=["https://example.org/hook"])]
HostAndPort = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-\[\]:]+:\d{1,5}$", examples=["localhost:8080"])]


class Settings(BaseSettings):
    """What the operator decides; docs/operations.md says the same at length.

    Attributes:
        host: Address to listen on; other than a loopback address it takes a token to come in.
        port: TCP port to listen on.
        data_dir: Folder of runs, metrics and checkpoints; made when missing.
        threads: Threads that serve HTTP; each open page keeps one for its socket.
        max_sockets: Pages that may watch at once.
        max_waiting: Requests that may wait for the model at once.
        requests_per_s: Requests a second that one address may make in the long run.
        torch_threads: Threads that torch computes with; None for one fewer than there are cores.
        allowed_hosts: Further `name:port` pairs the service may be called by, for forwarded ports.
        corpus_roots: Folders below which a request may name texts; None for anywhere, unless others can ask.
        viewer: Whether it only watches what another process, on the same data folder, trains.
        steer: Whether who watches may steer a training that no service owns.
        redis_url: Where an owner says, and who watches hears, how things are; None for nowhere.
        redis_channel: What that is said on; each data folder takes its own.
        require_token: Whether it takes a token on a loopback address, too.
        max_body_bytes: Largest request body in bytes.
        client_timeout_s: Longest time a client may take for a request, or not read its answer, in seconds.
        update_interval_s: Shortest time between two updates over the socket, in seconds.
        shutdown_grace_s: Longest wait for open requests and the last checkpoint when stopping, in seconds.
        checkpoint_interval_s: Longest time between two checkpoints while training, in seconds.
        checkpoints_kept: Newest checkpoints of a run that stay, beside the best, the first and the named.
        disk_warn_bytes: Free bytes on the disk below which the page warns.
        disk_pause_bytes: Free bytes on the disk below which training pauses until there is room.
        alert_webhook: Address that every alert is posted to; None for nowhere.
        log_level: Least severity that is logged.
    """

    model_config = SettingsConfigDict(env_prefix="BITLM_", frozen=True, extra="forbid", validate_default=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 5000
    data_dir: Path = Path(".bitlm")
    threads: Annotated[int, Field(ge=1, le=256)] = 48
    max_sockets: Annotated[int, Field(ge=1, le=250)] = 8
    max_waiting: Annotated[int, Field(ge=1, le=250)] = 32
    requests_per_s: Annotated[float, Field(ge=50, le=1_000_000, allow_inf_nan=False)] = 200
    torch_threads: Annotated[int, Field(ge=1, le=256)] | None = None
    allowed_hosts: tuple[HostAndPort, ...] = ()
    corpus_roots: tuple[Path, ...] | None = None
    viewer: bool = False
    steer: bool = False
    redis_url: Annotated[RedisAddress | None, Field(repr=False)] = None  # it may hold a password
    redis_channel: Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$", examples=[CHANNEL])] = CHANNEL
    require_token: bool = False
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**30)] = 16 * 2**20
    client_timeout_s: Annotated[float, Field(ge=1, le=300, allow_inf_nan=False)] = 10
    update_interval_s: Annotated[float, Field(ge=0.25, le=60, allow_inf_nan=False)] = 0.25
    shutdown_grace_s: Annotated[int, Field(ge=1, le=3600)] = 60
    checkpoint_interval_s: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = 120
    checkpoints_kept: Annotated[int, Field(ge=1, le=1000)] = 3
    disk_warn_bytes: Annotated[int, Field(ge=0)] = 2**30
    disk_pause_bytes: Annotated[int, Field(ge=0)] = 2**27
    alert_webhook: Annotated[WebAddress | None, Field(repr=False)] = None  # it may hold a secret
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("host")
    @classmethod
    def _an_address(cls, host: str) -> str:
        if host != LOCALHOST and _address(host) is None:
            raise ValueError(
                "use an address of this machine, such as 127.0.0.1. Other names that it is called by go "
                "into BITLM_ALLOWED_HOSTS"
            )
        return host

    @model_validator(mode="after")
    def _warn_before_pausing(self) -> Self:
        if self.disk_warn_bytes < self.disk_pause_bytes:
            raise ValueError(
                f"BITLM_DISK_WARN_BYTES={self.disk_warn_bytes} is below "
                f"BITLM_DISK_PAUSE_BYTES={self.disk_pause_bytes}: "
                "the warning would come too late; make it at least as large"
            )
        return self

    @model_validator(mode="after")
    def _steers_what_it_watches(self) -> Self:
        if self.steer and not self.viewer:
            raise ValueError(
                "BITLM_STEER=true is for who only watches: use it with BITLM_VIEWER=true, or leave it out, "
                "for a service steers its own runs anyway"
            )
        return self

    @model_validator(mode="after")
    def _threads_are_left(self) -> Self:
        needed = self.max_sockets + self.max_waiting + HTTP_RESERVE
        if self.threads < needed:
            raise ValueError(
                f"BITLM_THREADS={self.threads} is too few for BITLM_MAX_SOCKETS={self.max_sockets} and "
                f"BITLM_MAX_WAITING={self.max_waiting}: each of these keeps one, and {HTTP_RESERVE} must "
                f"stay free; use BITLM_THREADS={needed} or more"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls by this name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, and that over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())

    @property
    def is_open_to_others(self) -> bool:
        """Whether other machines can reach it, by its address or by a proxy that speaks https for it."""
        address = _address(self.host)
        is_bound_to_others = address is not None and not address.is_loopback
        return is_bound_to_others or any(origin.startswith("https:") for origin in self.origins)

    @property
    def readable_roots(self) -> tuple[Path, ...] | None:
        """The folders below which a request may name texts; None for anywhere."""
        return () if self.corpus_roots is None and self.is_open_to_others else self.corpus_roots

    @property
    def needs_token(self) -> bool:
        """Whether it takes a token to come in."""
        return self.require_token or self.is_open_to_others

    @property
    def tokens_file(self) -> Path:
        """Where the tokens are kept."""
        return self.data_dir / TOKENS_FILE

    @property
    def cookie_name(self) -> str:
        """What the cookie for a token is called: by the port, which browsers do not tell cookies apart by."""
        return f"bitlm-{self.port}"

    @property
    def url(self) -> str:
        """Where the page is; of every address of the machine, where it is called by the first name it has."""
        if not self._is_everywhere:
            return f"http://{self.authority}"
        return origin_of(self.allowed_hosts[0] if self.allowed_hosts else f"127.0.0.1:{self.port}")

    @property
    def authority(self) -> str:
        """The address and port, as a Host header spells them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """Every Host header the service answers to."""
        names = {f"{name}:{self.port}" for name in ("127.0.0.1", LOCALHOST, "[::1]")}
        bound = set() if self._is_everywhere else {self.authority}
        return frozenset({*names, *bound, *self.allowed_hosts})

    @property
    def origins(self) -> frozenset[str]:
        """The Origin of the page by each of these names."""
        return frozenset(map(origin_of, self.hosts))

    @property
    def _is_everywhere(self) -> bool:
        address = _address(self.host)
        return address is not None and address.is_unspecified

    @property
    def computing_threads(self) -> int:
        """Threads that torch computes with: the last core is left to the web."""
        return self.torch_threads or max(1, _cores() - 1)


def settings_file() -> Path:
    """Return the file of settings that is in force, whether or not it is there."""
    return Path(os.environ.get("BITLM_CONFIG", SETTINGS_FILE))


def origin_of(host: str) -> str:
    """Return the origin of a page by its `name:port`; port 443 is that of a proxy which speaks https."""
    name, _, port = host.rpartition(":")
    return {"80": f"http://{name}", "443": f"https://{name}"}.get(port, f"http://{host}")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
