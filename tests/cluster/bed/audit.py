"""What a user really asked of the API server, from the server's own audit log.

The product and people are logged, the bed's own identities are not. Bodies are kept for writes only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.cluster.bed.api import Object

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request. `at` is the time of its receipt as RFC 3339; `body` is None for reads."""

    at: str
    user: str
    verb: str
    namespace: str
    resource: str
    name: str
    manager: str
    status: int
    body: Object | None

    @property
    def is_write(self) -> bool:
        """Whether the request asked for a change."""
        return self.verb in WRITES


def read_requests(log: Path, *, user: str, namespace: str | None = None, since: int = 0) -> list[Request]:
    """The user's requests in the order of their answers; those to one namespace when it is named.

    since: how many bytes of the log are older than anything that is looked for.
    """
    found = []
    # The log is everybody's: what cannot be meant is not decoded.
    marks = [f'"username":"{user}"', *([f'"namespace":"{namespace}"'] if namespace is not None else [])]
    with log.open("rb") as file:
        file.seek(since)
        # The server may be in the middle of a line; its newline comes last.
        whole = file.read().rpartition(b"\n")[0]
    for line in whole.decode(errors="replace").split("\n"):
        if not all(mark in line for mark in marks):
            continue
        entry = json.loads(line)
        target = entry.get("objectRef", {})
        if entry.get("user", {}).get("username") == user and namespace in {None, target.get("namespace")}:
            found.append(_request(entry, target))
    return found


def _request(entry: Object, target: Object) -> Request:
    resource = "/".join(part for part in (target.get("resource", ""), target.get("subresource", "")) if part)
    return Request(
        at=entry["requestReceivedTimestamp"],
        user=entry["user"]["username"],
        verb=entry["verb"],
        namespace=target.get("namespace", ""),
        resource=resource,
        name=target.get("name", ""),
        manager=parse_qs(urlsplit(entry["requestURI"]).query).get("fieldManager", [""])[0],
        status=int(entry.get("responseStatus", {}).get("code", 0)),
        body=entry.get("requestObject"),
    )
