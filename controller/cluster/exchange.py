"""One call to the API server, and the object in its answer."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.cluster.connection import Connection
from controller.cluster.failures import unavailable
from controller.cluster.writes import Call
from controller.requests.failure import Failure

Object = dict[str, Any]


def sent(connection: Connection, call: Call, deadline: float) -> bytes | Failure:
    """What the server answers to a call, within so many seconds."""
    return connection.request(
        call.method,
        call.path,
        query=call.query,
        body=call.body,
        content_type=call.content_type,
        deadline=deadline,
    )


def object_in(data: bytes, what: str, name: str | None = None) -> Object | Failure:
    """The object in a successful answer; a Failure for anything else that came with a success status."""
    try:
        found = msgspec.json.decode(data, type=Object)
    except (msgspec.DecodeError, RecursionError) as error:
        return unavailable(f"{what}: the answer is not an object: {error}").failure
    metadata = found.get("metadata")
    if not isinstance(metadata, dict) or not found.get("kind"):
        return unavailable(f"{what}: the answer is not an object of the API server").failure
    if name is not None and (metadata.get("name") != name or not metadata.get("resourceVersion")):
        return unavailable(f"{what}: the answer is about something else").failure
    return found
