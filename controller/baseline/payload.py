"""The payload of a baseline: all numbers in one text, and back into a value only where each of them makes sense."""

from __future__ import annotations

import base64
import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
import numpy as np

from analysis.band import LearnedBand
from analysis.learned import LearnedCounts, LearnedLatency, LearnedLevels, NotLearned, Variation
from controller.baseline.value import Baseline, Excluded, Present
from controller.typed import reader

_PLAIN = 48 * 1024  # characters up to which the payload stays readable JSON
_MOST_INFLATED = 4 * 1024 * 1024  # bytes; a payload that grows beyond it was not written by us


class Distrusted(Exception):
    """Something in an object is not as we write it."""


def write_payload(baseline: Baseline) -> tuple[str, str]:
    """Text and its encoding: JSON as it is, or deflated where that is too long."""
    data = {
        "version": baseline.version,
        "digest": baseline.digest,
        "learnedAt": baseline.learned_at,
        "window": baseline.window,
        "start": baseline.start,
        "end": baseline.end,
        "coverage": baseline.coverage,
        "excluded": [[one.start, one.end, one.because] for one in baseline.excluded],
        "gates": {name: packed(one) for name, one in baseline.gates.items()},
        "bands": {name: packed(one) for name, one in baseline.bands.items()},
        "present": None if baseline.present is None else msgspec.to_builtins(baseline.present),
    }
    text = msgspec.json.encode(_rounded(data)).decode()
    if len(text) <= _PLAIN:
        return text, "json"
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode(), "json+gzip+base64"


def packed(one: Any) -> dict[str, Any]:
    """A learned value as builtins, with the name of its type: a union cannot be told from its fields alone."""
    return {"is": _NAMES[type(one)], **msgspec.to_builtins(one, enc_hook=_plain)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a baseline")


def _rounded(value: Any) -> Any:
    """Numbers to six significant digits, times of day to a millisecond; JSON knows no infinity, so it gets a name."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            if math.isinf(value):
                return {"float": "inf" if value > 0 else "-inf"}
            if math.isnan(value):
                return {"float": "nan"}
            return round(value, 3) if abs(value) >= 1e5 else float(f"{value:.6g}")
        case Mapping():
            return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value]


def read_payload(payload: str, encoding: Any) -> Baseline:
    """The baseline in a payload. Raises Distrusted, or what decoding raises, for anything that we did not write."""
    return _decoded(_text(payload, encoding))


def _text(payload: str, encoding: Any) -> bytes:
    if encoding == "json":
        return payload.encode()
    if encoding != "json+gzip+base64":
        raise Distrusted(f"the payload is encoded as {encoding!r:.40}")
    inflate = zlib.decompressobj(wbits=31)
    try:
        text = inflate.decompress(base64.b64decode(payload, validate=True), _MOST_INFLATED)
    except zlib.error:
        raise Distrusted("the payload cannot be inflated") from None
    if not inflate.eof or inflate.unused_data:
        raise Distrusted("the payload is cut off, too long, or followed by something else")
    return text


def _decoded(text: bytes) -> Baseline:
    data = _named(msgspec.json.decode(text, type=dict[str, Any]))
    numbers = [float(data[key]) for key in ("learnedAt", "window", "start", "end", "coverage")]
    if not all(map(math.isfinite, numbers)):
        raise Distrusted("a time or the coverage is not finite")
    learned_at, window, start, end, coverage = numbers
    if window <= 0.0 or end < start or not 0.0 <= coverage <= 1.0:
        raise Distrusted("window, span or coverage is out of range")
    present = data["present"]
    return Baseline(
        version=data["version"],
        digest=data["digest"],
        learned_at=learned_at,
        window=window,
        start=start,
        end=end,
        coverage=coverage,
        excluded=tuple(Excluded(*one) for one in _excluded(data["excluded"])),
        gates={name: _unpacked(one, _READ_GATES) for name, one in data["gates"].items()},
        bands={name: _unpacked(one, _READ_BANDS) for name, one in data["bands"].items()},
        present=None if present is None else _present(present),
    )


def _named(value: Any) -> Any:
    """Infinities under their name back as numbers."""
    if isinstance(value, dict):
        return float(value["float"]) if value.keys() == {"float"} else {k: _named(one) for k, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value


def _unpacked(packed: dict[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> Any:
    content = dict(packed)
    kind = content.pop("is")
    if kind not in readers:
        raise Distrusted(f"something learned is called {kind!r:.40}")
    found = readers[kind](content)
    if fault := _nonsense(found):
        raise Distrusted(f"{kind}: {fault}")
    return found


_GATES: Mapping[str, type[Any]] = {
    "counts": LearnedCounts,
    "latency": LearnedLatency,
    "levels": LearnedLevels,
    "nothing": NotLearned,
}
_BANDS: Mapping[str, type[Any]] = {"band": LearnedBand, "nothing": NotLearned}
_READ_GATES = {name: reader(kind) for name, kind in _GATES.items()}
_READ_BANDS = {name: reader(kind) for name, kind in _BANDS.items()}
_excluded, _present = reader(list[tuple[float, float, str]]), reader(Present)
_NAMES: Mapping[type[Any], str] = {kind: name for name, kind in (*_GATES.items(), *_BANDS.items())}


def _nonsense(one: Any) -> str:
    """Why something learned cannot be what any learner found, or ""."""
    for name, value in _numbers(one):
        if math.isnan(value) or (math.isinf(value) and name not in _ENDLESS):
            return f"{name} is {value}"
        if (name in _POSITIVE and value <= 0.0) or (name in _NOT_NEGATIVE and value < 0.0):
            return f"{name} is {value:g}"
        if name == "extra" and value <= -1.0:
            return f"{name} is {value:g}"  # newborn pods may have fewer events than old ones, but never less than none
        if name in _SHARES and not 0.0 <= value <= 1.0:
            return f"{name} is {value:g}"
    lengths = [(len(part.times), len(part.variances)) for part in _parts(one) if isinstance(part, Variation)]
    if any(times != variances for times, variances in lengths):
        return "times and variances differ in length"
    return ""


_ENDLESS = frozenset({"times", "freedom"})
_POSITIVE = frozenset({"spread", "prior_sd", "temper", "seconds", "margin_ratio", "times", "freedom"})
_NOT_NEGATIVE = frozenset({"variances", "variance", "rate", "within", "segments", "replays"})
_SHARES = frozenset({"rho", "alpha", "share", "realised"})


def _parts(one: Any) -> Iterator[Any]:
    """A dataclass and every dataclass in it."""
    if isinstance(one, tuple):
        for item in one:
            yield from _parts(item)
    elif is_dataclass(one):
        yield one
        for part in fields(one):
            yield from _parts(getattr(one, part.name))


def _numbers(one: Any) -> Iterator[tuple[str, float]]:
    """Every number in a dataclass, with the name of its field."""

    def flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
        elif isinstance(value, tuple):
            for item in value:
                yield from flat(name, item)

    for part in _parts(one):
        for each in fields(part):
            yield from flat(each.name, getattr(part, each.name))
