"""`python -m app`: check what was set, and serve."""

import logging
import os
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from app.server import Server
from app.settings import Settings, settings_file


def check_free(host: str, port: int) -> None:
    """Find out now whether the port can be had, rather than after seconds of trying.

    Raises:
        OSError: It cannot.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def check_makeable(folder: Path) -> None:
    """Find out now whether the data folder can be written in, or made; the store makes it, durably.

    Raises:
        OSError: It cannot; names the folder at which that ends.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with TemporaryDirectory(prefix=".bitlm-", dir=there):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(there)) from error


def _refuse(*sentences: str) -> NoReturn:
    for sentence in sentences:
        sys.stderr.write(f"error: {sentence}\n")
    sys.exit(2)


def _settings() -> Settings:
    """Return the settings, or end with a sentence for each that is wrong."""
    if not settings_file().is_file():
        _refuse(
            f"BITLM_CONFIG={str(settings_file())!r}: there is no such file; name a TOML file of settings."
        )
    try:
        return Settings()
    except ValidationError as error:
        from bitlm.complaints import fix_of  # noqa: PLC0415 - importing any of bitlm imports torch

        _refuse(*(_complaint(one, fix_of(one, Settings)) for one in error.errors(include_url=False)))
    except SettingsError as error:  # of what is to be JSON and is not
        _refuse(f"{error}; it is a JSON list, such as '[\"localhost:8080\"]' or '[\"texts\"]'.")


def _complaint(complaint: ErrorDetails, fix: str) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f"_{part.upper()}" for part in complaint["loc"])
    name = "BITLM" + "".join(parts)
    if not complaint["loc"]:
        return fix
    is_shown = Settings.model_fields[str(complaint["loc"][0])].repr  # what may hold a secret is not
    return f"{name}={complaint['input']!r}: {fix}" if is_shown else f"{name}: {fix}"


def main() -> None:
    """Serve until told to stop; a wrong setting is one sentence and exit code 2."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would starve the web; before torch
    settings = _settings()
    try:
        if not settings.viewer:
            check_makeable(settings.data_dir)
    except OSError as error:
        _refuse(
            f"{settings.data_dir} cannot hold runs: {error.filename}: {error.strerror}; "
            "choose another folder with BITLM_DATA_DIR."
        )
    try:
        check_free(settings.host, settings.port)
    except OSError as error:
        _refuse(
            f"{settings.authority}: {error.strerror}; end what uses it, or choose another with BITLM_PORT."
        )
    logging.captureWarnings(capture=True)
    Server(settings).run()


if __name__ == "__main__":
    main()
