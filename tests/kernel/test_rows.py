"""Rows of the fault catalogue as whole nights: the laws hold throughout, and the end is the one that the row names.

The table of all rows and their tests is docs/faults.md.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.accompanied import Accompanied
from controller.release.record import Span
from controller.release.vocabulary import Phase
from controller.requests import Read
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadReleases
from controller.requests.writes import Write, WriteRecord, WriteSlot
from controller.revise import revised
from controller.simulation.driver import Fault, LoseAnswer, Point, Refuse
from controller.strategies import targets_of
from tests.controller.builders import NOW, a_policy, a_record, an_observation
from tests.kernel.laws import Broken
from tests.kernel.memory import replicas
from tests.kernel.scenarios import APP, in_batch, phase, status
from tests.kernel.tales import LONG, TWIN, a_night, ended, kinds_of_holds, moves, until

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


def test_k15_a_tick_that_woke_in_a_later_batch_brings_no_settled_time_from_before_it() -> None:
    record = replace(a_record(Phase.BATCH, 1), stage_since=NOW, observing=())
    policy = a_policy().spec
    targets = targets_of(policy, record.desired)
    woke = an_observation(record.desired - targets[1], targets[1], now=NOW - 50.0)
    assert revised(record, woke, Accompanied(policy)).observing == (Span(NOW),)


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
ROWS = {
    "K": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 18, 20, 27, 28, 31, 32),
    "W": (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25, 26, 28, 29, 31, 32),
    "P": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 17, 20, 21, 22, 24, 27),
    "B": (1, 2, 4, 6, 8, 9),
    "A": tuple(range(1, 21)),
    "Y": (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 26, 27),
    "H": (3, 4, 5, 8),
}
CORE = tuple(f"{letter}{number}" for letter, numbers in ROWS.items() for number in numbers)


def test_every_core_row_names_a_test_that_exists() -> None:
    table = TABLE_ROW.findall((ROOT / "docs/faults.md").read_text())
    assert [row for row in CORE if row not in {found[0] for found in table}] == []
    missing = [
        f"{row}: {file}::{name}"
        for row, file, name in table
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_w6_settled_time_ends_where_a_pod_is_lost_and_begins_anew_with_all_of_them() -> None:
    """S15: gates count windows of settled time only, however well the pods do that are left."""
    record, course = replace(a_record(Phase.BATCH, 1), desired=10), Accompanied(a_policy().spec)
    targets = targets_of(a_policy().spec, 10)
    all_there = an_observation(10 - targets[1], targets[1])
    lost = replace(all_there, contenders=all_there.contenders[1:])
    shrunk = revised(record, lost, course)
    assert shrunk.observing == (Span(NOW - 600, NOW),)
    assert revised(shrunk, replace(all_there, now=NOW + 30.0), course).observing[-1] == Span(NOW + 30.0)
