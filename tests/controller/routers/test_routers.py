"""What routers refuse, what they leave alone, and what they read back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import yaml

from controller.findings import Wait
from controller.release.decision import RollBack
from controller.release.names import CLAIM_ANNOTATION, Ref
from controller.release.plan import CreateObject, PatchObject
from controller.release.record import Record
from controller.release.vocabulary import Cause, Phase
from controller.requests.looks import Neighbours
from controller.routers import Gone, Shown, sides
from controller.routers.sides import RELEASE_ANNOTATION, fence, side_name
from controller.strategies.routed import Routed
from policies.traffic import RouterKind
from tests.controller.routers.objects import DESTINATION_RULE, HTTP_ROUTE, INGRESS, VIRTUAL_SERVICE
from tests.controller.routers.store import Object, Store
from tests.controller.routers.test_golden import CASES

NGINX, GATEWAY, ISTIO = "ingress-nginx", "gateway-api", "istio"
OWN = {
    NGINX: Ref("Ingress", "checkout"),
    GATEWAY: Ref("HTTPRoute", "checkout"),
    ISTIO: Ref("VirtualService", "checkout"),
}
RULES = {NGINX: "rules", GATEWAY: "rules", ISTIO: "http"}


def a_store(case: str) -> Store:
    traffic, texts = CASES[case]
    return Store.of(traffic, *texts)


def edit(store: Store, ref: Ref, change: Callable[[Object], None]) -> None:
    """Somebody else writes."""
    obj = copy.deepcopy(store.objects[ref])
    change(obj)
    store.put(obj)


def refused(store: Store) -> str:
    return store.router.problems(store.policy, store.seen)


def shown(store: Store) -> Shown | Gone:
    return store.router.shows(store.policy, store.seen)


# ------------------------------------------------------------------------------------------------ read back


@pytest.mark.parametrize("case", CASES)
def test_a_split_is_read_back(case: str) -> None:
    store = a_store(case)
    matches = case != "istio-without-rule"
    assert shown(store) == Shown(0, False, pinned=False)
    store.prepare()
    assert shown(store) == Shown(0, False, pinned=False)
    for weight in (0, 1, 37, 99):
        store.steer(weight, matches=weight > 0)
        assert shown(store) == Shown(weight, matches and weight > 0, pinned=True)
    store.hand_back()
    assert shown(store) == Shown(0, False, pinned=False)


def test_the_main_ingress_never_names_a_side_without_pods_at_100_percent() -> None:
    """ingress-nginx answers 503 when the main Ingress has no pod behind it, whatever the weight of the canary."""
    store = a_store(NGINX)
    store.prepare()
    store.steer(99)
    backend = "spec.rules[0].http.paths[0].backend.service.name"

    def name() -> str:
        return str(store.objects[OWN[NGINX]]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"])

    assert name() == "checkout-incumbent", backend
    writes = store.steer(100)
    assert writes == ["Ingress checkout-canary at weight 100", "Ingress checkout leads to checkout"]
    assert name() == "checkout"
    # On the way back, the incumbent's side takes the rest before there is a rest.
    assert store.steer(60) == ["Ingress checkout leads to checkout-incumbent", "Ingress checkout-canary at weight 60"]


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_objects_that_are_gone_are_named_and_nothing_is_written_to_them(case: str) -> None:
    store = a_store(case)
    store.prepare()
    store.steer(40)
    del store.objects[OWN[case]]
    found = shown(store)
    assert isinstance(found, Gone) and "checkout" in found.because
    assert store.steer(60) == []
    store.hand_back()
    ours = [obj for obj in store.objects.values() if RELEASE_ANNOTATION in (obj["metadata"].get("annotations") or {})]
    assert ours == []


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_a_route_that_leads_elsewhere_now_is_gone(case: str) -> None:
    store = a_store(case)
    store.prepare()
    store.steer(40)
    edit(store, OWN[case], lambda obj: obj["spec"].update({RULES[case]: obj["spec"][RULES[case]][:0]}))
    assert isinstance(shown(store), Gone)


def test_a_deleted_canary_is_made_again_at_the_weight_asked_for() -> None:
    store = a_store(NGINX)
    store.prepare()
    store.steer(40)
    del store.objects[Ref("Ingress", "checkout-canary")]
    assert shown(store) == Shown(0, False, pinned=True)
    assert store.steer(40) == ["create Ingress checkout-canary at weight 40"]
    assert shown(store) == Shown(40, True, pinned=True)


def test_a_total_that_somebody_wrote_is_read_as_it_works_and_taken_out() -> None:
    store = a_store(NGINX)
    store.prepare()
    store.steer(40)
    total = {"nginx.ingress.kubernetes.io/canary-weight-total": "200"}
    edit(store, Ref("Ingress", "checkout-canary"), lambda obj: obj["metadata"]["annotations"].update(total))
    assert shown(store) == Shown(20, True, pinned=True)
    store.steer(40)
    assert shown(store) == Shown(40, True, pinned=True)


@pytest.mark.parametrize("case", [GATEWAY, ISTIO])
def test_weights_that_differ_between_routes_are_no_split(case: str) -> None:
    store = a_store(case)
    key, references = RULES[case], "backendRefs" if case == GATEWAY else "route"
    edit(store, OWN[case], lambda obj: obj["spec"][key].append({**obj["spec"][key][1], "name": "second"}))
    store.prepare()
    store.steer(40)

    def set_back(obj: Object) -> None:
        for reference, weight in zip(obj["spec"][key][-1][references], (100, 0), strict=True):
            reference["weight"] = weight

    edit(store, OWN[case], set_back)
    assert shown(store) == Shown(40, True, pinned=False)
    store.steer(40)
    assert shown(store) == Shown(40, True, pinned=True)


def test_a_gateway_that_has_not_acted_yet_does_not_show_it() -> None:
    store = a_store(GATEWAY)
    store.prepare()
    store.steer(40)

    def status(generation: int) -> None:
        parent = {
            "parentRef": {"name": "public"},
            "conditions": [{"type": "Accepted", "observedGeneration": generation}],
        }
        edit(store, OWN[GATEWAY], lambda obj: obj.update(status={"parents": [parent]}))

    edit(store, OWN[GATEWAY], lambda obj: obj["metadata"].update(generation=4))
    status(3)
    found = shown(store)
    assert isinstance(found, Shown) and found.unseen
    status(4)
    assert shown(store) == Shown(40, True, pinned=True)
    status(3)
    elsewhere = {"parentRefs": [{"name": "another"}]}
    edit(store, OWN[GATEWAY], lambda obj: obj["spec"].update(elsewhere))
    assert shown(store) == Shown(40, True, pinned=True), "the route has been taken from that gateway"


def test_a_route_that_its_gateway_does_not_act_upon_is_waited_for_before_anything_moves() -> None:
    store = a_store(GATEWAY)
    store.contenders = 0
    strategy = Routed("gatewayAPI")
    assert strategy.problems(store.policy, Record(), store.seen, Neighbours()) is None
    parent = {"parentRef": {"name": "public"}, "conditions": [{"type": "Accepted", "observedGeneration": 3}]}
    edit(store, OWN[GATEWAY], lambda obj: obj["metadata"].update(generation=4))
    edit(store, OWN[GATEWAY], lambda obj: obj.update(status={"parents": [parent]}))
    finding = strategy.problems(store.policy, Record(), store.seen, Neighbours())
    assert isinstance(finding, Wait) and "gateway public has not acted" in finding.because


# ------------------------------------------------------------------------------------------- other people's rules


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_what_people_change_in_mid_release_stays(case: str) -> None:
    """A rule of another app and an annotation appear, the app's own rules come back as they were."""
    store = a_store(case)
    before = copy.deepcopy(store.objects[OWN[case]])
    store.prepare()
    store.steer(40)
    other = {
        NGINX: {"host": "new.example", "http": {"paths": [{"path": "/", "pathType": "Exact", "backend": {}}]}},
        GATEWAY: {"backendRefs": [{"name": "new", "port": 80}]},
        ISTIO: {"route": [{"destination": {"host": "new"}}]},
    }[case]
    edit(store, OWN[case], lambda obj: obj["spec"][RULES[case]].insert(0, other))
    edit(store, OWN[case], lambda obj: obj["metadata"].setdefault("annotations", {}).update(note="mine"))
    store.steer(70)
    store.hand_back()
    after = store.objects[OWN[case]]
    assert after["spec"][RULES[case]] == [other, *before["spec"][RULES[case]]]
    assert after["metadata"]["annotations"]["note"] == "mine"
    assert yaml.safe_dump(after["spec"][RULES[case]][1:], sort_keys=False) == yaml.safe_dump(
        before["spec"][RULES[case]], sort_keys=False
    ), "the order of the fields too"


def test_subsets_of_other_people_stay_and_a_rule_without_any_is_without_again() -> None:
    store = a_store(ISTIO)
    store.prepare()
    rule = Ref("DestinationRule", "checkout")
    edit(store, rule, lambda obj: obj["spec"]["subsets"].append({"name": "late", "labels": {"tier": "late"}}))
    store.steer(40)
    store.hand_back()
    assert [each["name"] for each in store.objects[rule]["spec"]["subsets"]] == ["all", "late"]

    bare = yaml.safe_load(DESTINATION_RULE)
    del bare["spec"]["subsets"]
    store = Store.of(CASES[ISTIO][0], VIRTUAL_SERVICE, yaml.safe_dump(bare))
    store.prepare()
    store.hand_back()
    assert "subsets" not in store.objects[rule]["spec"]


@pytest.mark.parametrize("case", [NGINX, GATEWAY])
def test_a_side_that_was_deleted_or_edited_is_put_right_before_the_weight(case: str) -> None:
    store = a_store(case)
    store.prepare()
    store.steer(40)
    del store.objects[Ref("Service", "checkout-contender")]
    edit(
        store, Ref("Service", "checkout-incumbent"), lambda obj: obj["spec"].update(selector={"app": "other", "x": "y"})
    )
    writes = store.steer(50)
    assert [write.split()[0] for write in writes[:2]] == ["Service", "create"]
    selector = store.objects[Ref("Service", "checkout-incumbent")]["spec"]["selector"]
    assert selector == {"app": "checkout", "pod-template-hash": "5d9f7c6b8"}


@pytest.mark.parametrize("case", CASES)
def test_each_side_reaches_its_own_version_only(case: str) -> None:
    store = a_store(case)
    store.incumbents, store.contenders = 7, 3
    assert store.router.reached(store.policy, store.seen, "contender") == 0
    store.prepare()
    assert store.router.reached(store.policy, store.seen, "incumbent") == 7
    assert store.router.reached(store.policy, store.seen, "contender") == 3


# ----------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_objects_that_do_not_lead_to_the_app_are_refused(case: str) -> None:
    store = a_store(case)
    assert refused(store) == ""
    missing = a_store(case)
    del missing.objects[OWN[case]]
    assert "does not exist" in refused(missing)
    elsewhere = a_store(case)
    edit(elsewhere, OWN[case], lambda obj: obj["spec"].update({RULES[case]: obj["spec"][RULES[case]][:1]}))
    if case == NGINX:
        edit(elsewhere, OWN[case], lambda obj: obj["spec"].update(rules=obj["spec"]["rules"][1:]))
    assert "leads to Service checkout" in refused(elsewhere) or "no http route" in refused(elsewhere)


def _selecting(selector: dict[str, str], obj: dict[str, Any]) -> None:
    obj["spec"].update(selector=selector)


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_a_service_that_does_not_lead_to_the_app_is_refused(case: str) -> None:
    service = Ref("Service", "checkout")
    for selector, found in (
        ({"app": "nobody"}, "selects no pod"),
        ({}, "no selector"),
        ({"app": "checkout", "pod-template-hash": "5d9f7c6b8"}, "pod-template-hash"),
    ):
        store = a_store(case)
        edit(store, service, partial(_selecting, selector))
        assert found in refused(store)
    store = a_store(case)
    del store.objects[service]
    assert "Service checkout does not exist" in refused(store)


@pytest.mark.parametrize("found", ["traefik", "haproxy-internal", "nginxplus", None])
def test_an_ingress_class_that_is_not_known_is_refused(found: str | None) -> None:
    store = a_store(NGINX)
    edit(store, OWN[NGINX], lambda obj: obj["spec"].update(ingressClassName=found))
    assert (found or "no class") in refused(store)


@pytest.mark.parametrize("found", ["nginx", "nginx-internal", "public-nginx"])
def test_a_class_of_ingress_nginx_is_known_by_its_name_or_annotation(found: str) -> None:
    store = a_store(NGINX)
    edit(store, OWN[NGINX], lambda obj: obj["spec"].update(ingressClassName=found))
    assert refused(store) == ""
    edit(store, OWN[NGINX], lambda obj: obj["spec"].pop("ingressClassName"))
    edit(store, OWN[NGINX], lambda obj: obj["metadata"]["annotations"].update({"kubernetes.io/ingress.class": found}))
    assert refused(store) == ""
    store.prepare()
    canary = store.objects[Ref("Ingress", "checkout-canary")]
    assert canary["metadata"]["annotations"]["kubernetes.io/ingress.class"] == found


def test_names_that_are_taken_are_refused() -> None:
    store = a_store(NGINX)
    canary = yaml.safe_load(INGRESS)
    canary["metadata"]["name"] = "checkout-canary"
    store.put(canary)
    assert "one canary per host" in refused(store)
    store = a_store(GATEWAY)
    store.put({"kind": "Service", "metadata": {"name": "checkout-contender"}, "spec": {}})
    assert "checkout-contender exists and is not ours" in refused(store)
    store = a_store("istio-without-rule")
    store.put({"kind": "DestinationRule", "metadata": {"name": "checkout-nightferry"}, "spec": {"host": "checkout"}})
    assert "exists and is not ours" in refused(store)


@pytest.mark.parametrize("case", [GATEWAY, ISTIO])
def test_a_rule_that_shares_with_another_backend_is_refused(case: str) -> None:
    other = {
        GATEWAY: {"name": "old-checkout", "port": 80, "weight": 1},
        ISTIO: {"destination": {"host": "old-checkout"}, "weight": 50},
    }[case]
    key = "backendRefs" if case == GATEWAY else "route"
    store = a_store(case)
    edit(store, OWN[case], lambda obj: obj["spec"][RULES[case]][1][key].append(other))
    assert "shares its requests" in refused(store)
    store = a_store(case)
    edit(store, OWN[case], lambda obj: obj["spec"][RULES[case]][1][key].append({**other, "weight": 0}))
    assert refused(store) == ""
    before = store.snapshot()
    store.prepare()
    store.steer(30)
    assert shown(store) == Shown(30, True, pinned=True)
    store.hand_back()
    assert store.snapshot() == before


@pytest.mark.parametrize("case", [GATEWAY, ISTIO])
def test_a_header_that_a_rule_looks_at_already_is_refused(case: str) -> None:
    store = a_store(case)
    key = "matches" if case == GATEWAY else "match"
    headers = [{"name": "X-Canary", "value": "never"}] if case == GATEWAY else {"X-Canary": {"exact": "never"}}
    edit(store, OWN[case], lambda obj: obj["spec"][RULES[case]][1][key][0].update(headers=headers))
    assert "already" in refused(store)


def test_a_route_without_room_for_matches_is_refused() -> None:
    store = a_store(GATEWAY)
    rule = yaml.safe_load(HTTP_ROUTE)["spec"]["rules"][0]
    edit(store, OWN[GATEWAY], lambda obj: obj["spec"]["rules"].extend([rule] * 14))
    assert "leave out match" in refused(store)


def test_a_destination_rule_of_another_host_is_refused() -> None:
    store = a_store(ISTIO)
    edit(store, Ref("DestinationRule", "checkout"), lambda obj: obj["spec"].update(host="cart"))
    assert "is for host cart" in refused(store)


# --------------------------------------------------------------------------------------------------------- names


def test_names_of_sides_are_labels_and_differ() -> None:
    long = "a-service-with-a-name-of-exactly-sixty-three-characters-in-all1"
    assert len(long) == 63
    names = [
        side_name(name, role) for name in (long, long[:-1] + "2", "checkout") for role in ("incumbent", "contender")
    ]
    assert len(set(names)) == 6
    assert all(len(name) <= 63 and name[-1].isalnum() for name in names)
    assert names[4:] == ["checkout-incumbent", "checkout-contender"]


# ------------------------------------------------------------------------------------------------------ set back


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_a_route_that_somebody_set_back_is_named_and_one_that_others_edit_is_not(case: str) -> None:
    store = a_store(case)
    people = copy.deepcopy(store.objects[OWN[case]]["spec"])

    def undone() -> tuple[str, ...]:
        return store.router.undone(store.policy, store.seen)

    store.prepare()
    assert undone() == ()
    store.steer(0, matches=False)
    store.steer(40)
    assert undone() == ()
    edit(store, OWN[case], lambda obj: obj["spec"][RULES[case]].append({"name": "other"}))
    assert undone() == (), "a rule of somebody else is their own affair"
    edit(store, OWN[case], lambda obj: obj["spec"].update(people))
    edit(store, OWN[case], lambda obj: obj["metadata"].update(generation=7))
    assert undone() == (f"{OWN[case]}@7",)
    store.steer(40)
    assert undone() == ()
    store.hand_back()
    assert undone() == ()


def test_a_canary_whose_weight_somebody_changed_is_named() -> None:
    store = a_store(NGINX)
    store.prepare()
    store.steer(40)
    weight = {"nginx.ingress.kubernetes.io/canary-weight": "0"}
    edit(store, Ref("Ingress", "checkout-canary"), lambda obj: obj["metadata"]["annotations"].update(weight))
    assert [name.partition("@")[0] for name in store.router.undone(store.policy, store.seen)] == [
        "Ingress checkout-canary"
    ]


# --------------------------------------------------------------------- the app's own Service, gone or led elsewhere


def _gone(store: Store) -> None:
    del store.objects[Ref("Service", "checkout")]


def _elsewhere(store: Store) -> None:
    edit(store, Ref("Service", "checkout"), lambda obj: obj["spec"].update(selector={"app": "other"}))


@pytest.mark.parametrize(("happens", "cause"), [(_gone, Cause.ROUTE_MISSING), (_elsewhere, Cause.ROUTE_CHANGED)])
@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_nothing_is_led_to_a_service_without_pods(case: str, happens: Callable[[Store], None], cause: Cause) -> None:
    store, strategy = a_store(case), Routed(KINDS[case])
    store.prepare()
    store.steer(40)
    assert strategy.meddled(moving(store), store.seen, store.policy) is None
    happens(store)
    before = store.snapshot()
    assert store.prepare() == [] and store.snapshot() == before  # the sides lead to the app, whatever the Service does
    decision = strategy.meddled(moving(store), store.seen, store.policy)
    assert isinstance(decision, RollBack) and decision.cause is cause
    # All pods are back, and still the route is not given back.
    store.contenders, store.incumbents = 0, 10
    back = moving(store, phase=Phase.ROLLING_BACK)
    while write := next(iter(strategy.move(back, store.seen, store.policy, still=True).writes), None):
        if not isinstance(write, PatchObject):
            break
        store.apply(write)
    assert isinstance(found := shown(store), Shown) and found.pinned
    assert "Service checkout was" in strategy.unrestored(back, store.seen, store.policy)


# ------------------------------------------------------------------------------------ two apps, one object

KINDS: dict[str, RouterKind] = {NGINX: "ingressNginx", GATEWAY: "gatewayAPI", ISTIO: "istio"}


def led_by_another(case: str) -> Store:
    """The objects of an app before its first split, and a route that the release of another app has led since."""
    store = a_store(case)
    other = replace(store.seen, release="cart-v7", uid="another-uid")
    edit(store, OWN[case], lambda obj: obj["metadata"].setdefault("annotations", {}).update(fence(Record(), other)))
    return store


def moving(store: Store, **changes: Any) -> Record:
    changes = {"phase": Phase.CANARY, "stage": 0, "desired": 10, **changes}
    return replace(store.record, **changes)


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_a_route_that_another_release_leads_is_waited_for(case: str) -> None:
    store, strategy = led_by_another(case), Routed(KINDS[case])
    store.contenders = 0
    finding = strategy.problems(store.policy, Record(), store.seen, Neighbours())
    assert isinstance(finding, Wait) and "is led by release cart-v7" in finding.because
    # Both may have passed preflight in the same second: whoever comes second moves nothing.
    record = moving(store)
    assert "cart-v7" in strategy.unsettled(record, store.seen, store.policy)
    plan = strategy.move(record, store.seen, store.policy, still=False)
    assert not plan.moves and not any(isinstance(each, CreateObject | PatchObject) for each in plan.writes)


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_what_another_release_leads_is_not_given_back_but_by_a_restore(case: str) -> None:
    store = led_by_another(case)
    canary = Ref("Ingress", "checkout-canary")
    if case == NGINX:
        store.put({"kind": "Ingress", "metadata": sides.marked(canary.name, "cart", store.seen), "spec": {}})
    before = copy.deepcopy(store.objects)
    assert store.router.hand_back(store.policy, moving(store), store.seen) is None
    assert store.objects == before
    write = store.router.hand_back(store.policy, moving(store, origin="restore"), store.seen)
    assert isinstance(write, PatchObject) and write.ref == OWN[case]
    assert write.patch["metadata"] == {"annotations": {CLAIM_ANNOTATION: None}}


@pytest.mark.parametrize("case", [NGINX, GATEWAY, ISTIO])
def test_who_has_split_a_route_keeps_it(case: str) -> None:
    store, strategy = a_store(case), Routed(KINDS[case])
    store.prepare()
    store.steer(10)
    other = replace(store.seen, release="cart-v7", uid="another-uid")
    edit(store, OWN[case], lambda obj: obj["metadata"]["annotations"].update(fence(Record(), other)))
    writes = strategy.move(moving(store), store.seen, store.policy, still=False).writes
    assert OWN[case] in [each.ref for each in writes if isinstance(each, PatchObject)]
