"""What went wrong with a call made by requests, in our own words: shared by the adapters that make such calls."""

from __future__ import annotations

import requests
import urllib3

from controller import wire


def reason(error: Exception) -> str:
    """What went wrong; the words of the libraries are not passed on, because they may quote a header."""
    match error:
        case wire.TooLarge():
            return str(error)
        case requests.Timeout() | urllib3.exceptions.TimeoutError() | TimeoutError():
            return "timed out"
        case requests.exceptions.SSLError():
            return "the TLS certificate is not accepted"
        case requests.ConnectionError():
            return "timed out" if "timed out" in str(error) else "no connection"
        case urllib3.exceptions.DecodeError():
            return "the body is not what its Content-Encoding says"
        case urllib3.exceptions.ProtocolError() | OSError():
            return "the connection broke"
    return type(error).__name__
