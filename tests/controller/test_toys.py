"""Another strategy, or another router, is one file and one line: toys of both go forward and back in the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from controller import strategies
from controller.findings import Finding
from controller.release.decision import Decision
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import CreateSlot, PatchSlot, Plan, SlotWrite
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import Phase, Role
from controller.requests.looks import Neighbours, Permission
from controller.simulation.world import World
from controller.slots import pods_of, template_digest
from controller.strategies import Cast, Strategy, claims
from controller.strategies.spare import SPARE_SUFFIX, spare_manifest
from policies.schema import ReleasePolicySpec
from tests.controller.routers.test_toy import SIGN, in_place, toy_router
from tests.kernel.night import begin, told
from tests.kernel.route_scenarios import a_routed
from tests.kernel.scenarios import APP, a_world, ask, phase, status

__all__ = ["toy_router"]  # fixtures

HANDOVER = "handover"


class Handover:
    """The whole contender comes beside the incumbent and is judged there; then the incumbent goes at once."""

    reads_replica_sets = False
    by_service = True
    permissions: tuple[Permission, ...] = ()

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        return (deployment, deployment + SPARE_SUFFIX)

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        return ()

    def cast(
        self,
        policy: ReleasePolicySpec,
        record: Record,
        slots: Mapping[str, SlotState | None],
        replica_sets: Sequence[ReplicaSetState],
        pods: Sequence[PodState],
    ) -> Cast:
        first, second = self.slot_names(policy.target.deployment)
        serves = record.incumbent.name if record.incumbent is not None else first
        live, spare = slots.get(serves), slots.get(second if serves == first else first)
        return Cast(live, spare, pods_of(live, pods), pods_of(spare, pods))

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        return (Stage(desired, desired), Stage(desired, 0, gated=False, name=HANDOVER))

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        return [f"twice {desired} pods until the handover"]

    def desired(self, record: Record, seen: Observation) -> int:
        return seen.incumbent.replicas if seen.incumbent is not None else 0

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        return record.desired, ()

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        return None

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        return None

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        return ()

    def prepared(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> bool:
        live, spare = seen.incumbent, seen.contender
        return live is not None and claims.claimed(seen, live) and claims.claimed(seen, spare)

    def prepare(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> Plan:
        live, spare = seen.incumbent, seen.contender
        assert live is not None
        if not claims.claimed(seen, live):
            return Plan((claims.stamp(record, seen, live, "incumbent"),))
        if spare is not None:
            return Plan()
        name, claim = live.name + SPARE_SUFFIX, claims.claim(record, seen, "contender", 0, template_digest(template))
        return Plan((CreateSlot(name, spare_manifest(live, name, template, claim), f"create {name}"),))

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        return None

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        stage = self.stages(policy, record.desired)[record.stage]
        return _lacks("contender", seen.contender, seen, stage.contender) or _lacks(
            "incumbent", seen.incumbent, seen, stage.incumbent
        )

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        sides: tuple[tuple[Role, SlotState | None], ...] = (
            ("contender", seen.contender),
            ("incumbent", seen.incumbent),
        )
        change = None if still else self._next(record, seen, policy)
        writes: list[SlotWrite] = [
            claims.stamp(record, seen, slot, role)
            for role, slot in sides
            if slot is not None
            and not claims.stamped(record, seen, slot)
            and (change is None or change.name != slot.name)
        ]
        return Plan((*writes, change) if change is not None else tuple(writes))

    def _next(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> PatchSlot | None:
        live, spare, desired = seen.incumbent, seen.contender, record.desired
        if live is None or spare is None or not (live.observed and spare.observed):
            return None
        back = record.phase is Phase.ROLLING_BACK
        comes, goes = (live, spare) if back else (spare, live)
        if comes.replicas < desired:
            return _scaled(record, seen, comes, "incumbent" if back else "contender", desired)
        over = back or self.stages(policy, desired)[record.stage].name == HANDOVER
        if over and goes.replicas > 0 and seen.available("incumbent" if back else "contender") >= desired:
            return _scaled(record, seen, goes, "contender" if back else "incumbent", 0)
        return None

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        return _lacks("incumbent", seen.incumbent, seen, record.desired) or _lacks("contender", seen.contender, seen, 0)

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return claims.released(uid, slots)


def _lacks(role: Role, slot: SlotState | None, seen: Observation, want: int) -> str:
    if slot is None:
        return f"no Deployment of the {role}" if want else ""
    if slot.replicas != want or not slot.observed or seen.available(role) < want:
        return f"{role} has {seen.available(role)} of {want} pods"
    return ""


def _scaled(record: Record, seen: Observation, slot: SlotState, role: Role, replicas: int) -> PatchSlot:
    claim = claims.claim(record, seen, role, replicas, claims.digest_of(record, role))
    return PatchSlot(slot.name, slot.resource_version, claim, f"{role} to {replicas}", replicas=replicas)


def _a_world() -> World:
    return a_world(strategy={"twin": {"canary": 1, "batches": 1, "maxSurge": "100%"}})


@pytest.fixture
def toy_strategy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    toy: Strategy = Handover()
    yield from in_place(monkeypatch, strategies.STRATEGIES, "twin", toy)


@pytest.mark.usefixtures("toy_strategy")
def test_a_toy_strategy_takes_a_release_to_its_end_under_all_laws() -> None:
    world = _a_world()
    ask(world)
    splits: list[tuple[int, int]] = []

    def watch(there: World) -> None:
        split = tuple(
            int(there.objects.items["Deployment", "shop", name]["spec"]["replicas"])
            for name in (APP, APP + SPARE_SUFFIX)
            if ("Deployment", "shop", name) in there.objects.items
        )
        if len(split) == 2 and (not splits or split != splits[-1]):
            splits.append((split[0], split[1]))

    world.add_actor(1.0, watch)
    night = begin(world, lambda there: bool(phase(there)))
    assert told(night, 60.0).ending.phases == {"first": "Succeeded"}
    assert splits == [(4, 0), (4, 4), (0, 4)]


@pytest.mark.usefixtures("toy_strategy")
def test_a_toy_strategy_turns_a_worse_version_back_under_all_laws() -> None:
    world = _a_world()
    world.behave("v2", errors=0.2)
    ask(world)
    night = begin(world, lambda there: bool(phase(there)))
    ending = told(night, 60.0).ending
    assert ending.phases == {"first": "RolledBack"}
    assert status(night.world)["cause"] == "GateDegraded"
    assert [replicas for replicas, _, _ in ending.slots.values()] == [4, 0, 1]  # checkout, its twin, a neighbour


@pytest.mark.usefixtures("toy_router")
def test_a_toy_router_turns_a_worse_version_back_and_leaves_nothing() -> None:
    world = a_routed("gatewayAPI")
    world.behave("v2", errors=0.2)
    ask(world)
    night = begin(world, lambda there: bool(phase(there)))
    assert told(night, 90.0).ending.phases == {"first": "RolledBack"}
    assert (SIGN.kind, "shop", SIGN.name) not in night.world.objects.items
