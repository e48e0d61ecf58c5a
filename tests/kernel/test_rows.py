"""Rows of the fault catalogue as whole nights: the laws hold throughout, and the end is the one that the row names.

The table of all rows and their tests is docs/faults.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.release import PatchSlot
from controller.requests import Failure, FailureKind, Read, ReadReleases, Write, WriteRecord, WriteSlot
from controller.simulation.driver import Fault, LoseAnswer, Point, Refuse
from controller.simulation.world import World
from tests.kernel.laws import Broken
from tests.kernel.memory import replicas
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import APP, SCENARIOS, a_world, ask, in_batch, phase, status, whenever

TWIN = f"{APP}-twin"
LONG = 120.0
Meddling = Callable[[Point], Fault | None]


def a_night(meddle: Meddling | None = None, *names: str, version: str = "v2", **changes: Any) -> Night:
    """A release of a healthy version into four pods, with something in the way."""
    world = a_world(**changes)
    ask(world, version)
    night = begin(world, lambda there: all(phase(there, name) for name in ("first", *names)))
    if meddle is not None:
        night.faults = meddle
    return night


def until(night: Night, true: Callable[[World], bool]) -> None:
    """Runs until it is true; fails where it never is."""
    night.run(LONG, lambda at: true(at.world))
    assert true(night.world), night.ending()


def ended(night: Night) -> tuple[str, str]:
    """Runs to the end and a little longer -> phase and cause of the first release."""
    night.run(LONG)
    found = night.ending().releases["first"]
    night.stay_idle()
    return found


def kinds_of_holds(world: World) -> list[str]:
    kinds = (entry["kind"] for entry in status(world)["record"]["decisions"])
    return [kind for kind in kinds if kind.startswith("Hold")]


def slot_writes(world: World) -> list[WriteSlot]:
    requests = (entry.request for entry in world.trace if entry.applied)
    return [request for request in requests if isinstance(request, WriteSlot)]


def moves(world: World) -> list[str]:
    writes = (request.write for request in slot_writes(world))
    return [write.summary for write in writes if isinstance(write, PatchSlot) and write.replicas is not None]


# ---------------------------------------------------------------------------------- the API server and our own life


def test_k4_a_throttled_controller_waits_as_long_as_it_was_told_and_goes_on() -> None:
    told_at: list[float] = []

    def throttled(point: Point) -> Fault | None:
        if len(told_at) < 3 and point.index >= 40 and isinstance(point.request, Write):
            told_at.append(point.now)
            return Refuse(Failure(FailureKind.THROTTLED, "429 too many requests", 4.0))
        return None

    night = a_night(throttled)
    assert ended(night) == ("Succeeded", "Completed")
    assert len(told_at) >= 2
    assert told_at[1] - told_at[0] == pytest.approx(4.0)


@pytest.mark.parametrize("what", [Read, Write])
def test_k5_hours_of_500_change_nothing_and_the_release_goes_on_afterwards(what: Any) -> None:
    away = Refuse(Failure(FailureKind.UNAVAILABLE, "503"))
    night = a_night(deadline={"batch": "3m", "release": "8h"})
    until(night, lambda there: in_batch(there, 1))
    night.faults = lambda point: away if isinstance(point.request, what) else None
    before = moves(night.world)
    night.driver.run_to(night.world.now + 2 * 3600.0)
    assert moves(night.world) == before
    night.faults = lambda _: None
    assert ended(night) == ("Succeeded", "Completed")


def test_k6_every_answer_to_a_write_lost_for_minutes_moves_nothing_twice() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1))
    night.faults = lambda point: LoseAnswer() if isinstance(point.request, Write) else None
    night.driver.run_to(night.world.now + 100.0)
    night.faults = lambda _: None
    assert ended(night) == ("Succeeded", "Completed")
    reached = moves(night.world)
    assert len(reached) == len(set(reached)), reached


def test_k8_a_partition_of_hours_holds_still_and_is_not_the_batchs_fault() -> None:
    night = a_night(deadline={"batch": "3m", "release": "8h"})
    until(night, lambda there: replicas(there, TWIN) == 2)
    night.world.api_fault = Failure(FailureKind.UNAVAILABLE, "no route to host")
    writes = len(night.world.trace)
    night.driver.run_to(night.world.now + 3 * 3600.0)
    assert not any(entry.applied for entry in night.world.trace[writes:])
    night.world.api_fault = None
    assert ended(night) == ("Succeeded", "Completed")


def test_k9_prometheus_away_is_a_hold_and_never_a_reason_to_turn_back_before_its_patience() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    night.world.store_fault = Failure(FailureKind.UNAVAILABLE, "connection refused")
    night.driver.run_to(night.world.now + 200.0)
    assert status(night.world)["heldReason"] == "Blind"
    assert phase(night.world) == "Batch"
    night.world.store_fault = None
    assert ended(night) == ("Succeeded", "Completed")


def test_k18_rights_taken_away_in_mid_release_end_with_a_person_and_the_split_as_it_was() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.world.lacking = frozenset({"patch deployments.apps"})
    night.world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})
    assert ended(night)[0] == "NeedsHuman"
    assert (replicas(night.world, APP), replicas(night.world, TWIN)) == (2, 2)


def test_k18_rights_that_come_back_in_time_are_used() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.world.lacking = frozenset({"patch deployments.apps"})
    night.driver.run_to(night.world.now + 90.0)
    night.world.lacking = frozenset()
    assert ended(night) == ("Succeeded", "Completed")


def test_k20_while_our_kind_is_gone_nothing_is_written() -> None:
    gone = Refuse(Failure(FailureKind.NO_KIND, "the server could not find the requested resource"))
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    night.faults = lambda point: gone if isinstance(point.request, ReadReleases | WriteRecord) else None
    writes = len(night.world.trace)
    night.driver.run_to(night.world.now + 600.0)
    assert len(night.world.trace) == writes
    night.faults = lambda _: None
    assert ended(night) == ("Succeeded", "Completed")


def test_k27_a_slot_created_anew_with_another_uid_is_left_alone() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    world = night.world
    found = world.objects.items["Deployment", "shop", APP]
    kept = {key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": APP}}
    night.memory.excused |= frozenset(world.pods)
    world.delete("Deployment", APP)
    world.create(kept)
    before = moves(world)
    assert ended(night) == ("NeedsHuman", "WorkloadReplaced")
    assert moves(world) == before


def test_k31_a_slot_that_the_controllers_have_not_seen_is_not_lowered() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1))
    night.world.conditions = night.world.conditions.__class__(
        start=night.world.conditions.start, sync_lag=40.0, noise=night.world.conditions.noise
    )
    assert ended(night) == ("Succeeded", "Completed")
    lowered = [entry for entry in night.world.trace if isinstance(entry.request, WriteSlot) and entry.applied]
    for entry in lowered:
        before, after = entry.before, entry.after
        if before is not None and after is not None and after["spec"]["replicas"] < before["spec"]["replicas"]:
            assert before["status"]["observedGeneration"] == before["metadata"]["generation"]


def test_k32_a_hold_of_an_hour_writes_its_record_a_few_times_and_no_slot() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.world.edit("Release", "first", {"spec": {"paused": True}})
    night.driver.run_to(night.world.now + 120.0)
    writes = len(night.world.trace)
    night.driver.run_to(night.world.now + 3600.0)
    later = [type(entry.request).__name__ for entry in night.world.trace[writes:]]
    assert set(later) <= {"WriteRecord"}
    assert len(later) <= 61, "evidence is refreshed once a minute and nothing else is written"
    night.world.edit("Release", "first", {"spec": {"paused": False}})
    assert ended(night) == ("Succeeded", "Completed")


def test_k32_a_restore_that_was_refused_is_not_asked_for_again_at_every_tick() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.memory.excused |= frozenset(night.world.pods)
    night.world.delete("Deployment", APP)
    night.world.delete("Release", "first")
    night.memory.forget_missing(night.world)
    night.over = lambda there: any(key[0] == "Release" for key in there.objects.items)
    night.run(LONG)
    assert set(night.ending().phases.values()) == {"Cancelled"}
    night.stay_idle()


# ---------------------------------------------------------------------------------------------------- the workload


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


# ---------------------------------------------------------------------------------------------- policy and process


def test_y15_a_policy_edited_in_mid_release_tightens_and_never_loosens() -> None:
    night = a_night()
    until(night, lambda there: phase(there) == "Canary")
    night.world.edit("ReleasePolicy", APP, {"spec": {"observe": {"atLeast": "90s"}, "mode": "observe"}})
    assert ended(night) == ("Succeeded", "Completed")
    pinned = status(night.world)["record"]["policy"]
    assert '"atLeast":"1m30s"' in pinned
    assert '"mode":"enforce"' in pinned


def test_y16_a_deleted_policy_holds_and_turns_back_by_the_pinned_copy() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, TWIN) == 2)
    night.world.delete("ReleasePolicy", APP)
    assert ended(night) == ("RolledBack", "PolicyGone")
    assert "HoldPolicyGone" in kinds_of_holds(night.world)


def test_h5_a_clock_that_is_set_back_takes_no_serving_pod_for_lost() -> None:
    night = a_night()
    until(night, lambda there: in_batch(there, 1) and replicas(there, APP) == 2)
    night.driver.skew = night.memory.skew = -3600.0
    night.world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})
    assert ended(night) == ("RolledBack", "Aborted")


def test_h5_a_clock_that_is_set_forward_completes_no_soak() -> None:
    night = a_night()
    until(night, lambda there: phase(there) == "Canary" and replicas(there, APP) == 3)
    night.driver.skew = night.memory.skew = 300.0
    ended(night)  # S15 and S3: whatever becomes of it, no batch is left early
    assert status(night.world)["batch"]["index"] == 0


def test_s7_a_release_edited_into_nonsense_stands_still_until_it_is_understood() -> None:
    night = a_night()
    until(night, lambda there: phase(there) == "Canary" and replicas(there, TWIN) == 1)
    night.world.edit("Release", "first", {"spec": {"paused": True}})
    night.driver.run_to(night.world.now + 60.0)
    night.world.edit("Release", "first", {"spec": {"restoreOf": "another"}})
    night.driver.run_to(night.world.now + 900.0)
    assert phase(night.world) == "Canary"
    assert "refused" in status(night.world)["held"]["because"]
    night.world.edit("Release", "first", {"spec": {"restoreOf": None, "paused": False}})
    assert ended(night) == ("Succeeded", "Completed")


def test_l1_a_manual_stage_waits_for_its_person_and_then_goes_on() -> None:
    twin = {"canary": 1, "batches": 2, "maxSurge": 1, "maxUnavailable": 0, "advance": {"canary": "manual"}}
    night = a_night(strategy={"twin": twin})
    with pytest.raises(Broken, match="L1"):
        night.run(LONG)
    assert status(night.world)["heldReason"] == "Manual"
    night.world.edit("Release", "first", {"spec": {"promote": {"batch": 0}}})
    assert ended(night) == ("Succeeded", "Completed")


# ------------------------------------------------------------------------------------------------------- the table

ROOT = Path(__file__).parents[2]
TABLE_ROW = re.compile(r"^\| ([A-Z]\d+) \|.*`(tests/[\w/]+\.py)::(\w+)` \|$", re.MULTILINE)
# Rows whose feature exists; they are named in a test before the feature counts as done.
CORE = (
    *("K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8", "K9", "K10", "K12", "K14", "K17", "K18", "K20", "K27", "K31"),
    *("K32", "W1", "W2", "W3", "W4", "W5", "W6", "W7", "W10", "W12", "W13", "W14", "W15", "W16", "W17", "W18", "W21"),
    *("W22", "W23", "W26", "W28", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P13", "P14", "P20"),
    *("P24", "P27", "B4", "Y15", "Y16", "H3", "H4", "H5", "H8"),
)


def test_every_core_row_names_a_test_that_exists() -> None:
    table = TABLE_ROW.findall((ROOT / "docs/faults.md").read_text())
    assert [row for row in CORE if row not in {found[0] for found in table}] == []
    missing = [
        f"{row}: {file}::{name}"
        for row, file, name in table
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert missing == []
