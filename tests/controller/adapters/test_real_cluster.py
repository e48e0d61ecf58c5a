"""The shell on a real API server, as the controller's own identity with the shipped rights."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from controller.baseline import to_object
from controller.cluster.baselines import Baselines
from controller.cluster.cache import Cache, Kind
from controller.cluster.callers import Callers
from controller.cluster.connection import Connection
from controller.cluster.failures import Failed
from controller.cluster.login import connect
from controller.cluster.reflector import Reflector
from controller.cluster.shell import Cluster
from controller.policy_files import PolicyFiles
from controller.preflight import PERMISSIONS
from controller.release.names import CLAIM_ANNOTATION, Ref
from controller.release.names import Kind as ObjectKind
from controller.release.observation import Claim, PodList
from controller.release.plan import CreateObject, CreateSlot, DeleteObject, PatchObject, PatchSlot
from controller.release.vocabulary import Phase
from controller.report import Report
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import (
    Neighbours,
    ReadNeighbours,
    ReadObject,
    ReadPods,
    ReadPolicy,
    ReadRelease,
    ReadReleases,
    ReadReplicaSets,
    ReadSlot,
    ReadTrain,
    ReviewAccess,
)
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    WriteEvent,
    WriteObject,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
    WriteTrainStatus,
)
from controller.slots import slot_state, writer_of
from tests.cluster.bed.api import ApiError
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.identities import ADMIN, CONTROLLER, STRANGER
from tests.cluster.bed.site import Site, app_deployment
from tests.cluster.bed.waiting import eventually
from tests.controller.adapters.builders import RealClock
from tests.controller.learning.builders import a_baseline
from tests.controller.process.test_policy_files import TONIGHT, a_train, written

pytestmark = pytest.mark.cluster

CLAIM = Claim("checkout-1", "uid-1", "contender", Phase.BATCH, epoch=4, replicas=1, desired=2)
GROUP = "/apis/nightferry.dev/v1alpha1"
POLICY = {
    "apiVersion": "nightferry.dev/v1alpha1",
    "kind": "ReleasePolicy",
    "metadata": {"name": "checkout"},
    "spec": {
        "target": {"deployment": "checkout"},
        "strategy": {"twin": {}},
        "gates": [
            {"name": "errors", "errorRatio": {"errors": 'requests_total{code="500"}', "requests": "requests_total"}}
        ],
    },
}
RELEASE = {
    "apiVersion": "nightferry.dev/v1alpha1",
    "kind": "Release",
    "metadata": {"generateName": "checkout-"},
    "spec": {"policy": "checkout", "images": {"app": "registry.test/checkout:v2"}},
}


def slot_manifest(name: str = "checkout-twin", replicas: int = 0) -> dict[str, Any]:
    manifest = app_deployment(
        name, image="registry.test/checkout:v1", replicas=replicas, env={"A": "1"}, node_selector=None
    )
    return {**manifest, "spec": {**manifest["spec"], "paused": True}}


def found(answer: Answer) -> Any:
    assert not isinstance(answer, Failure), answer
    return answer


def kind_of(answer: Answer) -> FailureKind:
    assert isinstance(answer, Failure), answer
    return answer.kind


def fresh(cluster: Cluster, site: Site, name: str = "checkout-twin") -> Any:
    return found(cluster.perform(ReadSlot(site.name, name, fresh=True)))


def settled(cluster: Cluster, site: Site, name: str = "checkout-twin") -> Any:
    """The slot once the Deployment controller has written its status, so that nobody writes in between."""

    def is_observed() -> Any:
        seen = slot_state(fresh(cluster, site, name))
        return seen.raw if seen.observed and seen.raw["status"].get("conditions") else None

    return eventually(is_observed, within=10, what="the slot is observed")


def patch(site: Site, version: str, **fields: Any) -> WriteSlot:
    return WriteSlot(site.name, PatchSlot("checkout-twin", version, **{"claim": CLAIM, "summary": "s", **fields}))


@pytest.fixture
def twin(cluster: Cluster, site: Site) -> Any:
    """A slot of our own, without pods."""
    assert kind_of(cluster.perform(ReadSlot(site.name, "checkout-twin", fresh=True))) is FailureKind.ABSENT
    found(cluster.perform(WriteSlot(site.name, CreateSlot("checkout-twin", slot_manifest(), "s"))))
    return settled(cluster, site)


TEMPLATE = {
    "metadata": {"labels": {"app": "checkout-twin"}},
    "spec": {"containers": [{"name": "web", "image": "registry.test/checkout:v9"}], "terminationGracePeriodSeconds": 7},
}


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["replicas", "template"])
def test_k2_a_slot_patch_decided_on_an_older_version_writes_nothing(
    cluster: Cluster, site: Site, twin: Any, template: Any
) -> None:
    site.api.patch(site.path("deployments", "checkout-twin"), {"metadata": {"annotations": {"someone": "was here"}}})
    before = settled(cluster, site)
    answer = cluster.perform(patch(site, twin["metadata"]["resourceVersion"], replicas=2, template=template))
    assert kind_of(answer) is FailureKind.CONFLICT
    after = fresh(cluster, site)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["spec"] == before["spec"]
    assert CLAIM_ANNOTATION not in after["metadata"]["annotations"]


def test_a_slot_patch_sets_replicas_and_claim_together_and_touches_nothing_else(
    cluster: Cluster, site: Site, twin: Any
) -> None:
    written = found(cluster.perform(patch(site, twin["metadata"]["resourceVersion"], replicas=1)))
    state = slot_state(written)
    assert (state.replicas, state.claim) == (1, CLAIM)
    assert {**written["spec"], "replicas": 0} == twin["spec"]
    assert any(one["manager"] == "nightferry" for one in written["metadata"]["managedFields"])
    assert writer_of(written, "spec", "replicas") == "someone"  # nobody but us


def test_a_claim_is_removed_and_removing_none_is_no_fault(cluster: Cluster, site: Site, twin: Any) -> None:
    # A paused Deployment of our own has no annotations at all: where a JSON patch would fail.
    assert "annotations" not in twin["metadata"]
    untouched = found(cluster.perform(patch(site, twin["metadata"]["resourceVersion"], claim=None)))
    assert CLAIM_ANNOTATION not in untouched["metadata"].get("annotations", {})
    found(cluster.perform(patch(site, settled(cluster, site)["metadata"]["resourceVersion"])))
    claimed = settled(cluster, site)
    assert slot_state(claimed).claim == CLAIM
    freed = found(cluster.perform(patch(site, claimed["metadata"]["resourceVersion"], claim=None)))
    assert slot_state(freed).claim is None


def test_a_template_replaces_the_old_one_whole_with_claim_and_replicas_in_one_write(
    cluster: Cluster, site: Site, twin: Any
) -> None:
    version = twin["metadata"]["resourceVersion"]
    written = found(cluster.perform(patch(site, version, template=TEMPLATE, replicas=1, min_ready=2.5)))
    assert slot_state(written).claim == CLAIM
    assert (written["spec"]["replicas"], written["spec"]["minReadySeconds"]) == (1, 3)
    (container,) = written["spec"]["template"]["spec"]["containers"]
    assert (container["name"], container["image"]) == ("web", "registry.test/checkout:v9")
    assert "env" not in container
    assert "ports" not in container
    assert written["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 7
    assert "$patch" not in msgspec.json.encode(written).decode()
    assert written["spec"]["selector"] == twin["spec"]["selector"]


def test_a_refused_content_is_told_in_the_servers_words(cluster: Cluster, site: Site, twin: Any) -> None:
    version = twin["metadata"]["resourceVersion"]
    answer = cluster.perform(patch(site, version, template={"metadata": {"labels": {"app": "other"}}, "spec": {}}))
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.INVALID
    assert "selector" in answer.message
    assert kind_of(cluster.perform(WriteSlot(site.name, CreateSlot("x", slot_manifest(), "s")))) is FailureKind.EXISTS


def test_a_quota_is_a_refusal_and_not_a_missing_right(cluster: Cluster, site: Site, twin: Any) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"count/deployments.apps": "1"}}}
    stored = f"/api/v1/namespaces/{site.name}/resourcequotas"
    site.api.create(stored, quota)
    third = site.path("deployments")

    def is_refused() -> bool:
        # The server's copy of what the quota has counted comes a moment after the quota's own status.
        try:
            site.api.send("POST", third, body=slot_manifest("third"), query={"dryRun": "All"})
        except ApiError as error:
            return error.status == 403
        return False

    eventually(is_refused, within=15, what="the quota counts")
    fresh(cluster, site)  # nothing is written on the strength of a read from before the wait
    answer = cluster.perform(WriteSlot(site.name, CreateSlot("third", slot_manifest("third"), "s")))
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.INVALID
    assert "exceeded quota: small" in answer.message


@pytest.fixture
def record(cluster: Cluster, site: Site) -> Any:
    """A release of the shop, created by the controller."""
    return found(cluster.perform(CreateRelease(site.name, RELEASE)))


def test_k1_a_record_written_on_an_older_version_writes_nothing(cluster: Cluster, site: Site, record: Any) -> None:
    name, version = record["metadata"]["name"], record["metadata"]["resourceVersion"]
    written = found(cluster.perform(WriteRecord(site.name, name, version, {"phase": "Queued", "record": {"a": 1}})))
    assert written["status"] == {"phase": "Queued", "record": {"a": 1}}
    assert kind_of(cluster.perform(WriteRecord(site.name, name, version, {"phase": "Batch"}))) is FailureKind.CONFLICT
    assert found(cluster.perform(ReadRelease(site.name, name)))["status"] == written["status"]
    # The status is a resource of its own: the spec stays people's.
    assert written["spec"] == RELEASE["spec"]
    version = written["metadata"]["resourceVersion"]
    cleared = found(cluster.perform(WriteRecord(site.name, name, version, {"record": None})))
    assert cleared["status"] == {"phase": "Queued"}


def test_a_policy_status_is_guarded_too(bed: Bed, cluster: Cluster, site: Site) -> None:
    stored = bed.admin.create(f"{GROUP}/namespaces/{site.name}/releasepolicies", POLICY)
    version = stored["metadata"]["resourceVersion"]
    status = {"observedGeneration": 1, "because": "all is well"}
    written = found(cluster.perform(WritePolicyStatus(site.name, "checkout", version, status)))
    assert written["status"] == status
    assert kind_of(cluster.perform(WritePolicyStatus(site.name, "checkout", version, {}))) is FailureKind.CONFLICT
    eventually(
        lambda: not isinstance(cluster.perform(ReadPolicy(site.name, "checkout")), Failure), within=5, what="seen"
    )


def test_our_own_writes_are_read_at_once_and_a_deleted_release_is_gone(
    cluster: Cluster, site: Site, record: Any
) -> None:
    name, uid = record["metadata"]["name"], record["metadata"]["uid"]
    for is_fresh in (False, True):
        (one,) = found(cluster.perform(ReadReleases(site.name, "checkout", fresh=is_fresh)))
        assert one["metadata"]["uid"] == uid
        assert found(cluster.perform(ReadReleases(site.name, "payments", fresh=is_fresh))) == []
    assert kind_of(cluster.perform(DeleteRelease(site.name, name, "another"))) is FailureKind.CONFLICT
    assert cluster.perform(DeleteRelease(site.name, name, uid)) is None
    assert cluster.perform(DeleteRelease(site.name, name, uid)) is None
    assert kind_of(cluster.perform(ReadRelease(site.name, name))) is FailureKind.ABSENT


def test_an_event_is_written_once(cluster: Cluster, site: Site, record: Any) -> None:
    metadata = record["metadata"]
    event = WriteEvent(
        site.name, f"{metadata['name']}.1", metadata["name"], metadata["uid"], "Normal", "Queued", "waits", time.time()
    )
    assert cluster.perform(event) is None
    assert cluster.perform(event) is None
    events = site.api.read(site.path("events"))["items"]
    (ours,) = [one for one in events if one["involvedObject"]["kind"] == "Release"]
    assert (ours["reason"], ours["type"], ours["source"]) == ("Queued", "Normal", {"component": "nightferry"})


def test_pods_in_the_cache_and_pods_of_a_quorum_read_are_the_same(cluster: Cluster, site: Site) -> None:
    site.deploy(replicas=3)
    labels = (("app", "checkout"),)

    def lists() -> tuple[PodList, PodList]:
        quorum, cached = (cluster.perform(ReadPods(site.name, labels, fresh=fresh)) for fresh in (True, False))
        assert isinstance(quorum, PodList)
        assert isinstance(cached, PodList)
        return quorum, cached

    def agree() -> bool:
        quorum, cached = lists()
        return set(map(repr, quorum.items)) == set(map(repr, cached.items))

    eventually(agree, within=10, what="the cache has caught up")
    pods = lists()[0].items
    assert len(pods) == 3
    (owner,) = {pod.replica_set for pod in pods}
    assert all(pod.name.startswith(f"{owner}-") for pod in pods)
    assert all(pod.available(time.time() + 1, min_ready=0) for pod in pods)
    victim = pods[0].name
    before = time.time()
    site.kill_container(victim)

    def restarted() -> Any:
        (pod,) = [pod for pod in lists()[1].items if pod.name == victim]
        return pod if pod.restarts == 1 and pod.ready and pod.restarted_at else None

    pod = eventually(restarted, within=15, what="the restart is in the cache")
    assert all(before - 2 <= at <= time.time() + 2 for at in pod.restarted_at)


# The kubelet fails a pod where its node runs out of memory or disk, or is shut down. The object stays for days.
def test_a_pod_that_was_evicted_is_counted_no_more_than_its_replica_set_counts_it(cluster: Cluster, site: Site) -> None:
    site.deploy(replicas=3)
    labels = (("app", "checkout"),)

    def names() -> list[set[str]]:
        answers = [cluster.perform(ReadPods(site.name, labels, fresh=fresh)) for fresh in (True, False)]
        return [{pod.name for pod in one.items if pod.ready} for one in answers if isinstance(one, PodList)]

    eventually(lambda: all(len(one) == 3 for one in names()), within=15, what="three pods are ready")
    victim = min(names()[0])
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    site.api.patch(f"{site.path('pods')}/{victim}/status", {"status": evicted})
    eventually(lambda: all(len(one) == 3 and victim not in one for one in names()), within=15, what="it is replaced")
    assert site.api.read(f"{site.path('pods')}/{victim}")["status"]["phase"] == "Failed"


def test_a_pod_whose_image_is_missing_says_so(cluster: Cluster, site: Site) -> None:
    site.deploy(image="registry.test/missing:v2", replicas=1, wait=False)

    def waiting() -> set[str]:
        return {pod.waiting for pod in found(cluster.perform(ReadPods(site.name, ()))).items}

    eventually(lambda: waiting() == {"ImagePullBackOff"}, within=15, what="the reason is seen")


def test_a_change_reaches_the_listener(connection: Connection, site: Site) -> None:
    told: list[tuple[Kind, str]] = []
    cache = Cache(
        connection, RealClock(), namespace=site.name, on_change=lambda kind, space, name, one: told.append((kind, name))
    )
    cache.start()
    try:
        eventually(lambda: cache.synced, within=10, what="the cache is synced")
        site.deploy(replicas=1)

        def are_told() -> bool:
            pods = [name for kind, name in list(told) if kind is Kind.POD]
            return (Kind.DEPLOYMENT, "checkout") in told and any(name.startswith("checkout-") for name in pods)

        eventually(are_told, within=10, what="the Deployment and its pod are told")
        assert cache.age() < 60
    finally:
        cache.stop()
    # Its watches would last for half a minute and more.
    eventually(lambda: not any(one.is_alive() for one in cache._threads), within=5, what="every watch has ended")


def test_k3_a_version_the_server_has_forgotten_is_answered_by_a_new_list(connection: Connection, site: Site) -> None:
    policies = f"{GROUP}/namespaces/{site.name}/releasepolicies"
    site.api.create(policies, POLICY)
    reflector: Reflector[Any] = Reflector(
        connection, RealClock(), policies, msgspec.json.decode, lambda *_: None, jitter=random.Random(1)
    )
    # From before the kind was installed. Of a kind that is as old as the server, a young server still knows it all.
    reflector._version = "1"
    thread = threading.Thread(target=reflector.run, daemon=True)
    thread.start()
    eventually(reflector.synced.is_set, within=10, what="it has listed anew")
    assert len(reflector.read_all(site.name)) == 1
    assert int(reflector.version) > 1
    reflector.stop()
    thread.join(20)  # its watch would last for half a minute and more
    assert not thread.is_alive()


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "barges.adapters.test"},
    "spec": {
        "group": "adapters.test",
        "names": {"kind": "Barge", "plural": "barges"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def barges(bed: Bed, tmp_path: Path) -> Iterator[Path]:
    """A kind that may be deleted and installed again."""
    path = tmp_path / "crd.yaml"
    path.write_text(yaml.safe_dump(CRD))
    bed.apply_manifests(path)
    yield path
    bed.admin.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/barges.adapters.test", missing_ok=True)


def test_k20_a_deleted_crd_is_told_and_its_return_is_noticed(bed: Bed, site: Site, barges: Path) -> None:
    connection = connect(RealClock(), kubeconfig=str(bed.kubeconfig(ADMIN)))
    path = f"/apis/adapters.test/v1/namespaces/{site.name}/barges"
    barge = {"apiVersion": "adapters.test/v1", "kind": "Barge", "metadata": {"name": "one"}}
    site.api.create(path, barge)
    reflector: Reflector[Any] = Reflector(
        connection, RealClock(), path, msgspec.json.decode, lambda *_: None, jitter=random.Random(1)
    )
    thread = threading.Thread(target=reflector.run, daemon=True)
    thread.start()
    eventually(lambda: reflector.read(site.name, "one"), within=10, what="the object is copied")
    bed.admin.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/barges.adapters.test")

    def is_lost() -> bool:
        # A watch that cannot begin again says it first, and then the list.
        trouble = reflector.trouble
        return not reflector.synced.is_set() and trouble is not None and trouble.kind is FailureKind.NO_KIND

    eventually(is_lost, within=30, what="the loss of the kind is known")
    absent = connection.request("GET", f"{path}/one")
    assert isinstance(absent, Failure)
    assert absent.kind is FailureKind.NO_KIND
    # Discovery is what says that the kind is served again, so it must have said that it is not.
    eventually(lambda: not bed.admin.exists("/apis/adapters.test/v1"), within=10, what="discovery has lost the kind")
    bed.apply_manifests(barges)
    site.api.create(path, {**barge, "metadata": {"name": "two"}})
    eventually(lambda: reflector.read(site.name, "two"), within=40, what="the kind is copied again")
    assert reflector.read(site.name, "one") is None
    reflector.stop()
    thread.join(5)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/apis/nope.test/v1/namespaces/shop/things/a", FailureKind.NO_KIND),
        ("/apis/apps/v1/namespaces/shop/things/a", FailureKind.NO_KIND),
        ("/apis/apps/v1/namespaces/no-such-namespace/deployments/a", FailureKind.ABSENT),
    ],
)
def test_an_absent_kind_is_told_from_an_absent_object(bed: Bed, path: str, kind: FailureKind) -> None:
    answer = connect(RealClock(), kubeconfig=str(bed.kubeconfig(ADMIN))).exchange("GET", path)
    assert isinstance(answer, Failed)
    assert (answer.status, answer.failure.kind) == (404, kind)


# --------------------------------------------------------------------------------------------------- rights


def test_k18_the_shipped_rights_are_enough_and_a_stranger_has_none(bed: Bed, cluster: Cluster, site: Site) -> None:
    assert cluster.perform(ReviewAccess(site.name, PERMISSIONS)) == ()
    connection = connect(RealClock(), kubeconfig=str(bed.kubeconfig(STRANGER)))
    stranger = Cluster(connection, Cache(connection, RealClock()), RealClock())
    stranger.begin_tick()
    assert stranger.perform(ReviewAccess(site.name, PERMISSIONS)) == PERMISSIONS
    for request in (
        ReadSlot(site.name, "checkout", fresh=True),
        ReadPods(site.name, (), fresh=True),
        CreateRelease(site.name, RELEASE),
        WriteRecord(site.name, "r", "1", {}),
    ):
        answer = stranger.perform(request)
        assert isinstance(answer, Failure)
        assert answer.kind is FailureKind.FORBIDDEN
        assert STRANGER.token not in answer.message


def test_a_wrong_token_is_unauthorized(bed: Bed, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(bed.kubeconfig(STRANGER).read_text().replace(STRANGER.token, "not-a-token"))
    answer = connect(RealClock(), kubeconfig=str(path)).request("GET", "/api/v1/pods")
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.UNAUTHORIZED


_USES: Mapping[ObjectKind, str] = {
    "Service": "get create patch delete",
    "Endpoints": "get",
    "Ingress": "get create patch delete",
    "HTTPRoute": "get patch",
    "VirtualService": "get patch",
    "DestinationRule": "get create patch delete",
    "ConfigMap": "get create delete",
    "Job": "get create",
    "HorizontalPodAutoscaler": "get patch",
}


def _beside(namespace: str) -> Iterator[ReadObject | WriteObject]:
    """Every use of an object beside the Deployments, as the strategies, routers, companions and gates make them."""
    for kind, verbs in _USES.items():
        ref = Ref(kind, "nowhere")
        writes: dict[str, CreateObject | PatchObject | DeleteObject] = {
            "create": CreateObject(ref, {"kind": kind, "metadata": {"name": "nowhere"}}, "s"),
            "patch": PatchObject(ref, "1", {"spec": {}}, "s"),
            "delete": DeleteObject(ref, "uid", "1", "s"),
        }
        for verb in verbs.split():
            yield ReadObject(namespace, ref, fresh=True) if verb == "get" else WriteObject(namespace, writes[verb])


def test_the_role_has_exactly_the_verbs_that_are_used(
    bed: Bed,
    installed: Path,
    connection: Connection,
    cluster: Cluster,
    cache: Cache,
    site: Site,
    twin: Any,
    record: Any,
    tmp_path: Path,
) -> None:
    """Every request of the contract is made once; what the server's audit log then shows is what the role grants."""
    name, uid = record["metadata"]["name"], record["metadata"]["uid"]
    found(cluster.perform(ReadPods(site.name, (), fresh=True)))
    found(cluster.perform(ReadReleases(site.name, "checkout", fresh=True)))
    assert isinstance(cluster.perform(ReadNeighbours(site.name)), Neighbours)
    assert kind_of(cluster.perform(ReadPolicy(site.name, "checkout"))) is FailureKind.ABSENT
    found(cluster.perform(ReviewAccess(site.name, PERMISSIONS)))
    found(cluster.perform(patch(site, settled(cluster, site)["metadata"]["resourceVersion"], replicas=0)))
    release = found(cluster.perform(ReadRelease(site.name, name)))
    version = release["metadata"]["resourceVersion"]
    found(cluster.perform(WriteRecord(site.name, name, version, {"phase": "Queued"})))
    kind_of(cluster.perform(WritePolicyStatus(site.name, "checkout", "1", {})))
    assert kind_of(cluster.perform(ReadTrain(site.name, "nightly"))) is FailureKind.ABSENT
    kind_of(cluster.perform(WriteTrainStatus(site.name, "nightly", "1", {})))
    cluster.perform(WriteEvent(site.name, f"{name}.1", name, uid, "Normal", "Queued", "waits", time.time()))
    assert cluster.perform(DeleteRelease(site.name, name, uid)) is None
    found(cluster.perform(ReadReplicaSets(site.name, (), fresh=True)))
    for request in _beside(site.name):
        # Nothing of this is there, and nothing of it is valid: what matters is that we may ask.
        answer = cluster.perform(request)
        assert not isinstance(answer, Failure) or answer.kind is not FailureKind.FORBIDDEN, answer
    assert kind_of(Callers(connection, RealClock()).judge(STRANGER.token)) is FailureKind.FORBIDDEN
    files = PolicyFiles(tmp_path, site.name, connection, Report())
    for at_once in (1, 12):
        written(tmp_path, "search", canary=at_once, more=TONIGHT)
        a_train(tmp_path, car="search", at_once=at_once)
        assert files.apply() == 2
    shelf = Baselines(connection, cache, bound=90.0)
    baseline = to_object(a_baseline(), namespace=site.name, name="checkout", policy_uid="")
    kept = found(shelf.keep(baseline))
    baseline["metadata"]["resourceVersion"] = kept["metadata"]["resourceVersion"]
    found(shelf.keep(baseline))
    found(shelf.read(site.name, "checkout"))

    role = next(
        one
        for one in yaml.safe_load_all((installed / "rbac.yaml").read_text())
        if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "nightferry"
    )
    granted = {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}

    def used() -> set[tuple[str, str]]:
        # A watch is logged when it ends, so this test's own are read from the cache's state instead.
        asked = [one for one in bed.requests(CONTROLLER) if one.namespace in (site.name, "")]
        seen = {(one.verb, one.resource) for one in asked}
        return seen | {("watch", kind.value) for kind in Kind}

    eventually(lambda: all(one.watching for one in cache._reflectors.values()), within=15, what="every kind is watched")
    # The log has a request a moment after its answer.
    eventually(lambda: granted <= used(), within=15, what=f"everything granted is used, as {granted} should be")
    assert {one for one in used() if one not in granted} == set(), "used, but not granted"


def test_a_person_who_may_edit_may_release_and_one_who_may_view_may_look(bed: Bed, installed: Path) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"

    def may(role: str, verb: str) -> bool:
        rules = bed.admin.read(f"{roles}/{role}").get("rules") or []
        return any("releases" in rule.get("resources", []) and verb in rule["verbs"] for rule in rules)

    eventually(lambda: may("edit", "patch") and may("view", "get"), within=15, what="the roles are aggregated")
    assert not may("view", "patch")


def test_the_shipped_deployment_is_accepted_by_the_server(bed: Bed, installed: Path) -> None:
    kinds = {"Deployment": "/apis/apps/v1", "ConfigMap": "/api/v1"}
    objects = list(yaml.safe_load_all((installed / "deployment.yaml").read_text()))
    for one in objects:
        path = f"{kinds[one['kind']]}/namespaces/nightferry/{one['kind'].lower()}s"
        stored = bed.admin.send("POST", path, body=one, query={"dryRun": "All"})
        assert stored["metadata"]["name"] == "nightferry"
