"""The far side of huggingface_hub: as much of a hub as it asks when a model is sent there and fetched."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "hf_writes"  # noqa: S105 - of the fake


class FakeHub(ThreadingHTTPServer):
    """Repositories by name, and what they hold by revision and path; large files by their SHA-256.

    Attributes:
        private: Names of the repositories that only the token's owner sees.
        room: Bytes of the largest file that it takes.
        tokens: What came as Authorization, in order.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.large: dict[str, bytes] = {}
        self.private: set[str] = set()
        self.room = 2**30
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def elsewhere(self) -> str:
        """The same server under another name, as large files come from another."""
        return f"http://localhost:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._is_stranger():
            return
        asked = self.path.partition("?")[0]
        if asked == "/api/repos/create":
            self._create(json.loads(body))
        elif asked == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif asked.endswith("/info/lfs/objects/batch"):
            self._say(
                {"transfer": "basic", "objects": [self._place(one) for one in json.loads(body)["objects"]]}
            )
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(branch|preupload|commit)/([^/]+)", asked):
            name, what, revision = found.groups()
            getattr(self, f"_{what}")(name, revision, body)
        else:
            self._refuse(404)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.rpartition("/")[2]
        if sha256(content).hexdigest() != name:
            self._refuse(400)
            return
        self.server.large[name] = content
        self._say({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/large/"):
            self._send(200, self.server.large[self.path.rpartition("/")[2]])
            return
        found = re.fullmatch(
            r"(?:/api/models)?/([^/]+/[^/]+)(?:/(?:revision|resolve)/([^/]+)(?:/(.+))?)?", self.path
        )
        assert found, self.path
        name, revision, path = found.groups()
        is_hidden = name in self.server.private and self.headers["Authorization"] != f"Bearer {TOKEN}"
        branches = None if is_hidden else self.server.repositories.get(name)
        if branches is None:
            self._refuse(401, "RepoNotFound")
            return
        commits = {_commit_of(files): files for files in branches.values()}
        files = (branches | commits).get(revision or "main")
        if files is None:
            self._refuse(404, "RevisionNotFound")
        elif path is None:
            self._say({"id": name, "sha": _commit_of(files)})
        elif path not in files:
            self._refuse(404, "EntryNotFound", _commit_of(files))
        else:
            self._resolve(files, path)

    def _resolve(self, files: dict[str, bytes], path: str) -> None:
        content, named = files[path], {"X-Repo-Commit": _commit_of(files)}
        large = sha256(content).hexdigest()
        if large not in self.server.large:
            self._send(200, content, **named, ETag=f'"{sha1(content).hexdigest()}"')  # noqa: S324 - as Git has it
            return
        linked = {"X-Linked-ETag": f'"{large}"', "X-Linked-Size": str(len(content))}
        self._send(302, b"", **named, **linked, Location=f"{self.server.elsewhere}/large/{large}")

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        is_new = name not in self.server.repositories
        self.server.repositories.setdefault(name, {"main": {}})
        if asked.get("visibility") == "private":
            self.server.private.add(name)
        self._say({"url": f"{self.server.url}/{name}"}, 200 if is_new else 409)

    def _branch(self, name: str, revision: str, _body: bytes) -> None:
        is_new = revision not in self.server.repositories[name]
        self.server.repositories[name].setdefault(revision, {})
        self._say({}, 200 if is_new else 409)

    def _preupload(self, _name: str, _revision: str, body: bytes) -> None:
        paths = [file["path"] for file in json.loads(body)["files"]]
        modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in paths}
        files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        self._say({"files": files})

    def _place(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["size"] > self.server.room:
            return {
                "oid": asked["oid"],
                "size": asked["size"],
                "error": {"code": 507, "message": "no room left"},
            }
        upload = {"href": f"{self.server.url}/large/{asked['oid']}", "header": {}}
        return {"oid": asked["oid"], "size": asked["size"], "actions": {"upload": upload}}

    def _commit(self, name: str, revision: str, body: bytes) -> None:
        files = self.server.repositories[name][revision]
        for entry in map(json.loads, body.splitlines()):
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        made = _commit_of(files)
        self._say({"commitUrl": f"{self.server.url}/{name}/commit/{made}", "commitOid": made})

    def _is_stranger(self) -> bool:
        self.server.tokens.append(self.headers["Authorization"])
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            return False
        self._refuse(401)
        return True

    def _refuse(self, status: int, code: str = "", commit: str = "") -> None:
        self._send(status, b'{"error": "no"}', **{"X-Error-Code": code, "X-Repo-Commit": commit})

    def _say(self, answer: dict[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), **{"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _commit_of(files: dict[str, bytes]) -> str:
    held = {name: sha256(content).hexdigest() for name, content in files.items()}
    return sha1(json.dumps(held).encode()).hexdigest()  # noqa: S324 - as Git has it


@contextmanager
def serving() -> Iterator[FakeHub]:
    """Serve a hub with nothing in it."""
    with FakeHub() as hub:
        thread = Thread(target=hub.serve_forever)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()
