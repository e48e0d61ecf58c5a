"""What becomes of a release: one question after the other, each row of the fault catalogue by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.verdict import Verdict
from controller.decide import decide
from controller.release.decision import Advance, Finish, Hold, Proceed, RollBack
from controller.release.observation import Observation, Wishes
from controller.release.record import GateVerdict, Held, Record, Span
from controller.release.vocabulary import Cause, HoldReason, Phase
from controller.strategies.twin import Twin
from tests.controller.builders import NOW, a_policy, a_record, a_slot, an_observation, pods, says

HEALTHY, UNDECIDED, BLIND, DEGRADED = Verdict.HEALTHY, Verdict.UNDECIDED, Verdict.BLIND, Verdict.DEGRADED
SHARED = Verdict.SHARED


def held(reason: HoldReason, ago: float) -> Held:
    return Held(reason, NOW - ago, None, "", "")


# ---------------------------------------------------------------------------------------------- the gates speak


def test_a_healthy_canary_goes_on_to_the_first_batch() -> None:
    assert isinstance(decide(a_record(), an_observation(), [says(HEALTHY)], a_policy().spec), Advance)


def test_nothing_goes_on_before_the_least_observation() -> None:
    decision = decide(a_record(), an_observation(), [says(HEALTHY, observed=119)], a_policy().spec)
    assert isinstance(decision, Proceed)


def test_the_last_healthy_batch_ends_in_success() -> None:
    decision = decide(a_record(Phase.BATCH, 4), an_observation(0, 10), [says(HEALTHY)], a_policy().spec)
    assert decision == Finish(Phase.SUCCEEDED, Cause.COMPLETED, decision.because)


def test_one_degraded_gate_turns_the_release_back_with_its_numbers() -> None:
    verdicts = [says(HEALTHY), says(DEGRADED, gate="latency")]
    decision = decide(a_record(), an_observation(), verdicts, a_policy().spec)
    assert isinstance(decision, RollBack)
    assert decision.cause is Cause.GATE
    assert "latency" in decision.because and "with numbers" in decision.because


def test_on_degraded_pause_holds_and_says_until_when() -> None:
    decision = decide(a_record(), an_observation(), [says(DEGRADED)], a_policy(onDegraded="pause").spec)
    assert isinstance(decision, Hold)
    assert decision.reason is HoldReason.DEGRADED
    assert decision.until == NOW - 1200 + 4 * 3600


def test_a_gate_that_is_not_required_cannot_stop_a_release() -> None:
    verdicts = [says(HEALTHY), says(DEGRADED, gate="orders", required=False)]
    assert isinstance(decide(a_record(), an_observation(), verdicts, a_policy().spec), Advance)


def test_mode_observe_decides_nothing_but_waits_its_time() -> None:
    policy = a_policy(mode="observe").spec
    assert isinstance(decide(a_record(), an_observation(), [says(DEGRADED)], policy), Advance)
    early = a_record(observing=(Span(NOW - 30),))
    assert isinstance(decide(early, an_observation(), [says(DEGRADED)], policy), Proceed)


@pytest.mark.parametrize(("outcome", "kind"), [("pause", Hold), ("advance", Advance), ("rollBack", RollBack)])
def test_an_inconclusive_batch_ends_as_the_policy_says(outcome: str, kind: type) -> None:
    policy = a_policy(observe={"atLeast": "2m", "atMost": "5m", "onUndecided": outcome}).spec
    assert isinstance(decide(a_record(), an_observation(), [says(UNDECIDED)], policy), kind)


def test_p23_undecided_before_the_observation_limit_waits_for_more_data() -> None:
    assert isinstance(decide(a_record(), an_observation(), [says(UNDECIDED)], a_policy().spec), Proceed)


# ------------------------------------------------------------------------------------------------ missing data


@pytest.mark.parametrize("stage", [0, 2, 4])
def test_p1_a_blind_gate_never_advances(stage: int) -> None:
    record = a_record(Phase.BATCH if stage else Phase.CANARY, stage)
    contenders = (1, 3, 5, 8, 10)[stage]
    seen = an_observation(10 - contenders, contenders, wishes=Wishes(promote=stage))
    decision = decide(record, seen, [says(HEALTHY), says(BLIND, gate="latency")], a_policy().spec)
    assert isinstance(decision, Hold)
    assert decision.reason is HoldReason.BLIND
    assert decision.until == NOW + 600


def test_blindness_turns_back_only_after_the_policys_patience() -> None:
    blind_for = {"hold": "10m", "then": "rollBack"}
    policy = a_policy(onBlind=blind_for).spec
    record = a_record(held=held(HoldReason.BLIND, 599))
    assert isinstance(decide(record, an_observation(), [says(BLIND)], policy), Hold)
    record = a_record(held=held(HoldReason.BLIND, 600))
    decision = decide(record, an_observation(), [says(BLIND)], policy)
    assert isinstance(decision, RollBack) and decision.cause is Cause.BLIND


def test_p13_a_fresh_batch_waits_for_its_first_samples_without_a_hold() -> None:
    seen = replace(an_observation(), first_sample_by=NOW + 30)
    assert isinstance(decide(a_record(), seen, [says(BLIND)], a_policy().spec), Proceed)


def test_p24_a_batch_that_nobody_asked_anything_is_blind_whatever_was_seen_before_it() -> None:
    verdicts = [says(HEALTHY), says(HEALTHY, gate="latency", observed=0)]
    decision = decide(a_record(), an_observation(), verdicts, a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.BLIND
    assert "latency" in decision.because and "errors" not in decision.because
    fresh = replace(an_observation(), first_sample_by=NOW + 30)
    assert isinstance(decide(a_record(), fresh, verdicts, a_policy().spec), Proceed)


def test_no_verdict_at_all_is_blind() -> None:
    decision = decide(a_record(), an_observation(), [], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.BLIND


# --------------------------------------------------------------------------------------------------- the pods


def broken(count: int, **how: object) -> Observation:
    seen = an_observation(9, 1)
    return replace(seen, contenders=tuple(replace(pod, ready=False, **how) for pod in pods("checkout-twin", 0, count)))  # type: ignore[arg-type]


def test_w3_three_restarts_turn_back_at_once() -> None:
    decision = decide(a_record(), broken(1, restarts=3, waiting="CrashLoopBackOff"), [], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.CRASH_LOOP
    assert isinstance(decide(a_record(), broken(1, restarts=2), [], a_policy().spec), Proceed)


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"])
def test_w2_an_image_that_cannot_be_pulled_turns_back_at_once(reason: str) -> None:
    decision = decide(a_record(), broken(1, waiting=reason), [], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.IMAGE_PULL


def test_w1_a_quota_holds_and_turns_back_at_the_batch_deadline() -> None:
    seen = replace(an_observation(10, 1, ready_contenders=0), contenders=())
    assert seen.contender is not None
    seen = replace(seen, contender=replace(seen.contender, blocked="exceeded quota: pods=10"))
    decision = decide(a_record(moving_since=NOW - 60), seen, [], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.QUOTA
    assert "exceeded quota" in decision.because
    late = decide(a_record(moving_since=NOW - 600), seen, [], a_policy().spec)
    assert isinstance(late, RollBack) and late.cause is Cause.BATCH_DEADLINE and "exceeded quota" in late.because


def test_w4_unschedulable_holds_until_the_batch_deadline() -> None:
    seen = replace(an_observation(10, 1), contenders=pods("checkout-twin", 0, 1, unschedulable=True))
    decision = decide(a_record(moving_since=NOW - 60), seen, [], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.UNSCHEDULABLE
    assert decision.until == NOW + 540


def test_w5_the_batch_deadline_begins_anew_after_a_persons_pause() -> None:
    seen = an_observation(10, 1, ready_contenders=0)
    record = a_record(moving_since=NOW - 9999, held=held(HoldReason.PAUSED_BY_PERSON, 9000))
    assert isinstance(decide(record, seen, [], a_policy().spec), Proceed)
    assert isinstance(decide(replace(record, held=None), seen, [], a_policy().spec), RollBack)


def test_w6_a_pod_that_is_not_ready_stops_the_batch() -> None:
    seen = an_observation(7, 3, ready_contenders=2)
    assert isinstance(decide(a_record(Phase.BATCH, 1), seen, [says(HEALTHY)], a_policy().spec), Proceed)


def test_w7_lost_incumbents_hold_without_a_verdict() -> None:
    seen = an_observation(9, 1, ready_incumbents=7)
    decision = decide(a_record(), seen, [], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.PODS_LOST


# ------------------------------------------------------------------------------------------------- foreign hands


def test_w22_a_deleted_incumbent_stops_everything() -> None:
    decision = decide(a_record(), replace(an_observation(), incumbent=None, incumbents=()), [], a_policy().spec)
    assert isinstance(decision, Finish)
    assert (decision.phase, decision.cause) == (Phase.NEEDS_HUMAN, Cause.WORKLOAD_MISSING)


def test_w22_a_deleted_contender_turns_back() -> None:
    decision = decide(a_record(), replace(an_observation(), contender=None, contenders=()), [], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.CONTENDER_MISSING


def test_k27_a_slot_with_a_new_uid_is_not_ours() -> None:
    seen = replace(an_observation(), contender=a_slot("checkout-twin", 1, "app:v2", role="contender", uid="other"))
    decision = decide(a_record(), seen, [], a_policy().spec)
    assert isinstance(decision, Finish) and decision.cause is Cause.WORKLOAD_REPLACED


def test_k11_a_record_older_than_the_cluster_stops() -> None:
    seen = replace(an_observation(), contender=a_slot("checkout-twin", 1, "app:v2", role="contender", epoch=5))
    decision = decide(a_record(), seen, [], a_policy().spec)
    assert isinstance(decision, Finish) and decision.cause is Cause.STATE_REGRESSED


def test_w16_the_second_reversal_by_another_writer_is_a_field_fight() -> None:
    one = a_record(reversals=("checkout@4",))
    assert not isinstance(decide(one, an_observation(), [says(HEALTHY)], a_policy().spec), Finish)
    two = a_record(reversals=("checkout@4", "checkout@6"))
    decision = decide(two, an_observation(), [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, Finish) and decision.cause is Cause.FIELD_FIGHT
    assert "ignoreDifferences" in decision.because


def test_w13_w17_a_changed_contender_turns_back() -> None:
    seen = replace(an_observation(), contender=a_slot("checkout-twin", 1, "app:v3", role="contender"))
    decision = decide(a_record(), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.CONTENDER_CHANGED


def test_w14_a_changed_incumbent_holds_and_then_asks_for_a_person() -> None:
    seen = replace(an_observation(), incumbent=a_slot("checkout", 9, "app:v9"))
    decision = decide(a_record(), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.INCUMBENT_CHANGED
    late = decide(a_record(held=held(HoldReason.INCUMBENT_CHANGED, 600)), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(late, Finish) and late.cause is Cause.INCUMBENT_CHANGED


def test_w15_a_paused_slot_is_a_persons_pause() -> None:
    seen = replace(an_observation(), contender=a_slot("checkout-twin", 1, "app:v2", role="contender", paused=True))
    decision = decide(a_record(), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.PAUSED_BY_PERSON


def test_y16_a_deleted_policy_holds_and_then_turns_back() -> None:
    seen = replace(an_observation(), policy_exists=False)
    decision = decide(a_record(), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.POLICY_GONE
    late = decide(a_record(held=held(HoldReason.POLICY_GONE, 600)), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(late, RollBack) and late.cause is Cause.POLICY_GONE


# ----------------------------------------------------------------------------------- leaning, hidden, shared

AN_HOUR = {"observe": {"atLeast": "2m", "atMost": "5m", "onUndecided": "advance"}}


def test_a_gate_that_leans_to_worse_does_not_advance_early_however_healthy_it_looks() -> None:
    policy = a_policy().spec
    assert isinstance(decide(a_record(), an_observation(), [says(HEALTHY)], policy), Advance)
    leaning = [says(HEALTHY, leaning=True), says(HEALTHY, gate="latency")]
    assert isinstance(decide(a_record(), an_observation(), leaning, policy), Proceed)
    watched_only = [says(HEALTHY), says(HEALTHY, gate="latency", leaning=True, required=False)]
    assert isinstance(decide(a_record(), an_observation(), watched_only, policy), Advance)


@pytest.mark.parametrize("verdict", [HEALTHY, UNDECIDED])
def test_advance_on_undecided_does_not_cover_a_gate_that_leans_to_worse(verdict: Verdict) -> None:
    policy = a_policy(**AN_HOUR).spec
    assert isinstance(decide(a_record(), an_observation(), [says(UNDECIDED)], policy), Advance)
    decision = decide(a_record(), an_observation(), [says(verdict, leaning=True)], policy)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.UNDECIDED
    promoted = an_observation(wishes=Wishes(promote=0))
    assert isinstance(decide(a_record(), promoted, [says(verdict, leaning=True)], policy), Advance)


def test_a_leaning_gate_turns_back_where_the_policy_says_so() -> None:
    policy = a_policy(observe={"atLeast": "2m", "atMost": "5m", "onUndecided": "rollBack"}).spec
    decision = decide(a_record(), an_observation(), [says(UNDECIDED, leaning=True)], policy)
    assert isinstance(decision, RollBack) and decision.cause is Cause.UNDECIDED


def test_a_time_out_says_how_much_harm_could_still_hide() -> None:
    verdicts = [says(UNDECIDED, could_hide=1.84), says(HEALTHY, gate="latency"), says(UNDECIDED, gate="orders")]
    decision = decide(a_record(), an_observation(), verdicts, a_policy(**AN_HOUR).spec)
    assert isinstance(decision, Advance) and "could hide errors x1.84)" in decision.because


def test_shared_harm_holds_and_then_pauses_or_turns_back_as_the_policy_says() -> None:
    verdicts = [says(SHARED), says(BLIND, gate="latency")]
    policy = a_policy().spec
    first = decide(a_record(), an_observation(), verdicts, policy)
    assert isinstance(first, Hold)
    assert (first.reason, first.until, first.then) == (HoldReason.SHARED, NOW + 900, "pause")
    over = a_record(held=held(HoldReason.SHARED, 900))
    later = decide(over, an_observation(), verdicts, policy)
    assert isinstance(later, Hold) and later.reason is HoldReason.SHARED and later.until == NOW - 1200 + 4 * 3600
    strict = decide(over, an_observation(), verdicts, a_policy(onShared={"hold": "15m", "then": "rollBack"}).spec)
    assert isinstance(strict, RollBack) and strict.cause is Cause.SHARED


def test_shared_harm_hides_neither_a_worse_contender_nor_a_wish() -> None:
    worse = [says(SHARED), says(DEGRADED, gate="latency")]
    decision = decide(a_record(), an_observation(), worse, a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.GATE
    promoted = an_observation(wishes=Wishes(promote=0))
    assert isinstance(decide(a_record(), promoted, [says(SHARED)], a_policy().spec), Advance)
    aborted = an_observation(wishes=Wishes(abort="no"))
    assert isinstance(decide(a_record(), aborted, [says(SHARED)], a_policy().spec), RollBack)


# ----------------------------------------------------------------------------------------------------- people


def test_abort_turns_back_even_a_paused_release_with_healthy_gates() -> None:
    seen = an_observation(wishes=Wishes(paused=True, abort="wrong night"))
    decision = decide(a_record(), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.ABORTED and "wrong night" in decision.because


def test_a_pause_stops_the_way_forward_but_not_the_way_back() -> None:
    seen = an_observation(wishes=Wishes(paused=True))
    assert isinstance(decide(a_record(), seen, [says(HEALTHY)], a_policy().spec), Hold)
    assert isinstance(decide(a_record(), seen, [says(DEGRADED)], a_policy().spec), RollBack)


def test_a_manual_canary_waits_for_its_own_promote() -> None:
    policy = a_policy(strategy={"twin": {"canary": 1, "batches": 4, "advance": {"canary": "manual"}}}).spec
    decision = decide(a_record(), an_observation(), [says(HEALTHY)], policy)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.MANUAL
    for_another = an_observation(wishes=Wishes(promote=1))
    assert isinstance(decide(a_record(), for_another, [says(HEALTHY)], policy), Hold)
    promoted = an_observation(wishes=Wishes(promote=0))
    assert isinstance(decide(a_record(), promoted, [says(HEALTHY)], policy), Advance)
    assert isinstance(decide(a_record(Phase.BATCH, 1), an_observation(7, 3), [says(HEALTHY)], policy), Advance)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"observe": {"atLeast": "2m", "atMost": "5m", "onUndecided": "advance"}}, UNDECIDED),
        ({"mode": "observe"}, HEALTHY),
    ],
)
def test_what_stands_in_for_the_gates_does_not_stand_in_for_the_person(
    changes: dict[str, object], verdict: Verdict
) -> None:
    policy = a_policy(strategy={"twin": {"canary": 1, "batches": 4, "advance": {"canary": "manual"}}}, **changes).spec
    verdicts = [says(verdict, observed=600)]
    decision = decide(a_record(), an_observation(), verdicts, policy)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.MANUAL
    wished = an_observation(wishes=Wishes(promote=0))
    assert isinstance(decide(a_record(), wished, verdicts, policy), Advance)


def test_a_promote_does_not_cover_a_degraded_gate() -> None:
    seen = an_observation(wishes=Wishes(promote=0))
    assert isinstance(decide(a_record(), seen, [says(DEGRADED)], a_policy(onDegraded="pause").spec), Hold)


def test_a_newer_release_turns_this_one_back_but_not_a_rollback() -> None:
    seen = replace(an_observation(), superseded_by="checkout-v43")
    decision = decide(a_record(), seen, [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.SUPERSEDED
    assert not isinstance(decide(a_record(origin="rollback"), seen, [], a_policy().spec), RollBack)


def test_the_release_deadline_leaves_out_the_time_a_person_held_it() -> None:
    late: Record = a_record(started=NOW - 4 * 3600)
    decision = decide(late, an_observation(), [says(HEALTHY)], a_policy().spec)
    assert isinstance(decision, RollBack) and decision.cause is Cause.RELEASE_DEADLINE
    excused = replace(late, excused=600.0)
    assert isinstance(decide(excused, an_observation(), [says(HEALTHY)], a_policy().spec), Advance)


def test_skipped_gates_still_ask_the_pods() -> None:
    record = a_record(skip_gates="security fix")
    assert isinstance(decide(record, an_observation(), [], a_policy().spec), Advance)
    assert isinstance(decide(record, broken(1, restarts=3), [], a_policy().spec), RollBack)


def test_skipped_gates_do_not_skip_a_person() -> None:
    policy = a_policy(strategy={"twin": {"canary": 1, "batches": 4, "advance": {"canary": "manual"}}}).spec
    record = a_record(skip_gates="security fix")
    decision = decide(record, an_observation(), [], policy)
    assert isinstance(decision, Hold) and decision.reason is HoldReason.MANUAL
    assert isinstance(decide(record, an_observation(wishes=Wishes(promote=0)), [], policy), Advance)
    # Nobody approves a version that has served before.
    assert isinstance(decide(a_record(origin="home"), an_observation(), [], policy), Advance)


# ------------------------------------------------------------------------------------------------------- back


def test_a_rollback_ends_when_the_incumbent_is_back_at_full_size() -> None:
    record = a_record(Phase.ROLLING_BACK, 2, cause=Cause.GATE, because="errors x3")
    assert isinstance(decide(record, an_observation(10, 2), [], a_policy().spec), Proceed)
    decision = decide(record, an_observation(10, 0), [], a_policy().spec)
    assert decision == Finish(Phase.ROLLED_BACK, Cause.GATE, decision.because)
    assert "errors x3" in decision.because


def test_w28_a_rollback_that_cannot_go_on_is_never_called_done() -> None:
    record = a_record(Phase.ROLLING_BACK, 2, moving_since=NOW - 600, written=NOW - 500)
    seen = an_observation(10, 2, ready_incumbents=7, ready_contenders=2)
    decision = decide(record, seen, [], a_policy().spec)
    assert isinstance(decision, Finish)
    assert (decision.phase, decision.cause) == (Phase.NEEDS_HUMAN, Cause.ROLLBACK_BLOCKED)


def test_k18_a_rollback_whose_writes_are_refused_ends_with_a_person() -> None:
    seen = an_observation(7, 3)
    intended = Twin().move(a_record(Phase.ROLLING_BACK, 1), seen, a_policy().spec, still=False).summary
    refused = a_record(Phase.ROLLING_BACK, 1, moving_since=NOW - 600, intent=intended, written=NOW - 15)
    decision = decide(refused, seen, [], a_policy().spec)
    assert isinstance(decision, Finish) and decision.cause is Cause.ROLLBACK_BLOCKED
    after_an_outage = replace(refused, written=NOW - 3000)
    assert isinstance(decide(after_an_outage, seen, [], a_policy().spec), Proceed)


def test_a_rollback_to_a_version_that_was_edited_meanwhile_needs_a_person() -> None:
    record = a_record(Phase.ROLLING_BACK, 2)
    seen = replace(an_observation(10, 0), incumbent=a_slot("checkout", 10, "app:v9"))
    decision = decide(record, seen, [], a_policy().spec)
    assert isinstance(decision, Finish) and decision.cause is Cause.INCUMBENT_CHANGED


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN, Phase.CANCELLED])
def test_an_end_has_nothing_left_to_decide(phase: Phase) -> None:
    verdicts: list[GateVerdict] = []
    with pytest.raises(ValueError, match="end"):
        decide(replace(a_record(), phase=phase), an_observation(), verdicts, a_policy().spec)
