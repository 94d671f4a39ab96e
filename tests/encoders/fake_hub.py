"""A model hub on loopback: the two requests that huggingface_hub makes, and ways to misbehave."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep

_PIECE = 4096
REVISION = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """What the hub holds and how it behaves.

    `large` files are promised with a SHA-256, others with git's hash. `served` replaces what is
    sent for a file, `cut` sends only so many bytes of it, once; beyond `stall` bytes of a file
    nothing comes while it is set; `pause` are the seconds between small pieces. `status` answers
    everything with that code, `page` with an HTML page. `requests` lists (method, path, range
    header).
    """

    files: dict[str, dict[str, bytes]]
    large: tuple[str, ...] = ("open_clip_model.safetensors",)
    served: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    stall: int | None = None
    pause: float = 0.0
    status: int | None = None
    page: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""

    def describe(self, repository: str) -> dict[str, object]:
        """The answer to /api/models/<repository>."""
        siblings = []
        for name, data in self.files[repository].items():
            entry = {"rfilename": name, "size": len(data), "blobId": git_hash(data)}
            if name in self.large:
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {
            "id": repository,
            "modelId": repository,
            "sha": REVISION,
            "siblings": siblings,
            "cardData": {"license": "mit"},
            "tags": [],
            "downloads": 0,
            "private": False,
        }


def git_hash(data: bytes) -> str:
    """What git calls a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` on a free loopback port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            hub.requests.append((self.command, self.path, self.headers.get("Range")))
            if hub.status is not None:
                self._send(hub.status, b"", {}, with_body)
            elif hub.page:
                self._send(200, b"<html>Welcome to our hotel</html>", {}, with_body)
            elif self.path.startswith("/api/models/"):
                self._describe(with_body)
            elif self.path.startswith("/api/"):
                self._send(404, b"", {}, with_body)
            else:
                self._file(with_body)

        def _describe(self, with_body: bool) -> None:
            repository = "/".join(self.path.partition("?")[0].split("/")[3:5])
            if repository not in hub.files:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
                return
            body = json.dumps(hub.describe(repository)).encode()
            self._send(200, body, {"Content-Type": "application/json"}, with_body)

        def _file(self, with_body: bool) -> None:
            owner, name, resolve, revision, file = self.path.strip("/").split("/", 4)
            assert (resolve, revision) == ("resolve", REVISION), "not the pinned revision"
            promised = hub.files[f"{owner}/{name}"][file]
            data = hub.served.get(file, promised)
            headers = {"X-Repo-Commit": REVISION, "ETag": f'"{git_hash(promised)}"'}
            if file in hub.large:
                headers["X-Linked-ETag"] = f'"{hashlib.sha256(promised).hexdigest()}"'
                headers["X-Linked-Size"] = str(len(promised))
            start = 0
            status = 200
            if self.headers.get("Range"):
                start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                status = 206
            cut = hub.cut.pop(file, None) if with_body else None
            self._send(status, data[start:], headers, with_body, cut, start)

        def _send(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str],
            with_body: bool,
            cut: int | None = None,
            begins_at: int = 0,
        ) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self._trickle(body if cut is None else body[:cut], begins_at)
                self.close_connection = cut is not None or self.close_connection

        def _trickle(self, body: bytes, begins_at: int) -> None:
            for start in range(0, len(body), _PIECE):
                while hub.stall is not None and begins_at + start >= hub.stall:
                    sleep(0.01)
                with suppress(OSError):  # whoever asked has gone
                    self.wfile.write(body[start : start + _PIECE])
                    self.wfile.flush()
                sleep(hub.pause)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
