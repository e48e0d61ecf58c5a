"""Instants as text: UTC, as the API server writes them; a time that no calendar has becomes the nearest one."""

from __future__ import annotations

from datetime import UTC, datetime

LAST_TIME = 253402300799.0  # the end of the year 9999
LAST_YEAR = 253370764800.0  # its beginning: in every zone there is a whole year left to name a time in


def rfc3339(at: float) -> str:
    """To the second."""
    return _moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(at: float) -> str:
    """To the millisecond."""
    return _moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), LAST_TIME), UTC)
