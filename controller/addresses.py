"""Addresses and file names of the controller's configuration: what they may be, and what they must not hold."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from policies.model import refused

_URL_ALLOWED = "an address such as http://prometheus.monitoring:9090, without user, query or fragment"
_LISTEN_ALLOWED = "host:port or :port, such as 0.0.0.0:8080"


def _url(text: str) -> str:
    try:
        parts, port = split(text)
    except ValueError:
        raise refused(_URL_ALLOWED, "no address") from None
    if "@" in parts.netloc:
        # The text may hold a password: it is not shown.
        raise refused(f"{_URL_ALLOWED}; credentials belong into bearerTokenFile or basicAuthFile", "a user in it")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise refused(_URL_ALLOWED)
    if parts.query or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise refused(_URL_ALLOWED, "an address with more than a path")
    return text.rstrip("/")


def split(text: str) -> tuple[SplitResult, int | None]:
    """The parts of an address and its port. Raises ValueError where no connection could ever be made to it."""
    parts = urlsplit(text)
    (parts.hostname or "").encode("idna")
    return parts, parts.port


def _listen(text: str) -> str:
    host, separator, port = text.rpartition(":")
    good = separator and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535
    if not good or any(char.isspace() or not char.isprintable() for char in host):
        raise refused(_LISTEN_ALLOWED)
    return text


def _file_name(text: str) -> str:
    if not text or not text.isprintable():
        raise refused("the path of a file")
    return text


FileName = Annotated[str, AfterValidator(_file_name)]
Url = Annotated[str, AfterValidator(_url)]
Listen = Annotated[str, AfterValidator(_listen)]
