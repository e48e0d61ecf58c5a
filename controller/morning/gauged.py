"""What a gate said at a decision, out of the evidence in a record; whatever a hand has put there is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.figures import number, percent
from controller.morning.value import Gauged, Onset
from controller.release.instants import LAST_YEAR
from controller.release.record import GateVerdict


def gauged(verdict: GateVerdict) -> Gauged:
    """One verdict in numbers and words."""
    effect = _mapping(verdict.evidence.get("effect"))
    given = effect.get("interval")
    interval = given if isinstance(given, list | tuple) else ()
    ours, theirs = (_rate(each, verdict.evidence.get("measure")) for each in _two(effect.get("rates")))
    ours += _slower(verdict.evidence) if ours else ""
    return Gauged(
        gate=verdict.gate,
        verdict=verdict.verdict.value,
        because=verdict.because,
        required=verdict.required,
        ratio=_number(effect.get("ratio")),
        low=_number(interval[0]) if interval else None,
        high=_number(interval[1]) if len(interval) > 1 else None,
        contender=ours,
        incumbent=theirs,
        onset=onset_of(verdict.evidence),
    )


def onset_of(evidence: Mapping[str, Any]) -> Onset | None:
    """When the harm began and both sides since then; None in a record without it, and in one that was edited."""
    told = _mapping(evidence.get("onset"))
    at, (first, last) = _number(told.get("at")), _two(told.get("span"))
    rates, requests = told.get("rates"), told.get("requests")
    if at is None or first is None or last is None or None in _two(rates):
        return None
    if not 0.0 <= first <= at < last < LAST_YEAR:
        return None
    measure = evidence.get("measure")
    # Events in a second and pod have no number that they are out of.
    of = [f" of {number(n)}" if n is not None and measure is None else "" for n in _two(requests)]
    contender, incumbent = (_rate(rate, measure) + n for rate, n in zip(_two(rates), of, strict=True))
    return Onset(at, first, last, _number(told.get("ratio")), contender + _slower(evidence), incumbent)


def _slower(evidence: Mapping[str, Any]) -> str:
    """What a share of requests is of, where it is of slow ones."""
    boundary = _number(evidence.get("boundary"))
    return f" slower than {boundary:g} s" if boundary is not None else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _two(value: Any) -> tuple[float | None, float | None]:
    known = value if isinstance(value, list | tuple) and len(value) == 2 else (None, None)
    return _number(known[0]), _number(known[1])


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _rate(value: float | None, measure: Any) -> str:
    if value is None:
        return ""
    if measure in ("level", "history"):
        return number(value)
    return f"{number(value)}/s" if measure == "perSecond" else percent(value)
