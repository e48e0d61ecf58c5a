"""Release objects of a night, written as the controller writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from analysis.verdict import Verdict
from controller.accompanied import Accompanied
from controller.pinned import pin
from controller.record import noted, to_status
from controller.release.instants import rfc3339
from controller.release.record import GateVerdict, Held, Notice, Record, SlotRecord
from controller.release.vocabulary import Cause, HoldReason, Phase
from controller.simulation import manifests
from policies.load import from_object

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
MINUTE = 60.0
ERRORS = GateVerdict(
    "errors",
    Verdict.DEGRADED,
    "errors 4.1 % of 9,000 contender requests against 0.2 % of 9,000: 20.5x",
    evidence={"effect": {"ratio": 20.5, "interval": [8.2, None], "rates": [0.041, 0.002]}},
)
LATENCY = GateVerdict(
    "latency",
    Verdict.HEALTHY,
    "slower than 0.5 s: 0.4 % against 0.4 %: 1x",
    evidence={"effect": {"ratio": 1.0, "interval": [0.7, 1.4], "rates": [0.004, 0.004]}, "boundary": 0.5},
)
TIMEOUTS = GateVerdict(
    "timeouts",
    Verdict.DEGRADED,
    "errors 0.819 % of 36,000 contender requests against 0.54 % of 84,000: 1.52x; in the last 3 of 12.5 min 2.33 % of "
    "5,400 against 0.619 % of 12,600: 3.77x; evidence 6.9 above 4.6",
    evidence={
        "effect": {"ratio": 1.516, "interval": [0.971, 1.961], "rates": [0.008194, 0.005405]},
        "onset": {
            "at": MIDNIGHT + 71.5 * MINUTE,
            "span": [MIDNIGHT + 62 * MINUTE, MIDNIGHT + 74.5 * MINUTE],
            "requests": [5400, 12600],
            "rates": [0.02333, 0.00619],
            "ratio": 3.769,
        },
    },
)
MEMORY = GateVerdict("memory", Verdict.BLIND, "no usable data", required=False, evidence={"noData": "Empty"})


def a_release(
    app: str = "checkout",
    name: str = "checkout-v42",
    *,
    asked: float = 0.0,
    began: float | None = None,
    turned: float | None = None,
    ended: float | None = None,
    phase: Phase = Phase.QUEUED,
    cause: Cause | None = None,
    because: str = "",
    held: Held | None = None,
    spec: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A Release object; times in minutes after midnight."""
    record = _bound(app, Record(phase=Phase.CANARY, epoch=2, **fields))
    if began is not None:
        at = MIDNIGHT + MINUTE * began
        record = noted(replace(record, started=at), "Advance", "to the canary: 10 pods", at)
    if turned is not None:
        at = MIDNIGHT + MINUTE * turned
        record = replace(record, phase=Phase.BATCH, stage=2, verdicts=(ERRORS, TIMEOUTS, LATENCY, MEMORY))
        record = noted(record, "RollBack", "gate errors: 20.5x", at)
    record = replace(record, phase=phase, cause=cause, because=because, held=held)
    if ended is not None:
        at = MIDNIGHT + MINUTE * ended
        record = noted(replace(record, since=at), phase.value, because, at)
    version = name.rpartition("-")[2]
    wish = {"images": {"app": f"registry.example/{app}:{version}"}} if spec is None else spec
    return {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "Release",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": rfc3339(MIDNIGHT + MINUTE * asked),
        },
        "spec": {"policy": app, "requestedBy": "ann", **wish},
        "status": to_status(record, generation=1, policy_name=app),
    }


def _bound(app: str, record: Record) -> Record:
    """A record that has begun under a policy, as it must have before it may move."""
    policy = from_object(manifests.policy(app))
    slots = (SlotRecord(app, "uid-a", "aaaaaaaaaaaa"), SlotRecord(f"{app}-twin", "uid-b", "bbbbbbbbbbbb"))
    record = replace(pin(record, policy), desired=10, incumbent=slots[0], contender=slots[1])
    return replace(record, stages=len(Accompanied(policy.spec).stages(record)) - 1)


def arrived(app: str = "search", name: str = "search-v8", **times: Any) -> dict[str, Any]:
    told = {"asked": 5.0, "began": 6.0, "ended": 36.0, **times}
    return a_release(app, name, phase=Phase.SUCCEEDED, cause=Cause.COMPLETED, because="all pods run v8", **told)


def came_back(app: str = "checkout", name: str = "checkout-v42", **times: Any) -> dict[str, Any]:
    told = {"asked": 60.0, "began": 61.0, "turned": 75.0, "ended": 77.0, "cause": Cause.GATE, **times}
    because = "10 of 10 incumbent pods are ready, the contender has none; turned back because gate errors: 20.5x"
    return a_release(app, name, phase=Phase.ROLLED_BACK, because=because, **told)


def a_night() -> list[dict[str, Any]]:
    """One of everything."""
    waits = Held(HoldReason.UNDECIDED, MIDNIGHT, MIDNIGHT + 400 * MINUTE, "rollBack", "the gates have not decided")
    shut = Held(HoldReason.WINDOW_CLOSED, MIDNIGHT, MIDNIGHT + 1440 * MINUTE, "leaves", "its window opens at 01:00")
    failed = Notice("1", "email/shift", "rolledBack", MIDNIGHT, done=True, failed="the mail server answered 550")
    return [
        arrived(),
        came_back(notices=(failed,)),
        arrived("cart", "cart-v3", spec={"images": {"app": "cart:v3"}, "now": {"reason": "a hole in v2"}}),
        a_release("cart", "cart-back", asked=90.0, began=91.0, ended=95.0, phase=Phase.SUCCEEDED,
                  because="all pods run v2", spec={"rollbackOf": "cart-v3"}),
        a_release("mail", "mail-v5", asked=100.0, began=101.0, phase=Phase.BATCH, stage=1, held=waits,
                  because="watching"),
        a_release("users", "users-v2", asked=110.0, phase=Phase.PREFLIGHT, held=shut, because="waits"),
        a_release("ads", "ads-v1", asked=120.0, began=121.0, ended=130.0, phase=Phase.NEEDS_HUMAN,
                  cause=Cause.ROLLBACK_BLOCKED, because="the quota leaves no room for the way back"),
        a_release("blog", "blog-v1", asked=125.0, ended=125.5, phase=Phase.CANCELLED, cause=Cause.REFUSED,
                  because="AlreadyLive: <script>alert(1)</script> | @everyone [x](http://evil.example)"),
        a_release("map", "map-v6", asked=130.0, began=131.0, phase=Phase.CANARY, because="watching the canary"),
    ]  # fmt: skip
