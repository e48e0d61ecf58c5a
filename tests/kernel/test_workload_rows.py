"""Rows of the fault catalogue about pods, nodes and Deployments, as whole nights under the laws."""

from __future__ import annotations

import pytest

from controller.settings import Settings
from tests.kernel.events import CrashAtWrite
from tests.kernel.memory import replicas
from tests.kernel.night import begin
from tests.kernel.scenarios import APP, SCENARIOS, a_world, ask, in_batch, phase, status, whenever
from tests.kernel.tales import TWIN, a_night, ended, kinds_of_holds, until


def test_w1_a_quota_holds_by_name_and_turns_back_at_the_deadline_without_losing_a_pod() -> None:
    night = a_night()
    until(night, lambda there: phase(there) == "Canary")
    night.world.quota["shop"] = 5  # four incumbents and the neighbour
    assert ended(night) == ("RolledBack", "BatchDeadline")
    assert "HoldQuota" in kinds_of_holds(night.world)


def test_w1_a_quota_that_is_lifted_in_time_costs_time_only() -> None:
    night = a_night()
    night.world.quota["shop"] = 5
    until(night, lambda there: status(there).get("heldReason") == "Quota")
    night.world.quota.clear()
    assert ended(night) == ("Succeeded", "Completed")


def test_w2_an_image_that_cannot_be_pulled_turns_back_and_the_next_version_starts() -> None:
    night = a_night(None, "second")
    night.world.behave("v2", cannot_pull=True)
    whenever(
        night.world,
        lambda there: phase(there) == "RolledBack" and ("Release", "shop", "second") not in there.objects.items,
        lambda there: ask(there, "v3", "second"),
    )
    assert ended(night) == ("RolledBack", "ImagePull")
    assert night.ending().phases["second"] == "Succeeded"


def test_w3_an_init_container_that_fails_turns_back_and_one_that_only_waited_does_not() -> None:
    failing, patient = a_night(), a_night()
    for night in (failing, patient):
        night.world.behave("v2", init_fails_after=2.0)
    until(failing, lambda there: any(pod.state.restarts == 3 for pod in there.pods.values()))
    third = failing.world.now
    until(failing, lambda there: phase(there) == "RollingBack")
    assert failing.world.now - third <= Settings().interval
    assert ended(failing) == ("RolledBack", "CrashLoop")
    until(patient, lambda there: any(pod.state.restarts == 2 for pod in there.pods.values()))
    patient.world.behave("v2", init_fails_after=None)
    assert ended(patient) == ("Succeeded", "Completed")


def test_w4_pods_without_a_node_hold_until_the_deadline() -> None:
    night = a_night()
    night.world.set_capacity(5)
    assert ended(night) == ("RolledBack", "BatchDeadline")
    assert "HoldUnschedulable" in kinds_of_holds(night.world)


def test_w5_a_start_slower_than_the_deadline_is_not_charged_while_a_person_paused() -> None:
    night = a_night()
    night.world.behave("v2", starts_in=150.0)
    until(night, lambda there: replicas(there, TWIN) == 1)
    night.driver.run_to(night.world.now + 60.0)
    night.world.edit("Release", "first", {"spec": {"paused": True}})
    night.driver.run_to(night.world.now + 600.0)
    night.world.edit("Release", "first", {"spec": {"paused": False}})
    assert ended(night) == ("Succeeded", "Completed")


def test_w6_a_readiness_that_flaps_restarts_the_soak() -> None:
    night = a_night()
    until(night, lambda there: phase(there) == "Canary" and replicas(there, APP) == 3)
    for ready in (False, True) * 3:
        night.world.behave("v2", ready=ready)
        night.driver.run_to(night.world.now + 20.0)
    assert phase(night.world) == "Canary", "two minutes of flaps are no observation"
    assert ended(night) == ("Succeeded", "Completed")  # S15 counts the soak from the last flap


def test_w7_a_drain_of_incumbents_is_waited_for_and_judges_nobody() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.driver.run_to(night.world.now + 20.0)
    night.world.set_capacity(0)  # nothing can be placed again
    night.memory.excused |= frozenset(night.world.pods)
    night.world.drain(1, only={pod.name for pod in night.world.pods_of(APP)})
    night.driver.run_to(night.world.now + 120.0)
    assert status(night.world)["heldReason"] == "PodsLost"
    assert phase(night.world) == "Batch"
    night.world.set_capacity(None)
    assert ended(night) == ("Succeeded", "Completed")


def test_w12_a_person_scales_the_live_slot_and_is_obeyed_in_both_directions() -> None:
    for wish in (6, 3):
        night = a_night()
        until(night, lambda there: phase(there) == "Canary" and replicas(there, APP) == 3)
        night.world.edit("Deployment", APP, {"spec": {"replicas": wish}})
        night.memory.level = 0  # a person takes pods away
        expected = wish if wish != 3 else 4
        assert ended(night) == ("Succeeded", "Completed")
        assert (replicas(night.world, APP), replicas(night.world, TWIN)) == (0, expected)


def test_w13_w17_a_version_edited_under_the_release_is_turned_back_unjudged() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    containers = [{"name": "app", "image": f"registry.example/{APP}:v9"}]
    night.world.edit("Deployment", TWIN, {"spec": {"template": {"spec": {"containers": containers}}}})
    night.memory.level = 0  # the native controller rolls the edited slot
    assert ended(night) == ("RolledBack", "ContenderChanged")


def test_w14_the_incumbent_edited_in_mid_release_is_never_called_restored() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    containers = [{"name": "app", "image": f"registry.example/{APP}:v0"}]
    night.world.edit("Deployment", APP, {"spec": {"template": {"spec": {"containers": containers}}}})
    night.memory.level = 0
    assert ended(night) == ("NeedsHuman", "BaselineVersionChanged")


def test_w15_kubectl_rollout_pause_is_a_persons_pause() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    night.world.edit("Deployment", TWIN, {"spec": {"paused": True}})
    night.driver.run_to(night.world.now + 400.0)
    assert status(night.world)["heldReason"] == "PausedByPerson"
    night.world.edit("Deployment", TWIN, {"spec": {"paused": False}})
    assert ended(night) == ("Succeeded", "Completed")


def test_w16_a_tool_that_sets_replicas_back_is_named_and_not_fought() -> None:
    night = SCENARIOS["restore"].night()
    until(night, lambda there: phase(there) == "NeedsHuman")
    assert "argocd-controller" in status(night.world)["because"]


@pytest.mark.parametrize("write", range(5))
def test_w16_one_reversal_is_counted_once_although_the_controller_is_killed_over_it(write: int) -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    night.world.edit("Deployment", TWIN, {"spec": {"replicas": 1}})
    night.memory.level = 0
    night.faults = CrashAtWrite(write)
    assert ended(night) == ("Succeeded", "Completed")


def test_w18_the_old_version_asked_for_in_mid_release_turns_back_under_all_laws() -> None:
    night = a_night(None, "second")
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    ask(night.world, "", "second", images={"app": f"registry.example/{APP}:v1"})
    assert ended(night) == ("RolledBack", "Superseded")
    assert (replicas(night.world, APP), replicas(night.world, TWIN)) == (4, 0)


def test_w22_a_deleted_contender_is_the_way_back() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.memory.excused |= frozenset(night.world.pods)
    night.world.delete("Deployment", TWIN)
    assert ended(night) == ("RolledBack", "ContenderMissing")
    assert replicas(night.world, APP) == 4


@pytest.mark.parametrize("pods", [1, 2, 3])
@pytest.mark.parametrize(("surge", "slack"), [(1, 0), (0, 1), (2, 1), (3, 3)])
@pytest.mark.parametrize("errors", [0.001, 0.3])
def test_w26_tiny_apps_go_and_come_back_within_their_surge_and_slack(
    pods: int, surge: int, slack: int, errors: float
) -> None:
    twin = {"canary": 1, "batches": 3, "maxSurge": surge, "maxUnavailable": slack}
    world = a_world(replicas=pods, strategy={"twin": twin})
    ask(world)
    if errors > 0.1:
        whenever(
            world,
            lambda there: phase(there) == "Canary" and there.behaviour("v2").errors < errors,
            lambda there: there.behave("v2", errors=errors),
        )
    night = begin(world, lambda there: bool(phase(there)))
    found = ended(night)
    # One pod and no surge: the canary is the whole app and there is nobody to compare it with, so it goes back.
    blind = pods == 1 and surge == 0
    assert found[0] == ("Succeeded" if errors < 0.1 and not blind else "RolledBack")
    size = (replicas(world, APP), replicas(world, TWIN))
    assert size == ((0, pods) if found[0] == "Succeeded" else (pods, 0))


def test_w28_a_rollback_that_cannot_finish_is_never_called_rolled_back() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 2) and replicas(there, APP) == 0)
    night.world.behave("v1", ready=False)  # the old image does not start any more
    night.world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})
    assert ended(night) == ("NeedsHuman", "RollbackBlocked")
    serving = [pod for pod in night.world.pods_of(TWIN) if pod.serving]
    assert len(serving) == 4, "what is available keeps serving"


def test_w32_a_way_back_of_an_app_without_pods_names_what_each_deployment_would_run() -> None:
    """The app's own Deployment holds the version before by then: scaled up unseen, it would be the wrong one."""
    night = a_night(None, "back")
    until(night, lambda there: phase(there) == "Succeeded")
    night.world.edit("Deployment", TWIN, {"spec": {"replicas": 0}})
    ask(night.world, "", "back", rollbackOf="first")
    until(night, lambda there: phase(there, "back") == "Cancelled")
    told = status(night.world, "back")["because"]
    assert f"{APP} (registry.example/{APP}:v1) and {TWIN} (registry.example/{APP}:v2) have 0 replicas" in told
