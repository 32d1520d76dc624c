"""What the source never does: read pickles, run text as code, call a shell, or fetch from elsewhere."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PICKLING = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve", "yaml"}
REACHING_OUT = {
    *("aiohttp", "asyncio", "ftplib", "http.client", "http.server", "httpx", "huggingface_hub", "requests"),
    *("multiprocessing", "smtplib", "socket", "subprocess", "telnetlib", "torch.hub", "urllib.request"),
}
ALLOWED = {
    "app/__main__.py": {"socket"},  # asks whether its port is free
    "app/connections.py": {"socket"},  # bounds what comes and goes on those that clients open
    "app/mcp/service.py": {"urllib.request"},  # asks the service that the operator names
    "app/web/sockets.py": {"socket"},  # hangs up on them
    "app/service/own_process.py": {"subprocess"},  # starts python -m bitlm, without a shell
    "app/service/webhook.py": {"http.client", "urllib.request"},  # posts to the operator's own address
    "bitlm/cli/doctor.py": {"socket"},  # asks whether the service's port is free
    "bitlm/distributed/launch.py": {"socket"},  # asks what this machine is called
    "bitlm/hub.py": {"huggingface_hub"},  # sends models to the hub that is named, and fetches them
    "bitlm/cli/serve.py": {"os.execve"},  # becomes python -m app
}
RUNNING = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "importlib.import_module"}
UNPICKLING = {"torch.load", "torch.save", "np.load", "numpy.load", "pandas.read_pickle"}

SOURCES = sorted(path for package in ("app", "bitlm") for path in (ROOT / package).rglob("*.py"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def forbidden(source: str, allowed: set[str]) -> list[str]:
    """Return what a source does of all this, as it is written there."""
    tree = ast.parse(source)
    modules = PICKLING | REACHING_OUT - allowed
    found = [name for name in imported(tree) if any(f"{name}.".startswith(f"{one}.") for one in modules)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        has_shell = any(keyword.arg in {"shell", "allow_pickle"} for keyword in call.keywords)
        runs = name.startswith(("os.exec", "os.spawn")) and name not in allowed
        if name in RUNNING | UNPICKLING or runs or has_shell:
            found.append(ast.unparse(call))
    return found


@pytest.mark.parametrize("package", ["app", "bitlm"])
def test_no_source_unpickles_evaluates_calls_a_shell_or_fetches(package: str) -> None:
    sources = [path for path in SOURCES if path.is_relative_to(ROOT / package)]
    assert len(sources) > 10
    found = {
        name: forbidden(path.read_text(), ALLOWED.get(name, set()))
        for path in sources
        for name in [path.relative_to(ROOT).as_posix()]
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "from http import client",
        "import http.client as c",
        "eval('1')",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
    ],
)
def test_each_of_these_would_be_noticed(source: str) -> None:
    assert forbidden(source, set()) != []


@pytest.mark.parametrize("path", ALLOWED)
def test_what_is_allowed_is_still_needed(path: str) -> None:
    assert forbidden(Path(ROOT / path).read_text(), set()) != []
