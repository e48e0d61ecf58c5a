"""Why a release must not begin: each reason refused with what to do, or waited for where time may mend it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.samples import CounterSeries
from controller.accompanied import Accompanied
from controller.findings import Refusal, Wait
from controller.preflight import of_access, of_metrics, of_neighbours, of_plan, of_prepared, of_slots, of_template
from controller.release.observation import Observation
from controller.release.record import Record
from controller.release.vocabulary import HoldReason
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts
from controller.requests.looks import Neighbours, Permission
from tests.controller.builders import a_policy, a_slot, a_template, a_twin, an_observation, pods

SLOTS = ("checkout", "checkout-twin")


def before_start(**changes: Any) -> Observation:
    """Ten healthy incumbents, an empty spare slot, nothing claimed."""
    seen = replace(
        an_observation(10, 0),
        incumbent=a_slot("checkout", 10, "app:v1", role=None),
        contender=a_slot("checkout-twin", 0, "app:v0", role=None),
    )
    return replace(seen, **changes)


def found(seen: Observation, digest: str = "new", around: Neighbours | None = None) -> Any:
    """What preflight finds about the Deployments, and then what the strategy finds about them."""
    course = Accompanied(a_policy().spec)
    paused = course.paused_by(Record(), seen)
    finding = of_slots(seen, "change", digest=digest, target="checkout", paused=paused)
    return finding or course.problems(Record(), seen, around or Neighbours(), {})


def managed(manager: str, field: str) -> dict[str, Any]:
    entry = {"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {f"f:{field}": {}}}}
    return {"metadata": {"name": "checkout", "managedFields": [entry]}, "spec": {"template": a_template()}}


def test_two_deployments_at_nothing_are_told_apart_by_what_they_would_run() -> None:
    """After a promotion the app's own Deployment holds the version before: scaled up it would be the wrong one."""
    asleep = before_start(incumbent=a_slot("checkout", 0, "app:v1", role=None))
    finding = found(asleep)
    assert isinstance(finding, Refusal)
    assert "checkout (app:v1) and checkout-twin (app:v0) have 0 replicas" in finding.because
    alone = found(before_start(incumbent=a_slot("checkout", 0, "app:v1", role=None), contender=None))
    assert isinstance(alone, Refusal) and "checkout has 0 replicas" in alone.because


def test_a_healthy_app_may_begin() -> None:
    assert found(before_start()) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (before_start(incumbent=None), ["does not exist", "create it"]),
        (before_start(incumbent=a_slot("checkout", 10, paused=True, role=None)), ["paused by", "rollout resume"]),
        (before_start(contender=a_slot("checkout-twin", 3, role=None)), ["both", "scale the one"]),
        (before_start(incumbent=a_slot("checkout", 0, role=None)), ["0 replicas", "nothing to release"]),
        (before_start(incumbent=a_slot("checkout", 10, deleting=True, role=None)), ["being deleted"]),
        (
            before_start(incumbent=a_slot("checkout", 10, role=None, raw=managed("argocd-controller", "replicas"))),
            ["argocd-controller owns spec.replicas", "ignoreDifferences", "/spec/template"],
        ),
        (
            before_start(incumbent=a_slot("checkout", 10, role=None, raw=managed("helm-controller", "template"))),
            ["helm-controller owns spec.template", "ignoreDifferences"],
        ),
        (
            before_start(
                incumbent=a_slot(
                    "checkout",
                    10,
                    role=None,
                    raw={
                        "metadata": {"ownerReferences": [{"kind": "Rollout", "name": "checkout", "controller": True}]}
                    },
                )
            ),
            ["belongs to Rollout checkout"],
        ),
    ],
    ids=["w22-missing", "w29-paused", "w31-both", "w32-zero", "deleting", "w16-argo", "w16-helm", "owned"],
)
def test_what_a_person_must_mend_is_refused_with_what_to_do(seen: Observation, words: list[str]) -> None:
    finding = found(seen)
    assert isinstance(finding, Refusal)
    for word in words:
        assert word in finding.because


def test_a_slot_claimed_by_another_release_is_refused_with_the_restore() -> None:
    other = a_slot("checkout", 10)
    assert other.claim is not None
    seen = before_start(incumbent=replace(other, claim=replace(other.claim, uid="another", release="v41")))
    finding = found(seen)
    assert (
        isinstance(finding, Refusal)
        and "v41" in finding.because
        and "`nightferry restore checkout -n shop`" in finding.because
    )


def test_the_version_that_serves_already_is_refused() -> None:
    seen = before_start()
    assert seen.incumbent is not None
    finding = found(seen, digest=seen.incumbent.digest)
    assert isinstance(finding, Refusal) and "serves this version already" in finding.because


def test_w21_an_unhealthy_incumbent_is_waited_for_but_not_before_a_rollback() -> None:
    seen = before_start(incumbents=pods("checkout", 8, 2))
    finding = found(seen)
    assert isinstance(finding, Wait) and finding.reason is HoldReason.INCUMBENT_UNHEALTHY
    assert "8 of 10" in finding.because
    assert of_slots(seen, "rollback", digest="old", target="checkout") is None


def test_an_incumbent_in_another_rollout_is_waited_for() -> None:
    mixed = (*pods("checkout", 5), *(replace(pod, replica_set="checkout-other") for pod in pods("checkout", 5)))
    finding = found(before_start(incumbents=mixed))
    assert isinstance(finding, Wait) and "another rollout" in finding.because


def test_k31_an_unobserved_change_is_waited_for() -> None:
    finding = found(before_start(incumbent=a_slot("checkout", 10, role=None, observed_generation=2)))
    assert isinstance(finding, Wait) and finding.reason is HoldReason.NOT_OBSERVED


@pytest.mark.parametrize(
    ("expression", "labels", "told"),
    [
        ({"key": "tier", "operator": "In", "values": ["web", "api"]}, {"tier": "batch"}, "tier=batch"),
        ({"key": "tier", "operator": "In", "values": ["web", "api"]}, {}, "no label tier"),
        ({"key": "tier", "operator": "NotIn", "values": ["batch"]}, {"tier": "batch"}, "tier=batch"),
        ({"key": "tier", "operator": "Exists"}, {}, "no label tier"),
        ({"key": "canary", "operator": "DoesNotExist"}, {"canary": "yes"}, "canary=yes"),
        ({"key": "tier", "operator": "In", "values": ["web", "api"]}, {"tier": "api"}, ""),
        ({"key": "tier", "operator": "NotIn", "values": ["batch"]}, {}, ""),
        ({"key": "tier", "operator": "Exists"}, {"tier": "web"}, ""),
        ({"key": "canary", "operator": "DoesNotExist"}, {}, ""),
        ({"key": "nightferry.dev/slot", "operator": "Exists"}, {}, ""),
    ],
)
def test_a_template_that_an_expression_of_the_selector_leaves_out_is_refused(
    expression: dict[str, Any], labels: dict[str, str], told: str
) -> None:
    live = a_slot("checkout", 10, role=None)
    selector = {"matchLabels": {"app": "checkout"}, "matchExpressions": [expression]}
    live = replace(live, raw={**live.raw, "spec": {**live.raw["spec"], "selector": selector}})
    template = {**a_template(), "metadata": {"labels": {"app": "checkout", **labels}}}
    finding = of_template(before_start(incumbent=live), template)
    assert isinstance(finding, Refusal) if told else finding is None
    assert finding is None or told in finding.because


def test_k28_an_image_changed_by_a_webhook_is_refused() -> None:
    slot = a_slot("checkout-twin", 0, "mirror/app:v2", role="contender")
    finding = of_prepared(slot, a_template("app:v2"))
    assert isinstance(finding, Refusal) and "mirror/app:v2" in finding.because
    assert of_prepared(slot, a_template("mirror/app:v2")) is None


def test_y18_sizes_that_round_to_nothing_are_refused() -> None:
    policy = a_policy(strategy=a_twin(0, "20%")).spec
    course = Accompanied(policy)

    def of(desired: int) -> Any:
        live = a_slot("checkout", desired, "app:v1", role=None)
        return course.problems(Record(), before_start(incumbent=live), Neighbours(), {})

    assert isinstance(of(4), Refusal) and "0 of 4 pods" in of(4).because
    assert of(5) is None


def test_y19_an_observation_shorter_than_a_window_is_refused() -> None:
    policy = a_policy(observe={"atLeast": "20s", "atMost": "5m"}).spec
    finding = of_plan(policy, 30.0)
    assert isinstance(finding, Refusal) and "30 s" in finding.because
    assert of_plan(policy, 20.0) is None


def policy_object(name: str, target: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"target": {"deployment": target}}}


@pytest.mark.parametrize("target", ["checkout", "checkout-twin"])
def test_w23_two_policies_on_one_app_are_refused_naming_the_other(target: str) -> None:
    around = Neighbours(policies=[policy_object("checkout", "checkout"), policy_object("other", target)])
    finding, _ = of_neighbours("checkout", a_policy().spec, SLOTS, before_start(), around)
    assert isinstance(finding, Refusal) and "other" in finding.because


def test_w10_an_autoscaler_that_cannot_be_suspended_is_refused() -> None:
    scaler: dict[str, Any] = {
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "cpu"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "checkout"}},
    }
    finding = found(before_start(), around=Neighbours(autoscalers=[scaler]))
    assert isinstance(finding, Refusal) and "HorizontalPodAutoscaler cpu" in finding.because
    assert found(before_start(), around=Neighbours(autoscalers=[{**scaler, "apiVersion": "autoscaling/v2"}])) is None
    scaler["spec"]["scaleTargetRef"]["name"] = "another"
    assert found(before_start(), around=Neighbours(autoscalers=[scaler])) is None


def test_the_services_that_carry_the_traffic_are_noted() -> None:
    services: list[dict[str, Any]] = [
        {"metadata": {"name": "checkout"}, "spec": {"selector": {"app": "checkout"}}},
        {"metadata": {"name": "other"}, "spec": {"selector": {"app": "other"}}},
        {"metadata": {"name": "external"}, "spec": {}},
    ]
    _, notes = of_neighbours("checkout", a_policy().spec, SLOTS, before_start(), Neighbours(services=services))
    assert notes == ("traffic by share of pods through Service checkout",)
    _, none = of_neighbours("checkout", a_policy().spec, SLOTS, before_start(), Neighbours())
    assert "no Service selects these pods" in none[0]


def test_k18_a_missing_permission_is_refused_naming_verb_and_resource() -> None:
    finding = of_access([Permission("patch", "apps", "deployments")], "shop")
    assert isinstance(finding, Refusal)
    assert "patch deployments.apps" in finding.because and "rbac.yaml" in finding.because
    assert of_access([], "shop") is None


def test_p3_a_query_that_the_store_refuses_is_refused() -> None:
    finding = of_metrics("errors", Failure(FailureKind.INVALID, "parse error at char 3"), before_start())
    assert isinstance(finding, Refusal) and "parse error at char 3" in finding.because


@pytest.mark.parametrize(
    "answer",
    [
        Failure(FailureKind.UNAVAILABLE, "connection refused"),
        Counts(()),
        Counts((CounterSeries("someone-elses-pod", None, (1.0,), (5.0,)),)),
    ],
    ids=["p1-down", "p7-empty", "p25-other-pods"],
)
def test_a_store_that_does_not_know_the_pods_is_waited_for(answer: Counts | Failure) -> None:
    finding = of_metrics("errors", answer, before_start())
    assert isinstance(finding, Wait) and finding.reason is HoldReason.PREFLIGHT_BLIND


def test_p18_one_answer_for_a_serving_pod_is_enough() -> None:
    seen = before_start()
    answer = Counts((CounterSeries(seen.incumbents[0].name, None, (1.0,), (5.0,)),))
    assert of_metrics("errors", answer, seen) is None
