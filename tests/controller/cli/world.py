"""What the tests of the command line have in common: an app, releases in every state, and how a command ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from controller.applying import applied
from controller.record import noted, to_status
from controller.release.decision import Advance, Finish
from controller.release.record import Record, SlotRecord
from controller.release.vocabulary import Phase
from tests.controller.apiserver import ApiServer

T0 = 1_800_000_000.0
NOW = T0 + 3_600.0  # when the commands are typed
POLICY = {
    "apiVersion": "nightferry.dev/v1alpha1",
    "kind": "ReleasePolicy",
    "spec": {
        "target": {"deployment": "checkout"},
        "strategy": {"twin": {"canary": 1, "batches": 4}},
        "gates": [
            {
                "name": "errors",
                "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
            }
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of a refusal; fails for anything else."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("nightferry: ")
        assert self.out == ""
        return lines[0].removeprefix("nightferry: ")


Nightferry = Callable[..., Said]


def deployment(*containers: str, image: str = "registry.test/app:v1") -> dict[str, Any]:
    """A Deployment with these containers."""
    pods = {"containers": [{"name": name, "image": image} for name in containers]}
    return {"spec": {"replicas": 10, "template": {"metadata": {"labels": {"app": "checkout"}}, "spec": pods}}}


def moving(stage: int = 0) -> Record:
    """A record in the canary, or in a batch."""
    record = Record(
        phase=Phase.PREFLIGHT,
        since=T0,
        policy=json.dumps({**POLICY, "metadata": {"name": "checkout", "namespace": "shop"}}),
        desired=10,
        stages=4,
        started=T0,
        incumbent=SlotRecord("checkout", "uid-a", "aaaaaaaaaaaa"),
        contender=SlotRecord("checkout-twin", "uid-b", "bbbbbbbbbbbb"),
    )
    record = noted(record, "Preflight", "asked by alice", T0)
    for each in range(stage + 1):
        record = applied(record, Advance(each, "clean"), (), T0 + 60.0 * (each + 1))
    return replace(record, ready=(stage * 3 or 1, 10 - (stage * 3 or 1)))


def ended(phase: Phase, cause: Any, because: str = "so it was", stage: int = 4) -> Record:
    """A record at its end."""
    record = Record(phase=Phase.PREFLIGHT, since=T0) if phase is Phase.CANCELLED else moving(stage)
    if phase is Phase.ROLLED_BACK:
        record = replace(record, phase=Phase.ROLLING_BACK)
    return applied(record, Finish(phase, cause, because), (), T0 + 600.0)


def has_release(api: ApiServer, name: str, record: Record | None, **spec: Any) -> dict[str, Any]:
    """A Release of the app in the cluster; without a record nobody has taken it up yet."""
    body: dict[str, Any] = {
        "apiVersion": "nightferry.dev/v1alpha1",
        "spec": {"policy": "checkout", **(spec or {"images": {"app": "registry.test/app:v2"}})},
    }
    if record is not None:
        body["status"] = to_status(record, generation=1, policy_name="checkout")
    return api.put("releases", name, body)
