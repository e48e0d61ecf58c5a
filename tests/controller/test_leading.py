"""Which Services lead to both versions, and what follows where one does not any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.accompanied import Accompanied
from controller.release.names import AppKey, Ref
from controller.release.observation import Observation, PodState, SlotState
from controller.release.record import Record
from controller.release.vocabulary import Cause, Origin, Phase
from controller.requests.looks import Neighbours, Permission
from controller.strategies import leading
from policies.load import from_object

APP = "checkout"
BOTH = {"app": APP}
INCUMBENT, CONTENDER = {**BOTH, "pod-template-hash": "old"}, {**BOTH, "nightferry.dev/slot": "twin"}
NEITHER = {"app": "other"}
Object = Mapping[str, Any]

ERRORS = {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"}
TWIN = {"twin": {"canary": 1, "batches": 2}}


def a_service(selector: Mapping[str, str], name: str = APP, **metadata: str) -> Object:
    return {"metadata": {"name": name, **metadata}, "spec": {"selector": dict(selector)}}


def a_slot(name: str, labels: Mapping[str, str]) -> SlotState:
    raw = {"spec": {"template": {"metadata": {"labels": dict(labels)}}}}
    return SlotState(name, "", "1", 1, 1, 2, False, "v", 0.0, None, "", False, raw)


def pods(hashed: str, labels: Mapping[str, str], count: int = 2, **more: Any) -> tuple[PodState, ...]:
    labels = {**labels, "pod-template-hash": hashed}
    return tuple(PodState(f"{hashed}-{n}", hashed, labels=labels, **{"ready": True, **more}) for n in range(count))


def look(*services: Object | None, **more: Any) -> Observation:
    """Two versions of two pods each; `services` are what is found under the names that the record knows."""
    twin = {**BOTH, "nightferry.dev/slot": "twin"}
    seen = Observation(
        app=AppKey("shop", APP),
        release="first",
        uid="u1",
        now=0.0,
        incumbent=a_slot(APP, BOTH),
        contender=a_slot(f"{APP}-twin", twin),
        incumbents=pods("old", BOTH),
        contenders=pods("new", twin),
        objects={Ref("Service", name): found for name, found in zip((APP, "grpc"), services, strict=False)},
    )
    return replace(seen, **more)


def a_record(*names: str, origin: Origin = "change") -> Record:
    return Record(phase=Phase.BATCH, origin=origin, services=names or (APP,))


# --------------------------------------------------------------------------------------------------- at the start


def test_services_that_lead_to_both_versions_are_known_by_name_and_few() -> None:
    one_version, none = a_service(CONTENDER, "preview"), a_service({}, "external")
    assert leading.leading(look(), [a_service(BOTH), one_version, none, a_service(NEITHER, "other")]) == (APP,)
    many = [a_service(BOTH, f"s{n}") for n in (5, 1, 4, 2, 3)]
    assert leading.leading(look(), many) == ("s1", "s2", "s3", "s4")


def a_policy(strategy: Mapping[str, Any]) -> Accompanied:
    spec = {
        "target": {"deployment": APP},
        "strategy": dict(strategy),
        "gates": [{"name": "errors", "errorRatio": ERRORS}],
    }
    metadata = {"name": APP, "namespace": "shop"}
    kind = {"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleasePolicy"}
    return Accompanied(from_object({**kind, "metadata": metadata, "spec": spec}).spec)


@pytest.mark.parametrize(
    ("strategy", "known"),
    [
        (TWIN, (APP,)),
        ({"rolling": {"canary": 1, "batches": 2}}, (APP,)),
        ({**TWIN, "traffic": {"gatewayAPI": {"httpRoute": APP}}}, ()),
        ({"blueGreen": {"service": APP}}, ()),
        ({"recreate": {}}, ()),
    ],
)
def test_only_where_no_strategy_leads_requests_itself(strategy: Mapping[str, Any], known: tuple[str, ...]) -> None:
    course = a_policy(strategy)
    assert course.services(look(), Neighbours(services=[a_service(BOTH)])) == known
    if known:
        assert Permission("get", "", "services") in course.permissions


def test_an_app_without_a_service_reads_nothing_and_never_turns() -> None:
    course = a_policy(TWIN)
    record = replace(a_record(), services=course.services(look(), Neighbours(services=[a_service(NEITHER)])))
    assert course.reads(record) == ()
    assert leading.astray(record, look()) is None
    assert leading.needed(record, look()) == ""


def test_a_service_is_read_as_long_as_pods_move() -> None:
    course = a_policy(TWIN)
    for phase in (Phase.CANARY, Phase.BATCH, Phase.ROLLING_BACK):
        assert course.reads(replace(a_record(), phase=phase)) == (Ref("Service", APP),)
    for phase in (Phase.PREFLIGHT, Phase.SUCCEEDED):
        assert course.reads(replace(a_record(), phase=phase)) == ()


# ------------------------------------------------------------------------------------------------- in mid-release


@pytest.mark.parametrize(
    ("service", "cause"),
    [
        (None, Cause.ROUTE_MISSING),
        (a_service(BOTH, deletionTimestamp="2026-11-23T01:00:00Z"), Cause.ROUTE_MISSING),
        (a_service(NEITHER), Cause.ROUTE_CHANGED),
        (a_service({}), Cause.ROUTE_CHANGED),
        (a_service(INCUMBENT), Cause.ROUTE_CHANGED),
        (a_service(CONTENDER), Cause.ROUTE_CHANGED),
    ],
)
def test_a_service_that_does_not_lead_to_both_any_more_turns_it_back(service: Object | None, cause: Cause) -> None:
    turned = leading.astray(a_record(), look(service))
    assert turned is not None and turned.cause is cause
    assert turned.because.startswith(f"Service {APP} was ")
    assert leading.astray(a_record(), look(a_service(BOTH))) is None


def test_one_of_two_services_may_go_as_long_as_the_other_leads_to_both() -> None:
    record = a_record(APP, "grpc")
    assert leading.astray(record, look(None, a_service(BOTH, "grpc"))) is None
    assert leading.astray(record, look(a_service(BOTH), a_service(NEITHER, "grpc"))) is None
    gone = leading.astray(record, look(None, a_service(NEITHER, "grpc")))
    assert gone is not None and gone.cause is Cause.ROUTE_CHANGED
    assert "create it again; Service grpc" in gone.because
    # The callers of that one would lose their last pods with the last batch.
    one_version = leading.astray(record, look(a_service(BOTH), a_service(INCUMBENT, "grpc")))
    assert one_version is not None and "grpc" in one_version.because


@pytest.mark.parametrize("origin", ["rollback", "home"])
def test_a_way_back_is_turned_only_where_all_requests_go_to_what_it_takes_away(origin: Origin) -> None:
    record = a_record(origin=origin)
    assert leading.astray(record, look(a_service(INCUMBENT))) is not None
    for service in (None, a_service(NEITHER), a_service(CONTENDER)):
        assert leading.astray(record, look(service)) is None


def test_a_deployment_that_is_gone_is_not_laid_to_the_service() -> None:
    assert leading.astray(a_record(), look(a_service(BOTH), contender=None, contenders=())) is None
    assert leading.astray(a_record(), look(a_service(BOTH), incumbent=None, incumbents=())) is None


def test_a_version_without_pods_is_known_by_its_template() -> None:
    assert leading.astray(a_record(), look(a_service(BOTH), contenders=())) is None
    turned = leading.astray(a_record(), look(a_service(INCUMBENT), contenders=()))
    assert turned is not None


# ------------------------------------------------------------------------------------------------- on the way back


def test_contenders_that_serve_alone_may_not_leave() -> None:
    record = replace(a_record(), phase=Phase.ROLLING_BACK)
    assert "contender pods that serve stay (2)" in leading.needed(record, look(a_service(CONTENDER)))
    for service in (None, a_service(NEITHER), a_service(BOTH), a_service(INCUMBENT)):
        assert leading.needed(record, look(service)) == ""
    unready = pods("new", {**BOTH, "nightferry.dev/slot": "twin"}, ready=False)
    assert leading.needed(record, look(a_service(CONTENDER), contenders=unready)) == ""
