"""Plain values read into types that are known before the first value comes, however many threads begin to read.

msgspec (0.22) learns a dataclass in steps when it first meets it, and a second thread that meets it in between reads
what is not there yet: the process ends by a segmentation fault. Whoever makes a reader does so while its module is
imported, which one thread does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def reader(kind: type[T], *, strict: bool = True) -> Callable[[Any], T]:
    """What turns a plain value into this type. It raises msgspec.ValidationError.

    strict: numbers as text, and text of numbers, are refused.
    """
    msgspec.json.Decoder(kind)  # learns the type and all that it holds

    def read(value: Any) -> T:
        return msgspec.convert(value, kind, strict=strict)

    return read
