"""Gates that ask outside the metric store, and settings that are released, on a real control plane.

The Jobs are made, run, failed and collected by the real controllers; the API server keeps the copies from being
changed; the endpoint of the webhook is a server of the story's own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest

from controller.jobs import GATE_LABEL, RELEASE_LABEL
from tests.cluster.bed.api import ApiError, Object
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import CONFIGURATION
from tests.cluster.stories.story import APP, LONGER, POLICY, TWIN, Story
from tests.controller.adapters.server import Asked, Line, obj, serving

SETTINGS = "checkout-settings"
SECRET = "a-secret-of-the-story"
SUCCEEDS_WITHIN = 120
READS = {"spec": {"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": SETTINGS}}]}]}}


def a_smoke_test(image: str, *, backoff: int = 0) -> Object:
    job = f"""\
apiVersion: batch/v1
kind: Job
spec:
  backoffLimit: {backoff}
  template:
    metadata: {{labels: {{role: smoke-test}}}}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
        - {{name: smoke, image: "registry.test/smoke:{image}"}}
"""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout-smoke"}, "data": {"job.yaml": job}}


def settings(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SETTINGS}, "data": data}


def gates(*more: Object) -> list[Object]:
    return [*POLICY["gates"], *more]


def smoke(timeout: int) -> Object:
    """The gate; its Job has so many seconds."""
    job = {"template": "configMap/checkout-smoke", "at": "everyStage", "timeout": f"{timeout}s"}
    return {"name": "smoke", "job": job}


def with_time_for_a_job(timeout: int) -> Object:
    """A policy with this gate, and beside it one that decides soon: what a stage takes is what its Job takes."""
    soon = {**POLICY["gates"][0], "tolerate": "20pp"}
    return {
        "gates": [soon, smoke(timeout)],
        "observe": {"atMost": f"{timeout + 120}s"},
        "deadline": {"batch": "3m", "release": "15m"},
    }


def jobs(story: Story) -> dict[str, Object]:
    """The Jobs of the namespace by the stage that they were told."""
    found = story.site.api.read(f"/apis/batch/v1/namespaces/{story.site.name}/jobs")["items"]
    told = {}
    for job in found:
        env = {each["name"]: each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        told[env["NIGHTFERRY_STAGE"]] = job
    assert len(told) == len(found), "two Jobs in one stage"
    return told


def ends_of(job: Object) -> list[str]:
    conditions = (job.get("status") or {}).get("conditions") or []
    return sorted(one["type"] for one in conditions if one["status"] == "True")


def config_map(story: Story, name: str) -> Object:
    return story.site.api.read(story.site.path("configmaps", name))


def read_by(story: Story, deployment: str) -> str:
    """The ConfigMap that a Deployment's template names."""
    container = story.site.deployment(deployment)["spec"]["template"]["spec"]["containers"][0]
    return str(container["envFrom"][0]["configMapRef"]["name"])


def test_a_smoke_test_runs_once_in_each_stage_even_if_the_controller_is_killed_meanwhile(story: Story) -> None:
    story.site.apply(a_smoke_test("v1-crash2-exit0"))
    story.opens(policy=with_time_for_a_job(60))
    assert story.controller is not None
    release = story.asks_for("v2")
    eventually(lambda: jobs(story), within=60, what="the first smoke test is started", every=0.05)
    story.controller.kill()
    story.controller.start()
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    found = jobs(story)
    assert {stage: ends_of(job) for stage, job in found.items()} == {stage: ["Complete"] for stage in ("0", "1", "2")}
    replica_sets = {str(pod["metadata"]["labels"]["pod-template-hash"]) for pod in story.site.pods()
                    if "pod-template-hash" in pod["metadata"]["labels"]}  # fmt: skip
    for job in found.values():
        assert job["metadata"]["labels"][RELEASE_LABEL] == release
        assert job["metadata"]["labels"][GATE_LABEL] == "smoke"
        assert job["spec"]["activeDeadlineSeconds"] == 60
        env = {each["name"]: each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert (env["NIGHTFERRY_APP"], env["NIGHTFERRY_RELEASE"]) == (APP, release)
        assert env["NIGHTFERRY_CONTENDER_HASH"] in replica_sets
    story.judge()
    story.judge_end(release, "Succeeded", tag="v2")
    # The Jobs belong to the Release: the collector of the cluster takes them with it.
    story.person.delete(story.release_path(release))
    eventually(lambda: not jobs(story), within=30, what="the Jobs go with their release")


# Whose Job runs out of time is told by the Job controller, and by ourselves where that is late.
@pytest.mark.parametrize(
    ("image", "timeout", "words"),
    [("v1-crash1", 60, ["BackoffLimitExceeded"]), ("v1", 15, ["DeadlineExceeded", "has not succeeded within 15s"])],
    ids=["fails", "hangs"],
)
def test_a_smoke_test_that_fails_or_hangs_turns_the_release_back(
    story: Story, image: str, timeout: int, words: list[str]
) -> None:
    story.site.apply(a_smoke_test(image))
    story.opens(policy=with_time_for_a_job(timeout))
    release = story.asks_for("v2")
    end = story.releases.await_phase(release, "RolledBack", within=SUCCEEDS_WITHIN)
    assert end.cause == "GateDegraded"
    assert any(word in end.because for word in words), end.because
    assert story.releases.highest_stage(release) == 0
    assert list(jobs(story)) == ["0"]
    story.judge()
    story.judge_end(release, "RolledBack", tag="v1")


def test_a_job_that_the_api_server_refuses_is_said_and_waited_for(story: Story) -> None:
    wrong = a_smoke_test("v1-crash1-exit0")
    wrong["data"]["job.yaml"] = wrong["data"]["job.yaml"].replace("backoffLimit: 0", "backoffLimit: -1")
    story.site.apply(wrong)
    # A stage that is over before anybody says so would go on.
    story.opens(policy={"observe": {"atMost": "2m"}, "gates": gates(smoke(15)), "onBlind": {"hold": "40s"}})
    release = story.asks_for("v2")
    # On a slow machine it is blind before that, for want of a first window.
    story.releases.await_hold(release, "Blind", within=90, saying="could not be created for 15s")

    def refused() -> list[Object]:
        events = story.site.api.read(story.site.path("events"))["items"]
        return [one for one in events if one["reason"] == "WriteRefused" and "backoffLimit" in one["message"]]

    eventually(refused, within=30, what="an event says what the API server refuses")
    story.releases.await_phase(release, "RolledBack", within=90)
    story.judge()


def test_an_endpoint_is_asked_once_a_stage_and_its_no_turns_back(story: Story) -> None:
    refuses: list[bool] = []

    def answer(asked: Asked, line: Line) -> None:
        no = asked.json["stage"] >= 1
        refuses.append(no)
        obj({"verdict": "degraded", "because": "a cent is missing"} if no else {"verdict": "healthy"})(asked, line)

    qa: Object = {"name": "qa", "webhook": {"endpoint": "qa-room", "at": "everyStage", "timeout": "15s"}}
    with serving(answer) as server:
        story.opens(policy={**LONGER, "gates": gates(qa)}, controlled=False)
        folder = story.scratch / "controller"
        folder.mkdir()
        (folder / "secret").write_text(SECRET)
        endpoint = f'endpoints:\n  - {{{{name: qa-room, url: "{server.url}/gate", secretFile: secret}}}}\n'
        story.starts_controller(template=CONFIGURATION + endpoint)
        release = story.asks_for("v2")
        end = story.releases.await_phase(release, "RolledBack", within=SUCCEEDS_WITHIN)
    assert end.cause == "GateDegraded"
    assert "endpoint qa-room says degraded: a cent is missing" in end.because
    assert story.releases.highest_stage(release) == 1
    assert refuses == [False, True]
    for asked in server.asked:
        signed = b".".join(part.encode() if isinstance(part, str) else part for part in (
            asked.headers["nightferry-id"], asked.headers["nightferry-timestamp"], asked.body))  # fmt: skip
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert asked.headers["nightferry-signature"] == f"v1={expected}"
        assert (asked.json["release"], asked.json["app"]) == (release, APP)
    assert story.controller is not None and SECRET not in story.controller.log()
    story.judge()
    story.judge_end(release, "RolledBack", tag="v1")


# The edge counts requests by version: no series has a pod. What is compared is one number with one number, and every
# verdict says that it assumes how pods differ.
@pytest.mark.parametrize(("image", "phase"), [("v2", "Succeeded"), ("v2-errors20", "RolledBack")])
def test_counts_that_know_versions_but_no_pods_decide(story: Story, image: str, phase: str) -> None:
    edge: Object = {
        "name": "edge",
        "errorRatio": {"errors": 'edge_requests_total{code=~"5.."}', "requests": "edge_requests_total"},
        "by": {"label": "version", "incumbent": "$incumbentHash", "contender": "$contenderHash"},
        "tolerate": "2pp",
    }
    story.opens(policy={"strategy": {"twin": {"batches": 1}}, "gates": [edge]})
    release = story.asks_for(image)
    end = story.releases.await_phase(release, phase, within=SUCCEEDS_WITHIN)
    counted = story.bed.query(f'edge_requests_total{{namespace="{story.site.name}"}}')
    assert counted and not [one for one in counted if "pod" in one["metric"]]
    said = [one for seen in story.releases.of(release) for one in seen.status.get("verdicts") or []]
    assert {one["gate"] for one in said} == {"edge"}
    assert any("assumed" in one["evidence"]["guarantee"] for one in said if one.get("evidence"))
    if phase == "RolledBack":
        assert end.cause == "GateDegraded"
    story.judge_end(release, phase, tag=image if phase == "Succeeded" else "v1")
    story.judge()


def test_settings_are_released_with_the_app_alone_and_back(story: Story) -> None:
    story.site.apply(settings(LEVEL="info"))
    story.opens(policy={"config": [f"configMap/{SETTINGS}"], "strategy": {"twin": {"batches": 1}}})
    first = story.asks_for("v2", template=READS)
    story.releases.await_phase(first, "Succeeded", within=SUCCEEDS_WITHIN)
    copy = read_by(story, TWIN)
    assert copy.startswith(f"{SETTINGS}-")
    assert config_map(story, copy)["data"] == {"LEVEL": "info"}
    with pytest.raises(ApiError, match="immutable"):
        story.site.api.patch(story.site.path("configmaps", copy), {"data": {"LEVEL": "forged"}})

    # A change of the settings alone is a release; the version that serves keeps its own copy meanwhile.
    _edited(story, "debug")
    second = story.creates_release(config="live")
    story.releases.await_phase(second, "Succeeded", within=SUCCEEDS_WITHIN)
    newer = read_by(story, APP)
    assert newer not in (copy, SETTINGS)
    assert (config_map(story, newer)["data"], config_map(story, copy)["data"]) == (
        {"LEVEL": "debug"},
        {"LEVEL": "info"},
    )
    assert read_by(story, TWIN) == copy

    # Settings with a version that fails go away with it.
    _edited(story, "trace")
    third = story.asks_for("v3-errors20")
    story.releases.await_phase(third, "RolledBack", within=SUCCEEDS_WITHIN)
    assert read_by(story, APP) == newer
    story.judge()
    story.await_serving("v2", story.desired)
    story.await_unclaimed()

    again = story.creates_release(config="live")
    eventually(_is_named(story, again), within=60, what="a copy is made for the fourth release")
    story.patches_release(again, {"abort": {"reason": "enough"}})
    story.releases.await_phase(again, "RolledBack", "Cancelled", within=60)
    story.await_unclaimed()
    # Whatever a Deployment or a ReplicaSet of the app names is there.
    named = [read_by(story, name) for name in (APP, TWIN)]
    assert all(config_map(story, name)["immutable"] for name in named)


def _edited(story: Story, level: str) -> None:
    story.site.api.patch(story.site.path("configmaps", SETTINGS), {"data": {"LEVEL": level}})


def _is_named(story: Story, release: str) -> Callable[[], Any]:
    return lambda: story.releases.last(release).status.get("record", {}).get("saved")
