"""A hub of model files over real HTTP on loopback: lists repositories and serves files, also from an offset."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer(ThreadingHTTPServer):
    """A server of repositories.

    Attributes:
        repositories: the folder of each repository, by its name.
        ranges: the Range headers of requests, by file.
        sha256_lies: whether it lists other checksums than the files have.
        extra_name: the name of a file that it lists, too.
    """

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.ranges: dict[str, list[str]] = {}
        self.sha256_lies = False
        self.extra_name = ""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub_server(repositories: dict[str, Path]) -> Iterator[HubServer]:
    server = HubServer(repositories)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        for name, folder in self.server.repositories.items():
            if path.startswith(f"/api/models/{name}"):
                return self._list(name, folder, path)
            if path.startswith(f"/{name}/resolve/"):
                return self._send_file(folder, path.removeprefix(f"/{name}/resolve/").partition("/")[2])
        return self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _list(self, name: str, folder: Path, path: str) -> None:
        if "/revision/" in path and not path.endswith("/revision/main"):
            return self._send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        files = [self._entry(folder, file) for file in sorted(folder.rglob("*")) if file.is_file()]
        if self.server.extra_name:
            files.append({"rfilename": self.server.extra_name, "size": 1, "blobId": "0"})
        return self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode())

    def _entry(self, folder: Path, file: Path) -> dict[str, object]:
        data = file.read_bytes()
        entry: dict[str, object] = {"rfilename": file.relative_to(folder).as_posix(), "size": len(data)}
        entry["blobId"] = hashlib.sha1(data).hexdigest()
        if file.suffix == ".safetensors":
            sha256 = "0" * 64 if self.server.sha256_lies else hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"size": len(data), "sha256": sha256, "pointerSize": 134}
        return entry

    def _send_file(self, folder: Path, path: str) -> None:
        wanted = self.headers.get("Range", "")
        self.server.ranges.setdefault(path, []).append(wanted)
        data = (folder / path).read_bytes()
        begin = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        headers = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if wanted else {}
        self._send(206 if wanted else 200, data[begin:], headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
