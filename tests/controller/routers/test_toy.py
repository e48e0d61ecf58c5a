"""A fifth router is one file and one line: a toy one takes a release through the whole kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from controller import routers
from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import CreateObject, DeleteObject, ObjectWrite, PatchObject
from controller.release.record import Record, Saved
from controller.release.vocabulary import Role
from controller.routers import Gone, Shown, sides
from controller.simulation.world import World
from policies.kept import forget
from policies.schema import ReleasePolicySpec
from tests.kernel.night import begin, told
from tests.kernel.route_scenarios import a_routed
from tests.kernel.scenarios import ask, phase

SIGN = Ref("HTTPRoute", "signpost")


class Signpost:
    """An object that says how many percent of the requests go to the contender."""

    permissions = tuple(
        (verb, "gateway.networking.k8s.io", "httproutes") for verb in ("get", "create", "patch", "delete")
    )

    def borrows(self, policy: ReleasePolicySpec) -> tuple[tuple[Ref, str, str], ...]:
        return ()

    def reads(self, policy: ReleasePolicySpec) -> tuple[Ref, ...]:
        return (SIGN,)

    def problems(self, policy: ReleasePolicySpec, seen: Observation) -> str:
        return ""

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        return ()

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        if seen.objects.get(SIGN) is not None:
            return None
        manifest = {"apiVersion": "toy/v1", "kind": SIGN.kind, "metadata": sides.marked("signpost", "checkout", seen)}
        return CreateObject(SIGN, {**manifest, "spec": {"rules": [0]}}, "put up the signpost")

    def reached(self, policy: ReleasePolicySpec, seen: Observation, role: Role) -> int:
        return seen.ready(role)

    def shows(self, policy: ReleasePolicySpec, seen: Observation) -> Shown | Gone:
        sign = seen.objects.get(SIGN)
        return Shown(sign["spec"]["rules"][0] if sign else 0, False, pinned=sign is not None)

    def undone(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        return ()

    def stamp(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        return None

    def steer(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, weight: int, *, matches: bool
    ) -> ObjectWrite | None:
        sign = seen.objects.get(SIGN)
        if sign is None or sign["spec"]["rules"] == [weight]:
            return None
        patch: Mapping[str, Any] = {"spec": {"rules": [weight]}}
        return PatchObject(SIGN, sides.version_of(sign), patch, f"the signpost says {weight}")

    def hand_back(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> DeleteObject | None:
        return sides.deletion(seen, SIGN)


def in_place(monkeypatch: pytest.MonkeyPatch, table: Mapping[Any, Any], name: str, toy: object) -> Iterator[None]:
    """A toy in a table, for one test: what followed from a policy before, and what follows now, is kept beside it."""
    forget()
    monkeypatch.setitem(table, name, toy)
    yield
    forget()


@pytest.fixture
def toy_router(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from in_place(monkeypatch, routers.ROUTERS, "gatewayAPI", Signpost())


@pytest.mark.usefixtures("toy_router")
def test_a_toy_router_takes_a_release_to_its_end() -> None:
    world = a_routed("gatewayAPI")
    shown: list[int] = []

    def watch(there: World) -> None:
        sign = there.objects.items.get(("HTTPRoute", "shop", "signpost"))
        if sign is not None and sign["spec"]["rules"][0] not in shown:
            shown.append(sign["spec"]["rules"][0])

    world.add_actor(1.0, watch)
    ask(world)
    night = begin(world, lambda there: bool(phase(there)))
    assert told(night, 90.0).ending.phases == {"first": "Succeeded"}
    assert shown == [0, 25, 50, 75, 100]
    assert ("HTTPRoute", "shop", "signpost") not in night.world.objects.items
