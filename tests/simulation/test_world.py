"""The simulated cluster behaves as the real one does: objects, Deployments, pods, quotas, nodes."""

from __future__ import annotations

from controller.release.names import CLAIM_ANNOTATION
from controller.release.observation import Claim, PodList
from controller.release.plan import PatchSlot
from controller.release.vocabulary import Phase
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import Permission, ReadPods, ReadSlot, ReviewAccess
from controller.requests.writes import WriteRecord, WriteSlot
from controller.simulation import manifests
from controller.simulation.objects import Object
from controller.simulation.world import World
from controller.slots import not_older, read_claim, slot_state, writer_of

APP = (("app", "checkout"),)


def a_world(replicas: int = 10, seed: int = 1) -> World:
    world = World(seed)
    world.add_app("checkout", "v1", replicas)
    return world


def deployment(world: World, name: str = "checkout") -> Object:
    found = world.answer(ReadSlot("shop", name, fresh=True))
    assert isinstance(found, dict)
    return found


def scaled(world: World, replicas: int, *, version: str | None = None) -> Failure | Object:
    """A controller's own write: replicas and claim in one patch."""
    seen = deployment(world)
    claim = Claim("r", "u", "incumbent", Phase.BATCH, 1, replicas, 10)
    rested_on = version if version is not None else seen["metadata"]["resourceVersion"]
    answer = world.answer(WriteSlot("shop", PatchSlot("checkout", rested_on, claim, "scale", replicas=replicas)))
    assert isinstance(answer, dict | Failure)
    return answer


def living(world: World) -> list[str]:
    return [pod.name for pod in world.pods.values() if not pod.terminating]


# ------------------------------------------------------------------------------------------------------ objects


def test_a_write_at_an_old_version_is_refused_and_changes_nothing() -> None:
    world = a_world()
    old = deployment(world)["metadata"]["resourceVersion"]
    assert isinstance(scaled(world, 9), dict)
    before = deployment(world)

    refused = scaled(world, 3, version=old)

    assert isinstance(refused, Failure) and refused.kind is FailureKind.CONFLICT
    assert deployment(world) is before
    assert not world.trace[-1].applied


def test_pods_that_become_ready_move_the_version_of_their_deployment() -> None:
    """So a write that rests on a look from before them is refused, as on the real server."""
    world = a_world()
    scaled(world, 12)
    then = deployment(world)["metadata"]["resourceVersion"]
    world.step_to(world.now + 30)

    refused = scaled(world, 11, version=then)

    assert isinstance(refused, Failure) and refused.kind is FailureKind.CONFLICT


def test_generation_counts_changes_of_the_spec_only() -> None:
    world = a_world()
    world.step_to(world.now + 5)
    before = deployment(world)["metadata"]["generation"]
    world.edit("Deployment", "checkout", {"metadata": {"annotations": {"note": "x"}}})
    assert deployment(world)["metadata"]["generation"] == before
    world.edit("Deployment", "checkout", {"spec": {"replicas": 11}})
    assert deployment(world)["metadata"]["generation"] == before + 1
    world.step_to(world.now + 60)
    assert deployment(world)["metadata"]["generation"] == before + 1  # status and pods are not its spec


def test_a_patch_that_changes_nothing_is_no_new_version() -> None:
    world = a_world()
    before = deployment(world)["metadata"]["resourceVersion"]
    world.edit("Deployment", "checkout", {"spec": {"replicas": 10}})
    assert deployment(world)["metadata"]["resourceVersion"] == before


def test_the_claim_is_written_and_removed_with_the_replicas() -> None:
    world = a_world()
    scaled(world, 9)
    annotations = deployment(world)["metadata"]["annotations"]
    claim = read_claim(annotations[CLAIM_ANNOTATION])
    assert claim is not None and claim.replicas == 9 == deployment(world)["spec"]["replicas"]
    seen = deployment(world)
    world.answer(WriteSlot("shop", PatchSlot("checkout", seen["metadata"]["resourceVersion"], None, "release")))
    assert CLAIM_ANNOTATION not in deployment(world)["metadata"]["annotations"]


def test_managed_fields_name_the_last_writer_of_a_field() -> None:
    world = a_world()
    assert writer_of(deployment(world), "spec", "replicas") == "kubectl"
    world.edit("Deployment", "checkout", {"spec": {"replicas": 12}}, manager="argocd-application-controller")
    assert writer_of(deployment(world), "spec", "replicas") == "argocd-application-controller"
    assert writer_of(deployment(world), "spec", "template") == "kubectl"
    scaled(world, 10)
    assert writer_of(deployment(world), "spec", "replicas") == "someone"  # it is ours now, and nobody else's


def test_a_status_is_replaced_key_by_key_and_does_not_touch_the_spec() -> None:
    world = a_world()
    made = world.create(manifests.release("checkout", "r", "v2"))
    version = made["metadata"]["resourceVersion"]
    first = world.answer(WriteRecord("shop", "r", version, {"phase": "Preflight", "held": {"reason": "Blind"}}))
    assert isinstance(first, dict) and first["spec"] == made["spec"]
    second = world.answer(WriteRecord("shop", "r", first["metadata"]["resourceVersion"], {"held": None}))
    assert isinstance(second, dict) and second["status"] == {"phase": "Preflight"}
    late = world.answer(WriteRecord("shop", "r", version, {"phase": "Canary"}))
    assert isinstance(late, Failure) and late.kind is FailureKind.CONFLICT


def test_what_is_not_there_is_absent_and_never_an_empty_object() -> None:
    world = a_world()
    missing = world.answer(ReadSlot("shop", "checkout-twin"))
    assert isinstance(missing, Failure) and missing.kind is FailureKind.ABSENT
    lost = world.answer(WriteRecord("shop", "gone", "1", {}))
    assert isinstance(lost, Failure) and lost.kind is FailureKind.ABSENT


def test_missing_permissions_are_reported_and_enforced() -> None:
    world = a_world()
    world.lacking = frozenset({"patch deployments.apps"})
    asked = (Permission("patch", "apps", "deployments"), Permission("list", "", "pods"))
    assert world.answer(ReviewAccess("shop", asked)) == asked[:1]
    refused = scaled(world, 9)
    assert isinstance(refused, Failure) and refused.kind is FailureKind.FORBIDDEN
    assert deployment(world)["spec"]["replicas"] == 10


# ------------------------------------------------------------------------------------------- scaling, rolling


def test_scaling_up_creates_pods_that_become_ready_after_a_while() -> None:
    world = a_world()
    scaled(world, 13)
    assert not slot_state(deployment(world)).observed
    world.step_to(world.now + 1)
    assert slot_state(deployment(world)).observed
    assert (len(living(world)), world.available()) == (13, 10)
    world.step_to(world.now + 15)
    assert world.available() == 13


def test_scaling_down_takes_pods_that_are_not_ready_first_and_then_the_youngest() -> None:
    world = a_world(replicas=4)
    old = living(world)
    scaled(world, 6)
    world.step_to(world.now + 20)  # two younger ones, ready by now
    younger = [name for name in living(world) if name not in old]
    world.behave("v1", starts_in=300.0)
    scaled(world, 8)
    world.step_to(world.now + 5)
    assert len(living(world)) == 8

    scaled(world, 6)
    world.step_to(world.now + 1)
    assert set(living(world)) == {*old, *younger}

    scaled(world, 4)
    world.step_to(world.now + 1)
    assert living(world) == old


def test_a_terminating_pod_stays_for_its_grace_and_serves_nobody() -> None:
    world = a_world()
    scaled(world, 9)
    world.step_to(world.now + 0.5)
    pods = world.answer(ReadPods("shop", APP, fresh=True))
    assert isinstance(pods, PodList)
    going = [pod for pod in pods.items if pod.terminating]
    assert len(pods.items) == 10 and len(going) == 1
    assert not going[0].available(world.now, 0.0)
    world.step_to(world.now + 10)
    left = world.answer(ReadPods("shop", APP, fresh=True))
    assert isinstance(left, PodList) and len(left.items) == 9


def test_pods_have_names_of_their_replica_set_and_of_five_more_characters() -> None:
    world = a_world(replicas=3)
    for pod in world.pods_of("checkout"):
        start, _, end = pod.name.rpartition("-")
        assert start == pod.state.replica_set == f"checkout-{pod.state.labels['pod-template-hash']}"
        assert len(pod.state.labels["pod-template-hash"]) == 10
        assert len(end) == 5 and end.isalnum() and end.islower()


def test_a_list_of_pods_is_never_older_than_what_was_read_before_it() -> None:
    world = a_world()
    scaled(world, 12)
    for _ in range(40):
        world.step_to(world.now + 0.5)
        slot = deployment(world)["metadata"]["resourceVersion"]
        pods = world.answer(ReadPods("shop", APP, fresh=True))
        assert isinstance(pods, PodList) and not_older(pods.resource_version, slot)


def test_a_changed_template_rolls_within_the_deployments_own_surge_and_unavailability() -> None:
    world = a_world()
    image = {"containers": [{"name": "app", "image": manifests.image("checkout", "v2")}]}
    world.edit("Deployment", "checkout", {"spec": {"template": {"spec": image}}})
    from_here = len(world.views)
    world.step_to(world.now + 120)

    assert {pod.version for pod in world.pods_of("checkout")} == {"v2"}
    for view in world.views[from_here:]:
        staying = [pod for _, pod in view.pods if not pod.terminating]
        assert len(staying) <= 13
        assert sum(pod.ready for pod in staying) >= 8


def test_a_paused_deployment_keeps_its_version_and_still_scales() -> None:
    world = a_world()
    world.edit("Deployment", "checkout", {"spec": {"paused": True}})
    image = {"containers": [{"name": "app", "image": manifests.image("checkout", "v2")}]}
    world.edit("Deployment", "checkout", {"spec": {"template": {"spec": image}, "replicas": 12}})
    world.step_to(world.now + 60)
    assert [pod.version for pod in world.pods_of("checkout")] == ["v1"] * 12
    assert slot_state(deployment(world)).observed


def test_an_evicted_pod_is_replaced() -> None:
    world = a_world()
    world.drain(3)
    assert world.available() == 7
    world.step_to(world.now + 20)
    assert world.available() == 10 and len(world.pods_of("checkout")) == 10


def test_a_deleted_deployment_takes_its_pods_with_it() -> None:
    world = a_world()
    world.delete("Deployment", "checkout")
    assert world.available() == 0
    world.step_to(world.now + 10)
    assert not world.pods


# ------------------------------------------------------------------------------------------ pods in trouble


def test_a_quota_shows_as_a_replica_failure_until_it_is_lifted() -> None:
    world = a_world()
    world.quota["shop"] = 11
    scaled(world, 14)
    world.step_to(world.now + 30)
    assert world.available() == 11
    assert "exceeded quota" in slot_state(deployment(world)).blocked
    del world.quota["shop"]
    world.step_to(world.now + 40)
    assert world.available() == 14
    assert slot_state(deployment(world)).blocked == ""


def test_pods_without_a_node_are_unschedulable_until_there_is_one() -> None:
    world = a_world()
    world.set_capacity(11)
    scaled(world, 13)
    world.step_to(world.now + 30)
    waiting = [pod.state for pod in world.pods.values() if pod.state.unschedulable]
    assert len(waiting) == 2 and "insufficient" in waiting[0].message
    world.set_capacity(None)
    world.step_to(world.now + 30)
    assert world.available() == 13


def test_a_crashing_container_restarts_with_growing_waits() -> None:
    world = a_world(replicas=1)
    (pod,) = world.pods_of("checkout")
    world.behave("v1", crashes_after=2.0)
    begin = world.now
    seen: list[tuple[float, int, str]] = []
    while world.now < begin + 60:
        world.step_to(world.now + 1)
        step = (world.now - begin, pod.state.restarts, pod.state.waiting)
        if not seen or seen[-1][1:] != step[1:]:
            seen.append(step)
    # The first restart is at once; then 10 s, 20 s, 40 s, each after 2 s of life.
    assert [each[1:] for each in seen] == [
        (0, ""),
        (1, ""),
        (1, "CrashLoopBackOff"),
        (2, ""),
        (2, "CrashLoopBackOff"),
        (3, ""),
        (3, "CrashLoopBackOff"),
    ]
    assert [each[0] for each in seen] == [1, 2, 4, 14, 16, 36, 38]
    assert not pod.state.ready and len(pod.state.restarted_at) == 1


def test_an_init_container_that_fails_is_tried_again_and_forgotten_once_it_has_ended_well() -> None:
    world = a_world(replicas=1)
    world.behave("v9", init_fails_after=2.0)
    world.create(manifests.deployment("other", "v9", 1))
    world.step_to(world.now + 40)
    (pod,) = world.pods_of("other")
    assert (pod.state.restarts, pod.state.waiting, pod.state.ready) == (3, "CrashLoopBackOff", False)
    assert not pod.answering and pod.state.restarted_at == ()
    world.behave("v9", init_fails_after=None)
    world.step_to(world.now + 90)
    assert (pod.state.restarts, pod.state.waiting, pod.state.ready) == (0, "", True)


def test_an_image_that_does_not_exist_is_waited_for_and_named() -> None:
    world = a_world(replicas=1)
    world.behave("v9", cannot_pull=True)
    world.create(manifests.deployment("other", "v9", 1))
    world.step_to(world.now + 3)
    (pod,) = world.pods_of("other")
    assert pod.state.waiting == "ErrImagePull"
    world.step_to(world.now + 30)
    assert pod.state.waiting == "ImagePullBackOff" and not pod.state.ready


def test_a_pod_is_available_only_after_the_deployments_own_min_ready_seconds() -> None:
    world = World(1)
    world.add_app("checkout", "v1", 2, min_ready=30)
    scaled(world, 3)
    world.step_to(world.now + 20)
    assert (deployment(world)["status"]["readyReplicas"], deployment(world)["status"]["availableReplicas"]) == (3, 2)
    world.step_to(world.now + 30)
    assert deployment(world)["status"]["availableReplicas"] == 3


# ------------------------------------------------------------------------------------- views, forks, seeds


def test_a_look_back_shows_objects_and_pods_as_they_were() -> None:
    world = a_world()
    world.step_to(world.now + 30)
    scaled(world, 13)
    world.step_to(world.now + 30)
    then = world.answer(ReadSlot("shop", "checkout", fresh=True), back=31.0)
    pods = world.answer(ReadPods("shop", APP, fresh=True), back=31.0)
    assert isinstance(then, dict) and then["spec"]["replicas"] == 10
    assert isinstance(pods, PodList) and len(pods.items) == 10


def test_the_watch_cache_may_lag_and_a_fresh_read_does_not() -> None:
    world = a_world()
    world.conditions = type(world.conditions)(cache_lag=5.0)
    world.step_to(world.now + 10)
    scaled(world, 12)
    lagging = world.answer(ReadSlot("shop", "checkout"))
    fresh = world.answer(ReadSlot("shop", "checkout", fresh=True))
    assert isinstance(lagging, dict) and lagging["spec"]["replicas"] == 10
    assert isinstance(fresh, dict) and fresh["spec"]["replicas"] == 12
    world.step_to(world.now + 6)
    caught_up = world.answer(ReadSlot("shop", "checkout"))
    assert isinstance(caught_up, dict) and caught_up["spec"]["replicas"] == 12


def fingerprint(world: World) -> object:
    return (world.objects.version, [pod.state for pod in world.pods.values()], world.objects.items)


def test_the_same_seed_and_the_same_calls_are_the_same_world() -> None:
    worlds = [a_world(seed=7), a_world(seed=7), a_world(seed=8)]
    for world in worlds:
        scaled(world, 14)
        world.step_to(world.now + 45)
    assert fingerprint(worlds[0]) == fingerprint(worlds[1])
    assert fingerprint(worlds[0]) != fingerprint(worlds[2])


def test_a_fork_goes_its_own_way_and_leaves_the_original_alone() -> None:
    world = a_world()
    scaled(world, 12)
    world.step_to(world.now + 2)
    fork, before = world.fork(), fingerprint(world)
    fork.drain(5)
    fork.behave("v1", ready=False)
    fork.step_to(fork.now + 60)
    assert fingerprint(world) == before
    again = world.fork()
    for each in (world, again):
        each.step_to(each.now + 60)
    assert fingerprint(world) == fingerprint(again) != fingerprint(fork)
