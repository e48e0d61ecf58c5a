"""Raw HTTP access to the API server, without the client library that the product uses.

The bed must not share a fault with the product, so it speaks JSON over urllib3 itself.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

Object = dict[str, Any]


class ApiError(Exception):
    """The API server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: ADDED, MODIFIED, DELETED, BOOKMARK."""

    kind: str
    object: Object

    @property
    def revision(self) -> int:
        """The resourceVersion, which etcd orders over all kinds of objects."""
        return int(self.object["metadata"]["resourceVersion"])


class Api:
    """One identity's access to the API server. Safe to share between threads."""

    def __init__(self, url: str, *, ca: str, token: str, connections: int = 16) -> None:
        self.url = url
        self.ca = ca
        self.token = token
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=False,
            ca_certs=ca,
            retries=False,
            headers={"Authorization": f"Bearer {token}", "User-Agent": "nightferry-test-bed"},
        )

    def close(self) -> None:
        """Closes all idle connections."""
        self._pool.clear()

    def read(self, path: str, **query: str) -> Object:
        """GET of an object or a list. Raises ApiError."""
        return self.send("GET", path, query=query)

    def exists(self, path: str) -> bool:
        """Whether a GET of the path finds an object."""
        try:
            self.read(path)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def create(self, path: str, body: Object) -> Object:
        """POST of a new object into a collection."""
        return self.send("POST", path, body=body)

    def patch(self, path: str, body: Any, *, content_type: str = MERGE, **query: str) -> Object:
        """PATCH with a body of the given type."""
        return self.send("PATCH", path, body=body, content_type=content_type, query=query)

    def delete(self, path: str, *, grace: int | None = None, missing_ok: bool = False) -> None:
        """DELETE, with a grace period in seconds when one is given."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self.send("DELETE", path, body=options)
        except ApiError as error:
            if not (missing_ok and error.status == 404):
                raise

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Object:
        """One request, answered with decoded JSON ({} for an answer that is not JSON). Raises ApiError."""
        answer = self._pool.request(
            method,
            self._address(path, query),
            body=None if body is None else json.dumps(body).encode(),
            headers={**self._pool.headers, "Content-Type": content_type, "Accept": JSON},
            timeout=urllib3.Timeout(connect=30.0, read=timeout),
        )
        if answer.status >= 400:
            raise ApiError(answer.status, f"{method} {path}: {_message(answer.data)}")
        if not answer.headers.get("Content-Type", "").startswith(JSON):
            return {}
        decoded: Object = json.loads(answer.data)
        return decoded

    def watch(self, path: str, *, revision: str, seconds: int = 3600) -> Watch:
        """Opens a watch from a resourceVersion on; the answer is iterated for its events and closed by close()."""
        query = {
            "watch": "true",
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        answer = self._pool.request(
            "GET",
            self._address(path, query),
            headers={**self._pool.headers, "Accept": JSON},
            preload_content=False,
            timeout=urllib3.Timeout(connect=30.0, read=None),
        )
        if answer.status >= 400:
            raise ApiError(answer.status, f"watch {path}: {_message(answer.data)}")
        return Watch(answer)

    def _address(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")


class Watch:
    """An open watch. It ends when the server ends it, or raises ApiError for an ERROR event (410: too old)."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer
        self._closed = False

    def close(self) -> None:
        """Breaks the connection, which ends a blocked iteration in another thread; that thread frees the rest."""
        self._closed = True
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._answer.shutdown()

    def __iter__(self) -> Iterator[WatchEvent]:
        rest = b""
        try:
            while data := self._read():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line:
                        yield _event(json.loads(line))
        finally:
            self._answer.close()

    def _read(self) -> bytes:
        try:
            data = self._answer.read1(65536)
        except (urllib3.exceptions.HTTPError, OSError):
            if self._closed:
                return b""
            raise
        # Breaking a TLS connection takes the decryption away first: what comes after is no text.
        return b"" if self._closed else data


def _event(decoded: Object) -> WatchEvent:
    if decoded["type"] == "ERROR":
        raise ApiError(int(decoded["object"].get("code", 500)), str(decoded["object"].get("message", "watch failed")))
    return WatchEvent(decoded["type"], decoded["object"])


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))
    except (ValueError, AttributeError):
        return data[:300].decode(errors="replace")
