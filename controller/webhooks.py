"""Webhook gates: when an endpoint is called, what it is told, and what its answer means.

A call has an id made from the release, the gate, the stage and the number of the try, so that a call which was made
twice by a crash is one question to whoever answers. Calls of one stage are spread by a schedule that depends on the
release alone. The endpoint's own words are data: whatever is not a clear answer is no answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from analysis.verdict import Verdict
from controller.jobs import Said
from controller.release.names import AppKey
from controller.release.record import Inquiry, Record
from controller.release.words import one_line
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import CallWebhook, Spoken
from policies.schema import Gate, Webhook

_FIRST_WAIT = 15.0  # seconds between the first two calls; doubled each time, up to the longest
_LONGEST_WAIT = 60.0
_JITTER = 0.25  # of a wait, so that the releases of a night do not call together
_WORDS: Mapping[str, Verdict] = {
    "healthy": Verdict.HEALTHY,
    "degraded": Verdict.DEGRADED,
    "undecided": Verdict.UNDECIDED,
}
_FINAL = frozenset({Verdict.HEALTHY, Verdict.DEGRADED})
# Statuses by which a server says that it could answer later.
_PASSING = frozenset({408, 425, 429, *range(500, 600)})


def call_id(uid: str, gate: str, stage: int, number: int) -> str:
    """The same for the same question, and for no other one."""
    return hashlib.sha256(f"{uid}/{gate}/{stage}/{number}".encode()).hexdigest()[:32]


def due(uid: str, gate: str, stage: int, number: int) -> float:
    """Seconds after the first call of a stage at which call `number` (from 0) is due."""
    at = 0.0
    for n in range(1, number + 1):
        luck = int(call_id(uid, gate, stage, n)[:8], 16) / 0xFFFFFFFF
        at += min(_FIRST_WAIT * 2.0 ** (n - 1), _LONGEST_WAIT) * (1.0 + _JITTER * luck)
    return at


def call(app: AppKey, release: str, uid: str, gate: Gate, hook: Webhook, record: Record, number: int) -> CallWebhook:
    """The question to an endpoint."""
    sides = {"incumbent": record.incumbent, "contender": record.contender}
    return CallWebhook(
        endpoint=hook.endpoint,
        id=call_id(uid, gate.name, record.stage, number),
        payload={
            "app": app.policy,
            "namespace": app.namespace,
            "release": release,
            "gate": gate.name,
            "stage": record.stage,
            "stages": record.stages,
            "versions": {role: side.digest if side is not None else "" for role, side in sides.items()},
        },
    )


def begun(gate: Gate, stage: int, before: Inquiry | None, now: float) -> Inquiry:
    """What is remembered of this stage's calls, from before the first one on."""
    return before if before is not None and before.stage == stage else Inquiry(gate.name, stage, now)


def next_call(inquiry: Inquiry, uid: str, hook: Webhook, now: float) -> int | None:
    """The number of the call that is due now, or None: answered, over, or not yet."""
    if inquiry.said in _FINAL or now - inquiry.since > hook.timeout.seconds:
        return None
    return inquiry.tries if now - inquiry.since >= due(uid, inquiry.gate, inquiry.stage, inquiry.tries) else None


def heard(inquiry: Inquiry, hook: Webhook, answer: Spoken | Failure) -> Inquiry:
    """What is remembered after a call."""
    said, because = _meaning(hook.endpoint, answer)
    tries = inquiry.tries + 1
    return Inquiry(inquiry.gate, inquiry.stage, inquiry.since, tries, inquiry.found, said, because)


def standing(inquiry: Inquiry, hook: Webhook, now: float) -> Said:
    """What the gate says, from what was heard so far."""
    over = now - inquiry.since > hook.timeout.seconds
    if inquiry.said is None:
        told = inquiry.because or f"endpoint {hook.endpoint} has not been called yet"
        if over:
            return Said(Verdict.BLIND, f"no answer within {hook.timeout} ({inquiry.tries} calls): {told}", inquiry)
        return Said(Verdict.UNDECIDED, f"{told} ({inquiry.tries} calls; it is called again)", inquiry)
    if over and inquiry.said is Verdict.UNDECIDED:
        return Said(Verdict.UNDECIDED, f"still undecided after {hook.timeout}: {inquiry.because}", inquiry)
    return Said(inquiry.said, inquiry.because, inquiry)


def _meaning(endpoint: str, answer: Spoken | Failure) -> tuple[Verdict | None, str]:
    """(verdict, because); None where another call may help, BLIND where a person must act."""
    if isinstance(answer, Failure):
        if answer.kind in (FailureKind.ABSENT, FailureKind.UNAUTHORIZED):
            return Verdict.BLIND, f"endpoint {endpoint}: {answer.message}"
        return None, f"endpoint {endpoint}: {answer.message}"
    status = answer.status
    if status in _PASSING:
        return None, f"endpoint {endpoint} answered HTTP {status}"
    if 300 <= status < 400:
        return Verdict.BLIND, f"endpoint {endpoint} answered HTTP {status}: redirects are not followed; correct its url"
    if not 200 <= status < 300:
        return Verdict.BLIND, f"endpoint {endpoint} answered HTTP {status}: check its url and its secret"
    if not answer.body.strip():
        return Verdict.HEALTHY, f"endpoint {endpoint} answered HTTP {status}"
    try:
        told: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = None
    word = told.get("verdict") if isinstance(told, dict) else None
    if not isinstance(word, str) or word not in _WORDS:
        allowed = ", ".join(_WORDS)
        return Verdict.BLIND, f"endpoint {endpoint} answered HTTP {status} without a verdict; allowed: {allowed}"
    reason = told.get("because")
    told_why = f": {one_line(reason)}" if isinstance(reason, str) and reason.strip() else ""
    return _WORDS[word], f"endpoint {endpoint} says {word}{told_why}"
