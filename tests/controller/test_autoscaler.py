"""The autoscaler as a companion: suspended, saved, given back exactly; whatever people change meanwhile stays."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.accompanied import Accompanied
from controller.companions.autoscaler import ANNOTATION, Autoscaler
from controller.findings import Refusal
from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import PatchObject
from controller.release.record import Record, Saved
from controller.release.vocabulary import Phase
from controller.requests.looks import Neighbours
from controller.simulation.autoscaling import completed
from controller.simulation.objects import merged
from tests.controller.builders import UID, a_policy, a_record, an_observation

REF = Ref("HorizontalPodAutoscaler", "cpu")
POLICY = a_policy().spec
COMPANION = Autoscaler()
FIRM = {"scaleDown": {"stabilizationWindowSeconds": 600, "selectPolicy": "Min"}}


def a_scaler(target: str = "checkout", least: int | None = 4, behavior: Any = None, **metadata: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "maxReplicas": 20,
    }
    if least is not None:
        spec["minReplicas"] = least
    if behavior is not None:
        spec["behavior"] = behavior
    head = {"name": "cpu", "uid": "scaler", "resourceVersion": "9", **metadata}
    return completed({"apiVersion": "autoscaling/v2", "kind": REF.kind, "metadata": head, "spec": spec})


def around(*scalers: Any) -> Neighbours:
    return Neighbours(autoscalers=list(scalers))


def seen_with(scaler: Any, **changes: Any) -> Observation:
    return replace(an_observation(), objects={REF: scaler}, **changes)


def a_release(scaler: Any, phase: Phase = Phase.BATCH, **changes: Any) -> Record:
    """A release that has recorded what this autoscaler was."""
    saved = COMPANION.saved(POLICY, Record(), an_observation(), around(scaler), {})
    return replace(a_record(phase, 1 if phase is Phase.BATCH else 0), saved=saved, **changes)


def patched(scaler: Any, write: PatchObject | None) -> Any:
    """The autoscaler after a write, as the API server completes it."""
    assert write is not None and write.ref == REF
    assert write.resource_version == scaler["metadata"]["resourceVersion"]
    after = completed(merged(scaler, json.loads(json.dumps(write.patch))))
    version = str(int(scaler["metadata"]["resourceVersion"]) + 1)
    return {**after, "metadata": {**after["metadata"], "resourceVersion": version}}


def asleep(scaler: Any, record: Record) -> Any:
    return patched(scaler, COMPANION.prepare(POLICY, record, seen_with(scaler)))


def woken(scaler: Any, record: Record, *, forward: bool) -> Any:
    write = COMPANION.hand_back(POLICY, record, seen_with(scaler), forward=forward)
    after = patched(scaler, write)
    assert COMPANION.hand_back(POLICY, record, seen_with(after), forward=forward) is None
    return after


def bare(scaler: Any) -> Any:
    """Without what every write changes."""
    metadata = {key: value for key, value in scaler["metadata"].items() if key != "resourceVersion"}
    metadata["annotations"] = metadata.get("annotations") or {}
    return {**scaler, "metadata": metadata}


KINDS = [
    a_scaler(),
    a_scaler(least=None),
    a_scaler(behavior=FIRM),
    a_scaler(behavior={"scaleUp": {"selectPolicy": "Disabled"}}),
    a_scaler(behavior={key: {"selectPolicy": "Disabled"} for key in ("scaleUp", "scaleDown")}),
    a_scaler(annotations={"owner": "shop"}),
    a_scaler(target="checkout-twin"),
]
IDS = ["plain", "no-minimum", "behaviour", "one-way", "asleep-already", "annotated", "on-the-twin"]


@pytest.mark.parametrize("scaler", KINDS, ids=IDS)
def test_asleep_it_moves_nothing_and_says_what_it_was(scaler: Any) -> None:
    record = a_release(scaler)
    after = asleep(scaler, record)
    assert all(after["spec"]["behavior"][key]["selectPolicy"] == "Disabled" for key in ("scaleUp", "scaleDown"))
    assert after["spec"]["minReplicas"] == 1  # a batch may take its slot below the minimum
    assert after["spec"]["maxReplicas"] == 20
    note = json.loads(after["metadata"]["annotations"][ANNOTATION])
    assert (note["uid"], note["epoch"]) == (UID, record.epoch)
    assert COMPANION.prepare(POLICY, record, seen_with(after)) is None


@pytest.mark.parametrize("scaler", KINDS, ids=IDS)
def test_backward_it_is_what_it_was_to_the_last_field(scaler: Any) -> None:
    record = a_release(scaler)
    back = replace(record, phase=Phase.ROLLING_BACK)
    assert bare(woken(asleep(scaler, record), back, forward=False)) == bare(scaler)


@pytest.mark.parametrize("scaler", KINDS, ids=IDS)
def test_forward_it_wakes_on_the_deployment_that_serves_from_now_on(scaler: Any) -> None:
    record = a_release(scaler)
    after = woken(asleep(scaler, record), record, forward=True)
    assert after["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout-twin"}
    moved = merged(bare(scaler), {"spec": {"scaleTargetRef": {"name": "checkout-twin"}}})
    assert bare(after) == moved


@pytest.mark.parametrize("forward", [True, False])
def test_what_people_change_meanwhile_is_what_they_get_back(forward: bool) -> None:
    scaler = a_scaler(behavior=FIRM)
    record = a_release(scaler)
    edit = {
        "spec": {
            "minReplicas": 6,
            "maxReplicas": 30,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}, "scaleUp": {"selectPolicy": "Min"}},
        }
    }
    edited = merged(asleep(scaler, record), edit)
    again = asleep(edited, record)  # it stays asleep
    assert again["spec"]["minReplicas"] == 1
    after = woken(again, replace(record, phase=Phase.BATCH if forward else Phase.ROLLING_BACK), forward=forward)
    assert (after["spec"]["minReplicas"], after["spec"]["maxReplicas"]) == (6, 30)
    assert after["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60
    assert after["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Min"
    assert after["spec"]["behavior"]["scaleUp"]["selectPolicy"] == "Min"


def test_a_behaviour_that_somebody_gave_it_meanwhile_is_kept() -> None:
    scaler = a_scaler()
    record = a_release(scaler)
    edit = {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 900}}}}
    after = woken(merged(asleep(scaler, record), edit), record, forward=True)
    assert after["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 900
    assert after["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Max"


def test_woken_by_somebody_before_the_end_it_is_left_as_they_set_it() -> None:
    scaler = a_scaler(behavior=FIRM)
    record = a_release(scaler)
    edit = {"spec": {"behavior": {key: {"selectPolicy": "Max"} for key in ("scaleUp", "scaleDown")}, "minReplicas": 7}}
    after = woken(merged(asleep(scaler, record), edit), record, forward=True)
    assert after["spec"]["minReplicas"] == 7
    assert after["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Max"


# -------------------------------------------------------------------------------------------------- reversals


def test_setting_it_back_to_what_it_was_is_a_reversal_and_a_new_value_is_a_wish() -> None:
    scaler = a_scaler(behavior=FIRM)
    record = a_release(scaler)
    sleeping = asleep(scaler, record)

    def noticed(spec: Any, **of: Any) -> tuple[str, ...]:
        return COMPANION.noticed(record, seen_with({**merged(sleeping, {"spec": spec}), **of}))

    assert noticed({}) == ()
    assert noticed({"minReplicas": 4}) == ("HorizontalPodAutoscaler cpu@10",)
    assert noticed({"behavior": {"scaleDown": {"selectPolicy": "Min"}}}) == ("HorizontalPodAutoscaler cpu@10",)
    assert noticed({"minReplicas": 5}) == ()
    assert noticed({"behavior": {"scaleDown": {"selectPolicy": "Max"}}}) == ()
    assert noticed({"maxReplicas": 40}) == ()
    replaced = {**scaler, "metadata": {**scaler["metadata"], "resourceVersion": "11"}}
    assert COMPANION.noticed(record, seen_with(replaced)) == ("HorizontalPodAutoscaler cpu@11",)
    back = replace(record, phase=Phase.ROLLING_BACK)
    assert COMPANION.noticed(back, seen_with(replaced)) == ()


def test_one_that_was_made_anew_is_suspended_as_it_is_now() -> None:
    record = a_release(a_scaler())
    other = a_scaler(least=7, uid="another")
    assert COMPANION.noticed(record, seen_with(other)) == ()
    after = woken(asleep(other, record), record, forward=True)
    assert after["spec"]["minReplicas"] == 7
    assert after["spec"]["scaleTargetRef"]["name"] == "checkout-twin"


def test_one_that_is_gone_or_leads_elsewhere_needs_nothing() -> None:
    record = a_release(a_scaler())
    for there in (None, a_scaler(target="search")):
        assert COMPANION.prepare(POLICY, record, seen_with(there)) is None
        assert COMPANION.hand_back(POLICY, record, seen_with(there), forward=True) is None


def test_several_are_suspended_and_woken_one_after_the_other() -> None:
    one, two = a_scaler(), a_scaler(name="memory", uid="second")
    saved = COMPANION.saved(POLICY, Record(), an_observation(), around(one, two), {})
    record = replace(a_record(Phase.BATCH, 1), saved=saved)
    other = Ref("HorizontalPodAutoscaler", "memory")
    assert COMPANION.reads(POLICY, record) == (REF, other)
    first = asleep(one, record)
    seen = replace(an_observation(), objects={REF: first, other: two})
    write = COMPANION.prepare(POLICY, record, seen)
    assert write is not None and write.ref == other


# ------------------------------------------------------------------------------------- records lost and fenced


def test_a_new_epoch_is_stamped_so_that_an_older_writer_loses_its_version() -> None:
    scaler = a_scaler()
    record = a_release(scaler)
    sleeping = asleep(scaler, record)
    later = asleep(sleeping, replace(record, epoch=record.epoch + 1))
    assert later["metadata"]["resourceVersion"] != sleeping["metadata"]["resourceVersion"]
    assert bare(woken(later, replace(record, phase=Phase.ROLLING_BACK), forward=False)) == bare(scaler)


def test_without_a_record_the_autoscaler_itself_says_what_it_was() -> None:
    scaler = a_scaler(behavior=FIRM)
    sleeping = asleep(scaler, a_release(scaler))
    # Another release, which knows nothing of the first one's record.
    saved = COMPANION.saved(POLICY, Record(), an_observation(), around(sleeping), {})
    record = replace(a_record(Phase.ROLLING_BACK, 0), saved=saved)
    assert bare(woken(sleeping, record, forward=False)) == bare(scaler)


def test_without_the_annotation_the_record_says_what_it_was() -> None:
    scaler = a_scaler(behavior=FIRM)
    record = a_release(scaler, Phase.ROLLING_BACK)
    stripped = merged(asleep(scaler, record), {"metadata": {"annotations": {ANNOTATION: None}}})
    assert bare(woken(stripped, record, forward=False)) == bare(scaler)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"uid":"u","epoch":1,"fields":{}}', '{"uid":1,"epoch":"x"}', "nonsense"]
)
def test_an_annotation_that_we_could_not_have_written_is_none(text: str) -> None:
    scaler = a_scaler()
    record = a_release(scaler)
    broken = merged(asleep(scaler, record), {"metadata": {"annotations": {ANNOTATION: text}}})
    after = woken(asleep(broken, record), record, forward=False)
    assert bare(after) == bare(scaler)


# ------------------------------------------------------------------------------------------------- preflight


def test_what_is_saved_is_told_by_the_path_of_each_field() -> None:
    (saved,) = COMPANION.saved(POLICY, Record(), an_observation(), around(a_scaler()), {})
    assert (saved.kind, saved.name, saved.uid) == (REF.kind, "cpu", "scaler")
    fields = json.loads(saved.fields)
    assert fields == {
        "spec.behavior": None,
        "spec.minReplicas": 4,
        "spec.scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
    }


def problem(scaler: Any) -> str:
    finding = COMPANION.problems(POLICY, Record(), an_observation(), around(scaler), {})
    return finding.because if isinstance(finding, Refusal) else ""


def test_an_autoscaler_of_another_app_is_nobodys_business() -> None:
    assert problem(a_scaler()) == ""
    assert problem({**a_scaler(target="search"), "apiVersion": "autoscaling/v1"}) == ""
    assert COMPANION.saved(POLICY, Record(), an_observation(), around(a_scaler(target="search")), {}) == ()


def test_a_server_that_cannot_suspend_one_is_refused() -> None:
    told = problem({**a_scaler(), "apiVersion": "autoscaling/v1"})
    assert "HorizontalPodAutoscaler cpu" in told and "autoscaling/v1" in told


def test_one_that_keda_owns_is_refused_with_the_pause() -> None:
    owner = {"kind": "ScaledObject", "name": "checkout", "controller": True}
    told = problem(a_scaler(ownerReferences=[owner]))
    assert "kubectl annotate scaledobject checkout autoscaling.keda.sh/paused=true" in told
    assert "belongs to Robot r2" in problem(a_scaler(ownerReferences=[{**owner, "kind": "Robot", "name": "r2"}]))


@pytest.mark.parametrize("field", ["behavior", "minReplicas", "scaleTargetRef"])
def test_one_whose_fields_a_gitops_tool_owns_is_refused_with_the_snippet(field: str) -> None:
    entry = {"manager": "argocd-controller", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {f"f:{field}": {}}}}
    scaler = a_scaler(managedFields=[entry])
    scaler.pop("kind")  # as it stands in a list
    told = problem(scaler)
    assert f"owns spec.{field} of HorizontalPodAutoscaler cpu" in told
    assert "jsonPointers: [/spec/behavior, /spec/minReplicas, /spec/scaleTargetRef]" in told


def test_strategies_that_move_two_deployments_take_it_along_and_others_do_not() -> None:
    assert COMPANION.accompanies(POLICY)
    rolling = a_policy(strategy={"rolling": {}}).spec
    assert not COMPANION.accompanies(rolling)


def test_a_release_that_borrowed_one_ends_with_giving_it_back() -> None:
    course, scaler = Accompanied(POLICY), a_scaler()
    record = a_release(scaler)
    assert [stage.name for stage in course.stages(record)][-2:] == ["", "hand back"]
    assert not course.stages(record)[-1].gated
    assert len(course.stages(record)) == len(course.stages(replace(record, saved=()))) + 1
    last = replace(record, stage=len(course.stages(record)) - 1, stages=len(course.stages(record)) - 1)
    sleeping = asleep(scaler, record)
    done = replace(an_observation(0, 10), objects={REF: sleeping})
    assert "not given back yet" in course.unsettled(last, done)
    (write,) = course.move(last, done, still=False).writes[-1:]
    assert isinstance(write, PatchObject) and write.ref == REF
    assert course.unsettled(last, replace(done, objects={REF: patched(sleeping, write)})) == ""
    # As long as capacity is not where it shall stay it sleeps on.
    moving = replace(an_observation(1, 9), objects={REF: sleeping})
    assert not [each for each in course.move(last, moving, still=False).writes if isinstance(each, PatchObject)]


def test_it_sleeps_on_while_a_batch_is_watched_and_while_a_person_holds_the_last_stage() -> None:
    course, scaler = Accompanied(POLICY), a_scaler()
    record = a_release(scaler)
    sleeping = asleep(scaler, record)
    watched = replace(an_observation(7, 3), objects={REF: sleeping})
    assert course.unsettled(record, watched) == ""
    assert course.move(record, watched, still=False).writes == ()
    last = replace(record, stage=5, stages=5)
    done = replace(an_observation(0, 10), objects={REF: sleeping})
    assert not [each for each in course.move(last, done, still=True).writes if isinstance(each, PatchObject)]


def test_in_the_last_stage_whoever_scales_the_contender_sets_d() -> None:
    course, scaler = Accompanied(POLICY), a_scaler()
    record = a_release(scaler)
    last = replace(record, stage=5, stages=5)
    seen = seen_with(scaler)
    assert seen.contender is not None and seen.contender.claim is not None
    scaled = replace(seen, contender=replace(seen.contender, replicas=12))
    assert course.noticed(last, scaled) == (12, ())
    assert course.noticed(replace(last, stage=4), scaled)[1] != ()


def test_saved_fields_of_others_are_left_to_them() -> None:
    record = replace(a_record(), saved=(Saved("Service", "checkout", "u", "{}"),))
    assert COMPANION.reads(POLICY, record) == ()
    assert COMPANION.hand_back(POLICY, record, an_observation(), forward=True) is None
