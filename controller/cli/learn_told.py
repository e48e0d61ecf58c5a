"""What was learned of a policy, for people and for scripts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from analysis.figures import kept
from analysis.learned import (
    AgeCurve,
    Calibration,
    Learned,
    LearnedCounts,
    LearnedLatency,
    LearnedLevels,
    Noise,
    NotLearned,
)
from controller.cli.view import span
from policies.schema import Gate

if TYPE_CHECKING:
    from controller.baseline import Baseline
    from policies.schema import ReleasePolicy

Facts = Iterator[tuple[str, str]]


def headline(baseline: Baseline, policy: ReleasePolicy, namespace: str) -> str:
    """One line: whose history, how much of it, and how much was left out."""
    days = (baseline.end - baseline.start) / 86_400.0
    left_out = sum(one.end - one.start for one in baseline.excluded)
    line = (
        f"{policy.name} in {namespace}: {days:.1f} days of history ({utc(baseline.start)} to {utc(baseline.end)} UTC), "
        f"data in {100 * baseline.coverage:.0f} % of the windows of the gate with least"
    )
    if baseline.excluded:
        line += f", {len(baseline.excluded)} {_many('stretch', len(baseline.excluded))} ({span(left_out)}) left out"
    return line


def excluded_lines(baseline: Baseline, most: int = 8) -> Iterator[str]:
    """The stretches that taught nothing, the latest last; older ones are counted."""
    if (more := len(baseline.excluded) - most) > 0:
        yield f"  {more} older ones"
    for one in baseline.excluded[-most:]:
        yield f"  left out {utc(one.start)} to {utc(one.end)}: {one.because}"


def gate_facts(gate: Gate, baseline: Baseline) -> Facts:
    """What was learned of one gate, as names and values."""
    found = baseline.gates[gate.name]
    if isinstance(found, NotLearned):
        yield "not learned", f"{found.reason}: {found.detail}"
        yield "therefore", "it acts on assumed pod noise and promises no rate"
    else:
        yield "standing", str(found.standing)
        yield "learned from", f"{found.standing.segments} segments, {found.standing.replays} replays"
        yield from _learned(gate, found)
        yield "thresholds", _thresholds(found.calibration)
    band = baseline.bands.get(gate.name)
    if isinstance(band, NotLearned):
        yield "usual course", f"not learned: {band.reason}: {band.detail}"
    elif band is not None:
        told = f"forecast for an hour, from {band.days:.1f} usable days"
        if band.shifted:
            told += "; the level has changed on the last day, recent days count more"
        if band.realised is not None:
            low, high = band.realised
            told += f"; hours beyond its 1 % bound: {_points(low)} to {_points(high)} %"
        yield "usual course", told


def _learned(gate: Gate, found: Learned) -> Facts:
    match found:
        case LearnedCounts():
            unit = "events per ready pod and second" if gate.kind == "throughput" else "of the requests"
            rate = f"{found.rate:.3g} {unit}" if gate.kind == "throughput" else f"{_percent(found.rate)} {unit}"
            yield "usual rate", rate
            yield "healthy pods", noise_text(found.noise)
            yield from _usual(found.usual)
            if found.age is not None:
                yield "young pods", _young(found.age)
            if found.mix:
                yield "mix", ", ".join(f"{name} {_times(rate)}" for name, rate in found.mix)
        case LearnedLatency():
            for one in found.boundaries:
                yield (
                    f"above {_time(one.seconds)}",
                    f"{_percent(one.share)} of the requests; {noise_text(one.noise)}",
                )
            yield from _usual(found.usual)
            if found.age is not None:
                yield "young pods", _young(found.age)
        case LearnedLevels():
            spread = _sd(found.levels)
            middle = math.exp(sorted(abs(level) for level in found.levels)[len(found.levels) // 2])
            yield (
                "healthy pods",
                f"{len(found.levels)} pods about {_number(middle)}, which differ by {_percent(spread)}",
            )
            yield "inside a pod", f"half-hour means vary by {_percent(found.within)}"
            if found.growth:
                yield "young pods", f"compared with young ones of earlier rollouts up to {span(found.plateau)}"


def _usual(usual: tuple[float, float] | None) -> Facts:
    if usual is not None:
        yield "noise of an hour", f"between {usual[0]:.2f} and {usual[1]:.2f} of what was learned, in 9 of 10 segments"


def noise_text(noise: Noise) -> str:
    """How pods differ for good, and how one varies, in percent."""
    pairs = list(zip(noise.variation.times, noise.variation.variances, strict=True))
    lasting = sum(variance for time, variance in pairs if time >= 15.0)
    passing = sum(variance for time, variance in pairs if time < 15.0)
    return f"differ by {_percent(math.sqrt(lasting))} for long, vary by {_percent(math.sqrt(passing))} between windows"


def lasting_sd(noise: Noise, windows: float) -> float:
    """Standard deviation of a pod's mean log rate over so many windows, without chance."""
    import numpy as np

    return math.sqrt(math.log1p(float(noise.variation.of(np.array([windows]))[0])))


def _thresholds(calibration: Calibration) -> str:
    return (
        f"rollback above {calibration.change:.2f} (change) and {calibration.margin:.2f} (beyond the margin), "
        f"pause above {calibration.pause:.2f}"
    )


def _young(age: AgeCurve) -> str:
    return f"{_times(1.0 + age.extra)} of the events at birth, fading in {span(age.seconds)}"


def to_json(baseline: Baseline, policy: ReleasePolicy, namespace: str) -> dict[str, Any]:
    """Everything that was learned, as plain data."""
    gates = []
    for gate in policy.spec.learnable:
        found = baseline.gates[gate.name]
        band = baseline.bands.get(gate.name)
        gates.append(
            {
                "name": gate.name,
                "kind": gate.kind,
                "required": gate.required,
                **_gate_json(found),
                "band": _band_json(band),
            }
        )
    return {
        "policy": policy.name,
        "namespace": namespace,
        "learnedAt": utc(baseline.learned_at, "T"),
        "from": utc(baseline.start, "T"),
        "until": utc(baseline.end, "T"),
        "window": baseline.window,
        "coverage": round(baseline.coverage, 4),
        "excluded": [
            {"from": utc(one.start, "T"), "until": utc(one.end, "T"), "because": one.because}
            for one in baseline.excluded
        ],
        "gates": gates,
    }


def _gate_json(found: Learned | NotLearned) -> dict[str, Any]:
    if isinstance(found, NotLearned):
        return {"learned": False, "reason": found.reason, "detail": found.detail}
    standing, c = found.standing, found.calibration
    out: dict[str, Any] = {
        "learned": True,
        "guarantee": standing.guarantee.value,
        "alpha": standing.alpha,
        "segments": standing.segments,
        "replays": standing.replays,
        "realised": list(standing.realised) if standing.realised is not None else None,
        "thresholds": {"change": kept(c.change), "margin": kept(c.margin), "pause": kept(c.pause)},
    }
    match found:
        case LearnedCounts():
            out |= {"rate": kept(found.rate), "noise": _noise_json(found.noise), "age": _age_json(found.age)}
            out["mix"] = dict(found.mix)
        case LearnedLatency():
            out["boundaries"] = [
                {"seconds": one.seconds, "share": kept(one.share), "noise": _noise_json(one.noise)}
                for one in found.boundaries
            ]
            out["age"] = _age_json(found.age)
        case LearnedLevels():
            out |= {"pods": len(found.levels), "podSd": kept(_sd(found.levels)), "within": kept(found.within)}
    return out


def _noise_json(noise: Noise) -> dict[str, Any]:
    return {
        "rho": kept(noise.rho),
        "parts": [
            {"windows": None if math.isinf(time) else time, "variance": kept(variance)}
            for time, variance in zip(noise.variation.times, noise.variation.variances, strict=True)
        ],
    }


def _age_json(age: AgeCurve | None) -> Mapping[str, Any] | None:
    return None if age is None else {"extra": kept(age.extra), "seconds": age.seconds}


def _band_json(band: Any) -> Mapping[str, Any] | None:
    if band is None:
        return None
    if isinstance(band, NotLearned):
        return {"learned": False, "reason": band.reason, "detail": band.detail}
    realised = list(band.realised) if band.realised is not None else None
    return {"learned": True, "days": band.days, "shifted": band.shifted, "realised": realised}


# ------------------------------------------------------------------------------------------------- in words


def utc(at: float, between: str = " ") -> str:
    """A moment to the minute, in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime(f"%Y-%m-%d{between}%H:%M") + ("Z" if between == "T" else "")


def _sd(values: tuple[float, ...]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))


def _many(thing: str, count: int) -> str:
    if count == 1:
        return thing
    return thing + ("es" if thing.endswith("ch") else "s")


def _points(share: float) -> str:
    return f"{100.0 * share:.2g}" if share >= 5e-5 else "0"


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %"


def _times(ratio: float) -> str:
    return f"x{ratio:.3g}"


def _time(seconds: float) -> str:
    return f"{1000.0 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"


def _number(value: float) -> str:
    for limit, unit in ((2**30, "Gi"), (2**20, "Mi")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.4g}"
