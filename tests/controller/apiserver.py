"""A small API server in memory: objects as dicts, resourceVersions, merge patches refused with 409. For faces only:
what the real one does is shown on the real one."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controller.simulation.objects import merged

Object = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name
_KINDS = {
    "releases": "Release",
    "releasepolicies": "ReleasePolicy",
    "deployments": "Deployment",
    "pods": "Pod",
    "baselines": "Baseline",
    "releasetrains": "ReleaseTrain",
}


class ApiServer:
    """Serves `objects`. `asked` is every (method, path), `writes` every (method, plural, body) that was accepted.

    `before_patch(key)` is called before a patch is judged, as somebody who writes in between. `forbid` names plurals
    that may not be written. `down` answers 503 to everything.
    """

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.asked: list[tuple[str, str]] = []
        self.writes: list[tuple[str, str, Object]] = []
        self.before_patch: Callable[[Key], None] = lambda key: None
        self.on_read: Callable[[Key], None] = lambda key: None
        self.forbid: set[str] = set()
        self.down = False
        self._version = 100
        self._lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece

            def do_GET(self) -> None:
                outer._answer(self, "GET")

            def do_POST(self) -> None:
                outer._answer(self, "POST")

            def do_PATCH(self) -> None:
                outer._answer(self, "PATCH")

            def do_DELETE(self) -> None:
                outer._answer(self, "DELETE")

            def log_message(self, *_: object) -> None:
                """Not in the output of a test."""

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def stop(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def kubeconfig(self, path: Path, *, namespace: str = "shop", user: str = "alice") -> Path:
        """A kubeconfig file of this server."""
        context = {"cluster": "test", "user": user, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": user, "user": {"token": "canary-token"}}],
            "contexts": [{"name": "test", "context": context}],
        }
        path.write_text(json.dumps(config))
        return path

    def put(self, plural: str, name: str, obj: Object, *, namespace: str = "shop") -> Object:
        """Stores an object as somebody else would."""
        with self._lock:
            self._version += 1
            metadata = {
                "uid": f"uid-{name}",
                "creationTimestamp": f"2026-03-01T00:{self._version // 60 % 60:02d}:{self._version % 60:02d}Z",
                "generation": 1,
                **obj.get("metadata", {}),
                "name": name,
                "namespace": namespace,
                "resourceVersion": str(self._version),
            }
            stored = {"apiVersion": "v1", "kind": _KINDS[plural], **obj, "metadata": metadata}
            self.objects[plural, namespace, name] = stored
            return stored

    def change(self, key: Key, patch: Object) -> None:
        """A merge patch by somebody else."""
        with self._lock:
            self._version += 1
            found = merged(self.objects[key], patch)
            found["metadata"]["resourceVersion"] = str(self._version)
            self.objects[key] = found

    # ------------------------------------------------------------------------------------------------ the wire

    def _answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path = urlsplit(handler.path).path
        self.asked.append((method, path))
        code, found = self._judge(method, path, json.loads(body) if body else {})
        data = json.dumps(found).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _judge(self, method: str, path: str, body: Object) -> tuple[int, Object]:
        if self.down:
            return _fault(503, "ServiceUnavailable", "the server is asleep")
        parts = path.strip("/").split("/")
        rest = parts[3:] if parts[0] == "apis" else parts[2:]
        namespace = rest[1] if rest[0] == "namespaces" else ""
        plural, *name = rest[2:] if namespace else rest
        if method != "GET" and plural in self.forbid:
            message = f'{plural} is forbidden: User "alice" cannot write resource "{plural}" in namespace "{namespace}"'
            return _fault(403, "Forbidden", message)
        if method == "GET" and not name:
            return self._list(plural, namespace)
        if method == "POST":
            return self._create(plural, namespace, body)
        key = (plural, namespace, name[0])
        if method == "GET":
            self.on_read(key)
        else:
            self.before_patch(key)
        with self._lock:
            found = self.objects.get(key)
            if found is None:
                return _fault(404, "NotFound", f'{plural} "{name[0]}" not found', name=name[0], kind=plural)
            if method == "GET":
                return 200, found
            if method == "DELETE":
                asked = body.get("preconditions", {}) if isinstance(body, dict) else {}
                if any(found["metadata"].get(one) != value for one, value in asked.items()):
                    return _fault(409, "Conflict", "the object has been modified")
                return 200, self.objects.pop(key)
            if body["metadata"].get("resourceVersion") not in (None, found["metadata"]["resourceVersion"]):
                return _fault(409, "Conflict", "the object has been modified")
            self.writes.append((method, plural, body))
            theirs = {part: said for part, said in body["metadata"].items() if part in ("labels", "annotations")}
            self.change(key, {**body, "metadata": theirs})
            return 200, self.objects[key]

    def _list(self, plural: str, namespace: str) -> tuple[int, Object]:
        with self._lock:
            items = [
                copy.deepcopy(obj)
                for (kind, space, _), obj in self.objects.items()
                if kind == plural and namespace in ("", space)
            ]
            return 200, {
                "apiVersion": "v1",
                "kind": f"{_KINDS[plural]}List",
                "metadata": {"resourceVersion": str(self._version)},
                "items": items,
            }

    def _create(self, plural: str, namespace: str, body: Object) -> tuple[int, Object]:
        with self._lock:
            name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{self._version:05d}"
            if (plural, namespace, name) in self.objects:
                return _fault(409, "AlreadyExists", f'{plural} "{name}" already exists', name=name, kind=plural)
            self.writes.append(("POST", plural, body))
            return 201, self.put(plural, name, body, namespace=namespace)


def _fault(code: int, reason: str, message: str, **details: str) -> tuple[int, Object]:
    status = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return code, {**status, "details": details} if details else status
