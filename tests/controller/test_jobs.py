"""Job gates: what a template may be, what is made of it, and what a Job's end says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from analysis.verdict import Verdict
from controller.jobs import (
    JobRefused,
    environment,
    job_ref,
    manifest,
    of_job,
    read_template,
    selector_of,
    to_start,
    unread,
)
from controller.release.instants import rfc3339
from controller.release.names import Ref
from controller.release.record import Inquiry
from controller.requests.failure import Failure, FailureKind
from policies.schema import Gate
from tests.controller.builders import NOW, UID, a_policy, a_record, an_observation

SELECTOR = (("app", "checkout"),)
ENV = {"NIGHTFERRY_APP": "checkout", "NIGHTFERRY_STAGE": "0"}


def a_gate(**job: Any) -> Gate:
    smoke = {"name": "smoke", "job": {"template": "configMap/checkout-smoke", **job}}
    return a_policy(gates=[smoke]).spec.gates[0]


def a_job(**changes: Any) -> dict[str, Any]:
    """A Job as a team writes it; a change of None leaves a key of the pod's spec out."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "smoke", "image": "smoke:v1"}], **changes.pop("pod", {})}
    spec = {"backoffLimit": 1, "template": {"metadata": {"labels": {"role": "smoke"}}, "spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {**spec, **changes.pop("spec", {})}, **changes}


def config(text: Any, key: str = "job.yaml", **more: str) -> dict[str, Any]:
    data = {key: text if isinstance(text, str) else yaml.safe_dump(text), **more}
    return {"metadata": {"name": "checkout-smoke"}, "data": data}


def refused(text: Any, **more: Any) -> str:
    with pytest.raises(JobRefused) as error:
        read_template(config(text, **more), SELECTOR, "shop")
    return str(error.value)


# ------------------------------------------------------------------------------------------------ templates


@pytest.mark.parametrize("key", ["job.yaml", "anything"])
def test_a_template_is_under_its_name_or_the_only_key(key: str) -> None:
    assert read_template(config(a_job(), key), SELECTOR, "shop") == a_job()
    assert read_template(config(a_job(), notes="hello"), SELECTOR, "shop") == a_job()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not one Job"),
        ("[1, 2]", "not one Job"),
        ("a: 1\n---\nb: 2\n", "not one Job"),
        ("a: &x 1\nb: *x\n", "anchor"),
        ("[" * 50 + "]" * 50, "deeper"),
        (a_job(kind="Pod"), "not one Job of apiVersion batch/v1"),
        (a_job(apiVersion="batch/v1beta1"), "not one Job of apiVersion batch/v1"),
        (a_job(metadata={"namespace": "kube-system"}), "metadata.namespace is kube-system"),
        (a_job(metadata=["x"]), "metadata and spec are mappings"),
        (a_job(metadata={"labels": ["x"]}), "metadata.labels is no mapping"),
        (a_job(spec={"selector": {"matchLabels": {"app": "checkout"}}}), "spec.selector"),
        (a_job(spec={"manualSelector": True}), "spec.selector"),
        (a_job(spec={"suspend": True}), "spec.suspend"),
        (a_job(spec={"template": {}}), "spec.template.spec is missing"),
        (a_job(pod={"restartPolicy": "Always"}), "restartPolicy"),
        (a_job(pod={"containers": []}), "containers is empty"),
        (a_job(pod={"containers": ["x"]}), "no list of containers"),
        (a_job(pod={"initContainers": {"name": "x"}}), "no list of containers"),
        (a_job(pod={"containers": [{"name": "x", "env": {"A": "b"}}]}), "env is no list"),
    ],
)
def test_what_is_no_job_for_a_gate_is_refused_in_words(text: Any, says: str) -> None:
    assert says in refused(text)
    assert "checkout-smoke" in refused(text)


def test_pods_of_a_job_must_not_be_pods_of_the_app() -> None:
    labels = {"metadata": {"labels": {"app": "checkout", "role": "smoke"}}}
    job = a_job(spec={"template": {**labels, "spec": a_job()["spec"]["template"]["spec"]}})
    assert "its pods would be pods of the app (app=checkout)" in refused(job)
    assert read_template(config(job), (("app", "basket"),), "shop") == job


def test_a_config_map_with_many_keys_has_to_name_the_job() -> None:
    with pytest.raises(JobRefused, match=r"2 keys and no job\.yaml"):
        read_template(config(a_job(), "one", two="x"), SELECTOR, "shop")
    with pytest.raises(JobRefused, match="0 keys"):
        read_template({"metadata": {"name": "empty"}}, SELECTOR, "shop")


# ------------------------------------------------------------------------------------------------ the Job


def test_a_job_has_our_name_owner_labels_deadline_and_environment_and_keeps_its_own() -> None:
    gate = a_gate(timeout="90s")
    assert gate.job is not None
    own = a_job(
        metadata={"generateName": "mine-", "labels": {"team": "shop"}, "ownerReferences": [{"uid": "x"}]},
        spec={"ttlSecondsAfterFinished": 1, "activeDeadlineSeconds": 3600},
        pod={"containers": [{"name": "smoke", "image": "smoke:v1",
                             "env": [{"name": "NIGHTFERRY_APP", "value": "forged"}, {"name": "URL", "value": "http://a"}]}],
             "initContainers": [{"name": "first", "image": "b"}]},
    )  # fmt: skip
    ref = job_ref(UID, "smoke", 0)
    made = manifest(own, gate, gate.job, "checkout-7", UID, ref, ENV)
    assert made["metadata"]["name"] == ref.name
    assert "generateName" not in made["metadata"]
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [UID]
    assert made["metadata"]["labels"]["team"] == "shop"
    assert made["metadata"]["labels"]["nightferry.dev/release"] == "checkout-7"
    assert made["spec"]["backoffLimit"] == 1
    assert made["spec"]["activeDeadlineSeconds"] == 90
    assert "ttlSecondsAfterFinished" not in made["spec"]
    pod = made["spec"]["template"]["spec"]
    ours = [{"name": name, "value": value} for name, value in ENV.items()]
    assert pod["containers"][0]["env"] == [{"name": "URL", "value": "http://a"}, *ours]
    assert pod["initContainers"][0]["env"] == ours
    assert own["spec"]["ttlSecondsAfterFinished"] == 1  # the template itself is not touched


def test_a_shorter_deadline_of_the_template_stays() -> None:
    gate = a_gate(timeout="90s")
    assert gate.job is not None
    made = manifest(a_job(spec={"activeDeadlineSeconds": 30}), gate, gate.job, "r", UID, Ref("Job", "x"), ENV)
    assert made["spec"]["activeDeadlineSeconds"] == 30


def test_a_job_is_named_once_for_each_release_gate_and_stage() -> None:
    names = {job_ref(uid, gate, stage).name for uid in "ab" for gate in ("x", "y" * 63) for stage in (0, 1)}
    assert len(names) == 8
    assert all(len(name) <= 63 and "--" not in name for name in names)
    assert job_ref("a", "x", 0) == job_ref("a", "x", 0)


def test_a_job_is_told_which_version_is_on_trial() -> None:
    pods = an_observation().contenders
    labelled = tuple(
        type(pod)(pod.name, pod.replica_set, labels={"pod-template-hash": f"hash-{n}"}, ready_since=float(n))
        for n, pod in enumerate((*pods, *pods))
    )
    seen = replace(an_observation(), contenders=labelled)
    told = environment("checkout", "checkout-7", a_record(stage=0), seen)
    assert told == {
        "NIGHTFERRY_APP": "checkout",
        "NIGHTFERRY_RELEASE": "checkout-7",
        "NIGHTFERRY_STAGE": "0",
        "NIGHTFERRY_CONTENDER_HASH": "hash-1",
    }
    assert selector_of(seen) == SELECTOR


# ------------------------------------------------------------------------------------------------ verdicts

REF = job_ref(UID, "smoke", 0)


def found(*conditions: dict[str, Any], age: float = 20.0, owner: str = UID, **metadata: Any) -> dict[str, Any]:
    made = {"uid": "job-uid", "creationTimestamp": rfc3339(NOW - age), "ownerReferences": [{"uid": owner}], **metadata}
    times = {"startTime": rfc3339(NOW - age), "completionTime": rfc3339(NOW)}
    return {"metadata": made, "status": {"conditions": list(conditions), **times}}


def condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"type": kind, "status": status, **more}


@pytest.mark.parametrize(
    ("job", "verdict", "word"),
    [
        (found(), Verdict.UNDECIDED, "has run for 20 s"),
        (found(condition("Complete")), Verdict.HEALTHY, "succeeded after 20 s"),
        (found(condition("Failed", reason="BackoffLimitExceeded", message="limit")), Verdict.DEGRADED, "BackoffLimit"),
        (found(condition("Failed", status="False")), Verdict.UNDECIDED, "has run"),
        (found(condition("Complete", status="Unknown")), Verdict.UNDECIDED, "has run"),
        (found(condition("FailureTarget")), Verdict.UNDECIDED, "has run"),
        (found(age=311.0), Verdict.DEGRADED, "has not succeeded within 5m"),
        (found(age=309.0), Verdict.UNDECIDED, "has run"),
        (found(condition("Complete"), age=400.0), Verdict.HEALTHY, "succeeded"),
        (found(deletionTimestamp=rfc3339(NOW)), Verdict.BLIND, "deleted before its end"),
        (found(condition("Complete"), owner="somebody else"), Verdict.BLIND, "not made for this release"),
        ({"metadata": {}, "status": {}}, Verdict.BLIND, "not made for this release"),
        ({"metadata": {"ownerReferences": [{"uid": UID}], "creationTimestamp": "soon"}}, Verdict.UNDECIDED, "0 s"),
        (found(age=-3600.0), Verdict.UNDECIDED, "has run for 0 s"),
    ],
)
def test_what_a_job_says(job: dict[str, Any], verdict: Verdict, word: str) -> None:
    gate = a_gate()
    assert gate.job is not None
    said = of_job(job, gate, gate.job, REF, UID, None, 0, NOW)
    assert (said.verdict, word in said.because) == (verdict, True), said.because
    assert said.because.isprintable()
    final = verdict in (Verdict.HEALTHY, Verdict.DEGRADED)
    assert ((said.inquiry.said if said.inquiry is not None else None) == verdict) is final


def test_somebody_elses_words_stay_on_one_line() -> None:
    gate = a_gate()
    assert gate.job is not None
    job = found(condition("Failed", reason="No", message="a\nforged line\x1b[31m" + "x" * 2000))
    said = of_job(job, gate, gate.job, REF, UID, None, 0, NOW)
    assert said.because.isprintable()
    assert len(said.because) < 400


def test_a_job_is_created_again_only_after_a_while_and_not_for_ever() -> None:
    gate = a_gate(timeout="2m")
    assert gate.job is not None
    asked = [to_start(gate, gate.job, REF, a_job(), record, before, NOW) for record, before in (
        (a_record(), None),
        (a_record(intent=f"start {REF} of gate smoke", written=NOW - 10.0), Inquiry("smoke", 0, NOW - 10.0)),
        (a_record(intent=f"start {REF} of gate smoke", written=NOW - 31.0), Inquiry("smoke", 0, NOW - 31.0)),
        (a_record(), Inquiry("smoke", 0, NOW - 121.0)),
    )]  # fmt: skip
    assert [said.write is not None for said in asked] == [True, False, True, False]
    assert [said.verdict for said in asked] == [*[Verdict.UNDECIDED] * 3, Verdict.BLIND]
    assert "WriteRefused" in asked[3].because


@pytest.mark.parametrize("kind", list(FailureKind))
def test_what_cannot_be_read_is_blindness_and_never_a_verdict(kind: FailureKind) -> None:
    assert unread(REF, Failure(kind, "no")).verdict is Verdict.BLIND
