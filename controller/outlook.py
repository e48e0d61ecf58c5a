"""What a stage cannot see however long it is watched: said once, at its beginning, with what would have to be more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.engine import ASSUMED_NOISE, Worse
from analysis.learned import Learned, LearnedCounts, NotLearned
from analysis.reach import Course, Missing, missing
from controller.accompanied import Accompanied
from controller.gates import settings
from controller.release.record import GateVerdict, Record
from policies.schema import Gate, ReleasePolicy

KIND = "NotReachable"  # of the entry in the decision log
_LEAST_WINDOWS = 2


def is_told(record: Record) -> bool:
    """Whether this stage has its line already."""
    return any(entry.kind == KIND and entry.stage == record.stage for entry in record.decisions)


def lacking(
    record: Record,
    policy: ReleasePolicy,
    gate: Gate,
    verdict: GateVerdict,
    learned: Learned | NotLearned | None,
    window: float,
) -> str:
    """What the present stage lacks to catch this gate's harm with a chance of 90 %, in one line; "" where it can.

    Gates that count errors or events only, against a ratio: the traffic is that of the incumbents so far.
    """
    course, rate = _course(record, policy, verdict.evidence, window), _rate(verdict.evidence, learned)
    asked = settings(gate, policy)
    counts = gate.error_ratio is not None or gate.throughput is not None
    if not counts or asked.margin.points or course is None or rate <= 0.0:
        return ""
    noise = learned.noise if isinstance(learned, LearnedCounts) else ASSUMED_NOISE
    # Half as many tell as much as twice as many: the contrast is one of logarithms.
    lack = missing(asked.harm_ratio, rate, noise, course, alpha=asked.alpha)
    if lack.missing is Missing.NOTHING:
        return ""
    less = " less" if asked.worse is Worse.LOWER else ""
    return f"gate {gate.name} cannot count on seeing x{asked.harm_ratio:g}{less} in this stage: {lack.detail}"


def _course(record: Record, policy: ReleasePolicy, evidence: Mapping[str, Any], window: float) -> Course | None:
    """What the present stage will have seen at the end of its longest observation; None without a comparison."""
    contender = Accompanied(policy.spec).stage(record).contender
    seen = evidence.get("exposure") or {}
    windows, requests, pods = (
        seen.get("windows") or 0,
        (seen.get("requests") or [0, 0])[1],
        (seen.get("pods") or [0, 0])[1],
    )
    if contender < 1 or contender >= record.desired or windows < _LEAST_WINDOWS or not pods or not requests:
        return None
    at_most = policy.spec.observe.at_most.seconds
    return Course(contender, record.desired - contender, at_most / window, window, requests / (windows * pods))


def _rate(evidence: Mapping[str, Any], learned: Learned | NotLearned | None) -> float:
    """Events per unit of exposure: as learned, else as the incumbents have them; half an event where there is none."""
    if isinstance(learned, LearnedCounts) and learned.rate > 0.0:
        return learned.rate
    seen = evidence.get("exposure") or {}
    requests, events = (seen.get("requests") or [0, 0])[1], (seen.get("events") or [0, 0])[1]
    return max(events, 0.5) / requests if requests else 0.0
