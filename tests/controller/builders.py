"""Builders of the kernel's values: a release in the middle of its life in one readable line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from analysis.verdict import Verdict
from controller.pinned import pin
from controller.release.names import AppKey
from controller.release.observation import Claim, Observation, PodState, SlotState, Wishes
from controller.release.record import GateVerdict, Record, SlotRecord, Span
from controller.release.vocabulary import Phase, Role
from controller.slots import template_digest
from policies.load import from_object
from policies.schema import ReleasePolicy

NOW = 1_700_000_000.0
UID = "release-uid"
APP = AppKey("shop", "checkout")


def a_policy(**changes: Any) -> ReleasePolicy:
    """A valid policy; `changes` are top-level keys of its spec."""
    spec: dict[str, Any] = {
        "target": {"deployment": "checkout"},
        "strategy": {"twin": {"canary": 1, "batches": 4, "maxSurge": 3, "maxUnavailable": 0}},
        "gates": [
            {
                "name": "errors",
                "errorRatio": {
                    "errors": 'http_requests_total{code=~"5.."}',
                    "requests": "http_requests_total",
                },
            }
        ],
    }
    spec.update(changes)
    return from_object(
        {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "ReleasePolicy",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": json.loads(json.dumps(spec)),
        }
    )


def a_twin(surge: int | str = 3, unavailable: int | str = 0, **more: Any) -> dict[str, Any]:
    """A strategy of a policy."""
    return {"twin": {"canary": 1, "batches": 4, "maxSurge": surge, "maxUnavailable": unavailable, **more}}


def a_template(image: str = "app:v1") -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }


def a_slot(
    name: str = "checkout",
    replicas: int = 10,
    image: str = "app:v1",
    *,
    role: Role | None = "incumbent",
    epoch: int = 1,
    desired: int = 10,
    **changes: Any,
) -> SlotState:
    """A Deployment, claimed by the release for `role` (None: not claimed)."""
    template = a_template(image)
    claim = None
    if role is not None:
        claim = Claim("rel", UID, role, Phase.BATCH, epoch, replicas, desired, template_digest(template))
    slot = SlotState(
        name=name,
        uid=f"uid-{name}",
        resource_version="7",
        generation=3,
        observed_generation=3,
        replicas=replicas,
        paused=False,
        digest=template_digest(template),
        min_ready=0.0,
        claim=claim,
        blocked="",
        deleting=False,
        raw={
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "checkout"}}, "template": template},
        },
    )
    return replace(slot, **changes)


def pods(slot: str, ready: int, unready: int = 0, **changes: Any) -> tuple[PodState, ...]:
    """`ready` available pods and `unready` others of a slot."""
    made = []
    for n in range(ready + unready):
        pod = PodState(f"{slot}-abc12-{n:05d}", f"{slot}-abc12", ready=n < ready, ready_since=NOW - 600)
        made.append(replace(pod, **changes) if n >= ready or "restarts" in changes else pod)
    return tuple(made)


def an_observation(
    incumbents: int = 9,
    contenders: int = 1,
    *,
    ready_incumbents: int | None = None,
    ready_contenders: int | None = None,
    **changes: Any,
) -> Observation:
    """Both slots at these replicas, their pods ready unless said otherwise."""
    ready_i = incumbents if ready_incumbents is None else ready_incumbents
    ready_c = contenders if ready_contenders is None else ready_contenders
    seen = Observation(
        app=APP,
        release="rel",
        uid=UID,
        now=NOW,
        incumbent=a_slot("checkout", incumbents, "app:v1", role="incumbent"),
        contender=a_slot("checkout-twin", contenders, "app:v2", role="contender"),
        incumbents=pods("checkout", ready_i, incumbents - ready_i),
        contenders=pods("checkout-twin", ready_c, contenders - ready_c),
        wishes=Wishes(),
    )
    return replace(seen, **changes)


def a_record(
    phase: Phase = Phase.CANARY, stage: int = 0, policy: ReleasePolicy | None = None, **changes: Any
) -> Record:
    """A release of ten pods in this phase and stage, settled for ten minutes."""
    record = Record(
        phase=phase,
        since=NOW - 600,
        epoch=1,
        desired=10,
        stage=stage,
        stages=4,
        stage_since=NOW - 600,
        started=NOW - 1200,
        observing=(Span(NOW - 600),),
        incumbent=SlotRecord("checkout", "uid-checkout", template_digest(a_template("app:v1")), ("checkout-abc12",)),
        contender=SlotRecord(
            "checkout-twin", "uid-checkout-twin", template_digest(a_template("app:v2")), ("checkout-twin-abc12",)
        ),
    )
    return replace(pin(record, policy or a_policy()), **changes)


def says(
    verdict: Verdict,
    *,
    gate: str = "errors",
    observed: float = 600.0,
    required: bool = True,
    leaning: bool = False,
    could_hide: float | None = None,
) -> GateVerdict:
    """One gate's verdict after `observed` seconds of samples."""
    because = f"{verdict.value} with numbers"
    return GateVerdict(gate, verdict, because, required, observed, observed, leaning, could_hide)
