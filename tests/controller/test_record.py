"""The record: written, read back, refused where nobody could have written it, bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from analysis.verdict import Verdict
from controller.applying import EVIDENCE_EVERY, applied, worth_writing
from controller.record import MOST_ENTRIES, RecordInvalid, RecordTooNew, noted, read_record, to_status
from controller.release.decision import Advance, Finish, Hold, Proceed, RollBack
from controller.release.record import GateVerdict, Record
from controller.release.vocabulary import ENDS, Cause, HoldReason, Phase
from controller.simulation.objects import merged
from controller.transitions import MOVES, IllegalMove, mermaid, moved
from tests.controller.builders import NOW, a_record, says


def written(record: Record, over: dict[str, Any] | None = None) -> dict[str, Any]:
    status = json.loads(json.dumps(to_status(record, generation=3, policy_name="checkout")))
    result: dict[str, Any] = merged(over or {}, status)
    return result


def a_full_record() -> Record:
    record = a_record(Phase.BATCH, 2, excused_since=NOW, moving_since=NOW - 5)
    held = Hold(HoldReason.BLIND, "gate errors: no data", NOW + 600, "rollBack")
    return applied(record, held, [says(Verdict.BLIND)], NOW)


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = a_full_record()
    assert read_record(written(record)) == record


def test_a_field_that_became_empty_leaves_nothing_of_the_old_one_behind() -> None:
    before = a_full_record()
    after = applied(before, RollBack(Cause.BLIND, "blind for too long"), [], NOW + 600)
    assert read_record(written(after, over=written(before))) == after


def test_a_hold_that_only_a_person_ends_is_read_back_too() -> None:
    record = applied(a_record(), Hold(HoldReason.PAUSED_BY_PERSON, "paused", None, "`nightferry resume`"), [], NOW)
    assert read_record(written(record, over=written(a_full_record()))) == record


def _entry(**edit: Any) -> dict[str, Any]:
    return {"at": NOW, "kind": "Advance", "because": "", "phase": "Canary", "stage": 0, **edit}


def test_a_release_without_a_status_is_queued() -> None:
    assert read_record({}) == Record()
    assert read_record(None).phase is Phase.QUEUED


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda s: s.update(phase="Succeeded"), "status.phase is Succeeded"),
        (lambda s: s.pop("record"), "status.record is missing"),
        (lambda s: s["record"].update(phase="Flying"), "Flying"),
        (lambda s: s["record"].update(stage=9), "stage 9 of 4"),
        (lambda s: s["record"].update(stage=-1), "stage -1"),
        (lambda s: s["record"].update(stage=0), "phase Batch in stage 0"),
        (lambda s: s["record"].update(desired=-3), "-3 desired"),
        (lambda s: s["record"].update(desired="many"), "desired"),
        (lambda s: s["record"].update(incumbent=None), "two slots"),
        (lambda s: s["record"].update(policy=""), "pinned policy"),
        (lambda s: s["record"].update(observing=[{"start": "yesterday"}]), "observing"),
        (lambda s: s["record"].update(version=0), "version 0"),
        (lambda s: s["record"].update(started=1e300), "a time that no calendar has"),
        (lambda s: s["record"].update(latest=-1e18), "a time that no calendar has"),
        (lambda s: s["record"].update(since="nan"), "a time that no calendar has"),
        (lambda s: s["record"].update(held={"reason": "Manual", "since": 1.0, "until": 3e11}), "no calendar"),
        (lambda s: s["record"].update(decisions=[_entry(at="inf")]), "a time that no calendar has"),
        (lambda s: s.update(record=[1, 2]), "status.record"),
    ],
)
def test_k22_an_impossible_record_is_refused_as_a_whole(edit: Any, why: str) -> None:
    status = written(a_record(Phase.BATCH, 2))
    edit(status)
    with pytest.raises(RecordInvalid, match=why):
        read_record(status)


def test_k23_a_record_of_a_newer_version_is_not_touched() -> None:
    status = written(a_record())
    status["record"]["version"] = 2
    with pytest.raises(RecordTooNew, match="upgrade"):
        read_record(status)


def test_k23_s19_the_record_stays_within_its_bound_and_keeps_its_beginning_and_end() -> None:
    record = noted(a_record(), "Preflight", "the first line", NOW)
    heavy = GateVerdict("errors", Verdict.DEGRADED, "x" * 280, evidence={"because": "y" * 900})
    for n in range(200):
        record = replace(record, verdicts=tuple(replace(heavy, gate=f"g{k}") for k in range(12)), held=None)
        record = applied(record, Hold(HoldReason.DEGRADED, f"line {n}", None, ""), record.verdicts, NOW + n)
    status = to_status(record, generation=1, policy_name="checkout")
    assert len(json.dumps(status["record"])) <= 64 * 1024
    assert len(record.decisions) <= MOST_ENTRIES
    back = read_record(written(record))
    assert back.decisions[-1].because == record.decisions[-1].because
    assert record.decisions[0].because == "the first line"


# ---------------------------------------------------------------------------------------------- what is written


def test_newer_numbers_alone_are_written_once_a_minute() -> None:
    before = replace(a_record(), verdicts=(says(Verdict.UNDECIDED),), verdicts_at=NOW)
    newer = replace(before, verdicts=(replace(says(Verdict.UNDECIDED), because="newer numbers"),), because="newer")
    assert not worth_writing(before, newer, NOW + EVIDENCE_EVERY - 1)
    assert worth_writing(before, newer, NOW + EVIDENCE_EVERY)


def test_a_changed_verdict_is_written_at_once() -> None:
    before = replace(a_record(), verdicts=(says(Verdict.UNDECIDED),), verdicts_at=NOW)
    assert worth_writing(before, replace(before, verdicts=(says(Verdict.HEALTHY),)), NOW + 1)


def test_k32_looking_again_at_the_same_thing_is_not_written() -> None:
    before = applied(a_record(), Proceed("observed 30s of at least 2m"), [says(Verdict.UNDECIDED)], NOW)
    before = replace(before, verdicts_at=NOW)
    after = applied(before, Proceed("observed 45s of at least 2m"), [says(Verdict.UNDECIDED)], NOW + 15)
    assert not worth_writing(before, after, NOW + 15)


# The words of these name what a person, a policy, a train or an alert does; those of all others have numbers in them.
AT_ONCE = [
    "WindowClosed", "Frozen", "NotBefore", "AwaitsTrain", "Quarantined", "PreflightBlind", "Learning", "PausedByPerson",
    "PolicyGone", "BaselineVersionChanged", "Alert",
]  # fmt: skip


@pytest.mark.parametrize("reason", HoldReason)
def test_the_words_of_a_hold_follow_what_is_true_and_the_same_words_are_not_written_again(reason: HoldReason) -> None:
    def held(record: Record, because: str, now: float) -> Record:
        return applied(record, Hold(reason, because, NOW + 3600.0, "what follows"), (), now)

    before = replace(held(a_record(), "one thing", NOW), verdicts_at=NOW)
    other = held(before, "another thing", NOW + 15.0)
    assert other.held is not None and other.held.because == "another thing"
    assert worth_writing(before, other, NOW + 15.0) == (reason.value in AT_ONCE)
    assert worth_writing(before, other, NOW + EVIDENCE_EVERY)
    assert other.held.since == NOW
    assert [entry.kind for entry in other.decisions] == [entry.kind for entry in before.decisions]
    for later in (15.0, EVIDENCE_EVERY, 3000.0):
        assert not worth_writing(before, held(before, "one thing", NOW + later), NOW + later)


# ------------------------------------------------------------------------------------------------- transitions


def test_every_change_of_phase_is_a_new_epoch() -> None:
    record = a_record()
    assert applied(record, Advance(1, "healthy"), [], NOW).epoch == 2
    assert applied(a_record(Phase.BATCH, 1), Advance(2, "healthy"), [], NOW).epoch == 1
    assert applied(record, RollBack(Cause.GATE, "errors"), [], NOW).epoch == 2


def test_ends_are_absorbing() -> None:
    for end in ENDS:
        assert not MOVES[end]
    with pytest.raises(IllegalMove):
        moved(Phase.SUCCEEDED, Phase.ROLLING_BACK)
    with pytest.raises(IllegalMove):
        applied(a_record(Phase.ROLLING_BACK), Advance(2, "back again"), [], NOW)


def test_every_phase_is_in_the_table_and_in_its_drawing() -> None:
    assert set(MOVES) == set(Phase)
    drawn = mermaid()
    for before, afters in MOVES.items():
        for after in afters:
            assert f"{before} --> {after}" in drawn


def test_a_rollback_can_be_reached_in_one_step_from_every_phase_in_which_capacity_moves() -> None:
    for phase in (Phase.CANARY, Phase.BATCH):
        assert Phase.ROLLING_BACK in MOVES[phase]


def test_a_persons_hold_is_excused_from_the_release_deadline() -> None:
    record = applied(a_record(), Hold(HoldReason.PAUSED_BY_PERSON, "paused", None, ""), [], NOW)
    record = applied(record, Hold(HoldReason.PAUSED_BY_PERSON, "paused", None, ""), [], NOW + 50)
    assert record.held is not None and record.held.since == NOW
    record = applied(record, Proceed("on"), [], NOW + 100)
    assert (record.held, record.excused, record.excused_since) == (None, 100.0, None)


def test_h5_a_clock_that_steps_back_never_shortens_a_hold() -> None:
    record = applied(a_record(), Hold(HoldReason.PAUSED_BY_PERSON, "paused", None, ""), [], NOW)
    assert applied(record, Proceed("on"), [], NOW - 3600).excused == 0.0


# -------------------------------------------------------------------------------------------------- conditions


def condition(record: Record, kind: str) -> str:
    status = to_status(record, generation=3, policy_name="checkout")
    return next(str(c["status"]) for c in status["conditions"] if c["type"] == kind)


def test_kstatus_tells_moving_from_done_from_stalled() -> None:
    moving = a_record()
    assert [condition(moving, kind) for kind in ("Ready", "Reconciling", "Stalled")] == ["False", "True", "False"]
    done = applied(a_record(Phase.BATCH, 4), Finish(Phase.SUCCEEDED, Cause.COMPLETED, "all"), [], NOW)
    assert [condition(done, kind) for kind in ("Ready", "Reconciling", "Stalled")] == ["True", "False", "False"]
    stuck = applied(moving, Finish(Phase.NEEDS_HUMAN, Cause.FIELD_FIGHT, "argocd"), [], NOW)
    assert [condition(stuck, kind) for kind in ("Ready", "Reconciling", "Stalled")] == ["False", "False", "True"]
    waiting = applied(moving, Hold(HoldReason.MANUAL, "waits", None, ""), [], NOW)
    assert [condition(waiting, kind) for kind in ("Ready", "Reconciling", "Stalled")] == ["False", "True", "True"]
