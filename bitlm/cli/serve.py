"""`bitlm serve`: the page and the REST interface, in a process that begins without torch."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

SERVICE = Path(__file__).parents[2]
"""The folder that `app` is in, beside `bitlm`, in a checkout and once it is installed."""


def serve(
    host: Annotated[
        str | None, typer.Option(envvar="BITLM_HOST", help="Address to listen on (default: 127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None, typer.Option(envvar="BITLM_PORT", min=1, max=65535, help="TCP port (default: 5000).")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(envvar="BITLM_DATA_DIR", help="Folder of the runs (default: .bitlm).")
    ] = None,
    viewer: Annotated[
        bool, typer.Option("--viewer", help="Only watch what another process trains in that folder.")
    ] = False,
    steer: Annotated[
        bool, typer.Option("--steer", help="With --viewer: let who watches steer a `train` in a terminal.")
    ] = False,
) -> None:
    """Start the page and the REST interface; Ctrl-C ends them with a last checkpoint.

    Whatever else it can be told is an environment variable: docs/operations.md lists them.

    Examples:
      python -m bitlm serve

      python -m bitlm serve --port 5001 --data-dir runs

      python -m bitlm serve --port 5002 --viewer

      python -m bitlm serve --port 5003 --viewer --steer
    """
    given = {"BITLM_HOST": host, "BITLM_PORT": port, "BITLM_DATA_DIR": data_dir}
    flags = {"BITLM_VIEWER": viewer, "BITLM_STEER": steer}
    become("app", given | {name: "true" if is_given else None for name, is_given in flags.items()})


def become(module: str, given: Mapping[str, object]) -> NoReturn:
    """Put `python -m module` of the service in the place of this process.

    Args:
        module: `app`, or one in it.
        given: Environment variables by name; those that are None stay as they are.
    """
    told = {name: str(value) for name, value in given.items() if value is not None}
    paths = [str(SERVICE), *filter(None, [os.environ.get("PYTHONPATH")])]
    # -P: a folder `app` of whoever calls, where they call from, is not ours.
    os.execve(  # noqa: S606 - our own service, which takes the place of this process
        sys.executable,
        [sys.executable, "-P", "-m", module],
        os.environ | told | {"PYTHONPATH": os.pathsep.join(paths)},
    )
