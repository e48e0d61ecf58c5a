"""From a store's answers to histories, and from them to a baseline; every fault of a store is a named state."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from analysis.learned import Guarantee, LearnedCounts, LearnedLatency, LearnedLevels, NotLearned
from analysis.learning import CountHistory
from controller.baseline import Baseline, Likeness, learning_digest, restored, to_object
from controller.gates import settings
from controller.learning.asks import FetchAlerts, FetchLevels, FetchPods, FetchPresence, Unfetched, Why
from controller.learning.gather import Progress, Stopped, Subject, counted, gather, released
from controller.learning.learn import (
    history_of,
    learn,
    learn_policy,
    look_at_present,
    relearn_lately,
    replay_plan,
    seed_of,
)
from controller.requests.fetches import FetchTotals
from controller.settings import Source
from policies.schema import ReleasePolicy
from tests.controller.learning.builders import DAY, NOW, WINDOW, Past, Store
from tests.policies.builders import ERRORS, LATENCY, a_gate, a_policy

SHORT: dict[str, Any] = {"strategy": {"twin": {"batches": 2}}, "observe": {"atLeast": "2m", "atMost": "10m"}}
MEMORY = {"name": "memory", "gauge": {"query": 'process_resident_memory_bytes{pod="$pods"}'}}
ORDERS = {"name": "orders", "throughput": {"events": "orders_total"}}


def subject(store: Store, policy: ReleasePolicy | None = None) -> Subject:
    return Subject(policy or a_policy(**SHORT), "shop", Past(store), Source())


def of(policy: ReleasePolicy, store: Store, **how: Any) -> Baseline:
    return learn_policy(subject(store, policy), NOW, **how)


# ---------------------------------------------------------------------------------------------------- the way


def test_a_week_of_history_teaches_the_noise_of_the_pods() -> None:
    baseline = of(a_policy(**SHORT), Store(pod_sd=0.3))
    errors = baseline.gates["errors"]
    assert isinstance(errors, LearnedCounts)
    assert errors.standing.guarantee is Guarantee.CALIBRATED
    assert errors.standing.segments == 84
    assert errors.standing.alpha == 0.01
    assert errors.rate == pytest.approx(0.005, rel=0.5)
    assert baseline.coverage == pytest.approx(1.0, abs=0.02)
    assert NOW - 7 * DAY - 600.0 <= baseline.start < baseline.end <= NOW
    after = restored(
        to_object(baseline, namespace="shop", name="checkout", policy_uid="u"),
        digest=learning_digest(a_policy(**SHORT), WINDOW),
        now=NOW,
    )
    assert isinstance(after, Baseline)


def test_learning_twice_on_one_day_learns_the_same() -> None:
    assert of(a_policy(**SHORT), Store()) == of(a_policy(**SHORT), Store())
    assert seed_of("shop", "checkout", NOW) == seed_of("shop", "checkout", NOW + 60.0)
    assert seed_of("shop", "checkout", NOW) != seed_of("shop", "checkout", NOW + DAY)
    assert seed_of("shop", "checkout", NOW) != seed_of("shop", "payments", NOW)


def test_every_question_keeps_the_bounds_of_a_store() -> None:
    store = Store(begin=NOW - 28 * DAY, replica_sets={"checkout-6c7d8f9b54": (NOW - 28 * DAY, math.inf)})
    of(a_policy(**SHORT, gates=[ERRORS, MEMORY, ORDERS]), store)
    for ask in store.asked:
        assert isinstance(ask, FetchAlerts | FetchLevels | FetchPods | FetchPresence | FetchTotals)
        start, end, step = (
            (ask.start, ask.end, ask.step)
            if isinstance(ask, FetchTotals)
            else (ask.stretch.start, ask.stretch.end, ask.stretch.step)
        )
        assert (end - start) / step + 1 <= 11_000
        assert end <= NOW - Source().scrape + 1e-6
        assert start >= NOW - 28 * DAY - step
    kinds = [type(ask).__name__ for ask in store.asked]
    assert kinds.count("FetchPresence") == 1
    assert kinds.count("FetchTotals") == 3  # one a gate
    assert kinds.count("FetchPods") <= 84 * 3
    deployments = {ask.scope.deployments for ask in store.asked if isinstance(ask, FetchPods)}
    assert deployments == {("checkout", "checkout-twin")}


def test_progress_never_goes_back_and_ends_where_it_said() -> None:
    told: list[Progress] = []
    of(a_policy(**SHORT, gates=[ERRORS, MEMORY]), Store(), progress=told.append)
    assert [one.done for one in told] == list(range(len(told)))
    assert told[-1].done < told[-1].total <= len(told) + 2
    assert all(one.doing for one in told)


def test_a_process_that_is_asked_to_stop_waits_for_one_answer_at_most() -> None:
    store = Store()
    with pytest.raises(Stopped):
        of(a_policy(**SHORT), store, stopping=lambda: len(store.asked) >= 10)
    assert len(store.asked) == 10


# ------------------------------------------------------------------------------------------- what is left out


def test_rollouts_and_releases_teach_nothing() -> None:
    change = NOW - 3 * DAY
    store = Store(replica_sets={"checkout-6c7d8f9b54": (0.0, change), "checkout-twin-5b6d8f77c9": (change, math.inf)})
    release = {
        "metadata": {"name": "r1", "creationTimestamp": "2026-09-20T02:00:00Z"},
        "status": {"phase": "RolledBack", "since": "2026-09-20T02:30:00Z"},
    }
    gathered = gather(subject(store), NOW, releases=[release])
    assert [one.because.split()[0] for one in gathered.excluded] == ["rollout", "release"] or [
        one.because.split()[0] for one in gathered.excluded
    ] == ["release", "rollout"]
    for begin, end in gathered.segments:
        for one in gathered.excluded:
            assert end <= one.start or begin >= one.end
    assert len(gathered.rollouts) == 1


def test_b2_an_incident_teaches_nothing() -> None:
    begin = (NOW - 2 * DAY) // 300.0 * 300.0
    store = Store(firing={"CheckoutDown": tuple(begin + 300.0 * n for n in range(12))})
    gathered = gather(subject(store), NOW)
    (one,) = gathered.excluded
    assert one.because == "alert CheckoutDown fired"
    assert not any(start < one.end and end > one.start for start, end in gathered.segments)
    silent_rules = Store(answer=lambda ask: Unfetched(Why.REFUSED, "no") if isinstance(ask, FetchAlerts) else None)
    assert gather(subject(silent_rules), NOW).excluded == ()


def test_b9_a_release_under_way_is_left_out_up_to_now() -> None:
    obj = {"metadata": {"name": "r1", "creationTimestamp": "2026-09-20T02:00:00Z"}, "status": {"phase": "Canary"}}
    (one,) = released([obj], NOW)
    assert one.end == NOW
    assert list(released([{**obj, "status": {"phase": "Cancelled"}}, {**obj, "status": {}}], NOW)) == []
    broken = {"metadata": {"creationTimestamp": "yesterday"}, "status": {"phase": "Canary"}}
    assert list(released([broken], NOW)) == []


def test_pods_that_appear_in_a_stretch_are_born_there() -> None:
    store = Store(replica_sets={"checkout-6c7d8f9b54": (0.0, math.inf), "checkout-twin-5b6d8f77c9": (NOW - 600.0, NOW)})
    policy = a_policy(**SHORT)
    gate = policy.spec.gates[0]
    span = (NOW - 1_200.0, NOW)
    gathered_terms = {}
    from controller.learning.gather import _asks

    for term, ask in _asks(subject(store), gate, span):
        gathered_terms[term] = tuple(store.pods_of(ask))
    found = counted(gate, gathered_terms, span, WINDOW)
    assert found is not None
    born = found[1]
    assert len(born) == store.pods
    assert set(born.values()) == {NOW - 600.0}


# ------------------------------------------------------------------------------------------ too little, too odd


def test_less_history_than_six_segments_teaches_nothing_and_says_how_much_there_is() -> None:
    store = Store(begin=NOW - 1_800.0, replica_sets={"checkout-6c7d8f9b54": (NOW - 1_800.0, math.inf)})
    baseline = of(a_policy(**SHORT), store)
    errors, band = baseline.gates["errors"], baseline.bands["errors"]
    assert isinstance(errors, NotLearned)
    assert errors.reason == "TooLittleHistory"
    assert isinstance(band, NotLearned)
    assert band.reason == "TooLittleHistory"


def test_three_hours_teach_the_gates_and_no_band() -> None:
    store = Store(begin=NOW - 10_900.0, replica_sets={"checkout-6c7d8f9b54": (NOW - 10_900.0, math.inf)})
    baseline = of(a_policy(**SHORT), store)
    assert isinstance(baseline.gates["errors"], LearnedCounts)
    assert isinstance(baseline.bands["errors"], NotLearned)


def test_a_release_longer_than_the_segments_is_replayed_shorter_with_less_of_the_promise() -> None:
    policy = a_policy(observe={"atLeast": "2m", "atMost": "30m"})  # five stages: two and a half hours
    plan, share = replay_plan(policy, WINDOW, 7_200.0)
    assert plan.at_most * 5 <= 7_200.0 / WINDOW
    assert share == pytest.approx(plan.at_most / 60)
    whole, all_of_it = replay_plan(a_policy(**SHORT), WINDOW, 1_920.0)
    assert (whole.at_most, all_of_it) == (20, 1.0)


def test_an_app_of_one_pod_teaches_nothing_about_differences() -> None:
    errors = of(a_policy(**SHORT), Store(pods=1)).gates["errors"]
    assert isinstance(errors, NotLearned)
    assert errors.reason == "TooFewPods"


GATES = {
    "errorRatio": ERRORS,
    "latency": LATENCY,
    "gauge": MEMORY,
    "throughput": ORDERS,
}
FAULTS = [Why.TOO_LARGE, Why.TIMED_OUT, Why.UNREACHABLE, Why.REFUSED, Why.UNUSABLE, Why.NATIVE]


@pytest.mark.parametrize("kind", list(GATES))
@pytest.mark.parametrize("why", FAULTS)
def test_p0_a_fault_of_the_store_is_named_for_every_kind_of_gate(kind: str, why: Why) -> None:
    def broken(ask: Any) -> Unfetched | None:
        return Unfetched(why, f"gate x: {why}") if isinstance(ask, FetchPods | FetchLevels | FetchTotals) else None

    policy = a_policy(**SHORT, gates=[a_gate(GATES[kind])])
    name = policy.spec.gates[0].name
    baseline = of(policy, Store(answer=broken))
    gate, band = baseline.gates[name], baseline.bands[name]
    assert isinstance(gate, NotLearned)
    assert gate.reason == why.value
    assert isinstance(band, NotLearned)
    assert band.reason == why.value


@pytest.mark.parametrize("kind", list(GATES))
@pytest.mark.parametrize("why", [Why.NO_SERIES, Why.DOUBLED, Why.NATIVE, Why.RECORDED])
def test_a_series_that_is_not_sound_is_not_learned_from(kind: str, why: Why) -> None:
    policy = a_policy(**SHORT, gates=[a_gate(GATES[kind])])
    store = Store(diagnosis=Unfetched(why, "gate x: not sound"))
    gate = of(policy, store).gates[policy.spec.gates[0].name]
    if kind == "gauge":  # a query says itself what it reads
        assert isinstance(gate, LearnedLevels | NotLearned)
        return
    assert isinstance(gate, NotLearned)
    assert gate.reason == why.value
    assert not [ask for ask in store.asked if isinstance(ask, FetchPods)]


def test_p1_a_store_that_is_down_is_asked_once_and_not_six_hundred_times() -> None:
    store = Store(answer=lambda ask: Unfetched(Why.UNREACHABLE, "source default: no connection"))
    baseline = of(a_policy(**SHORT), store)
    assert len(store.asked) == 1
    assert all(isinstance(one, NotLearned) and one.reason == "Unreachable" for one in baseline.gates.values())


def test_a_few_segments_that_time_out_are_missing_and_nothing_more() -> None:
    calls = {"n": 0}

    def sometimes(ask: Any) -> Unfetched | None:
        if not isinstance(ask, FetchPods) or ask.term != "requests":
            return None
        calls["n"] += 1
        return Unfetched(Why.TIMED_OUT, "gate errors: timed out") if calls["n"] % 10 == 0 else None

    baseline = of(a_policy(**SHORT), Store(answer=sometimes))
    errors = baseline.gates["errors"]
    assert isinstance(errors, LearnedCounts)
    assert 70 <= errors.standing.segments < 84
    assert 0.8 < baseline.coverage < 0.95


def test_one_broken_gate_leaves_the_others_alone() -> None:
    def broken(ask: Any) -> Unfetched | None:
        return Unfetched(Why.TOO_LARGE, "gate memory: 10001 series") if isinstance(ask, FetchLevels) else None

    baseline = of(a_policy(**SHORT, gates=[ERRORS, MEMORY]), Store(answer=broken))
    assert isinstance(baseline.gates["errors"], LearnedCounts)
    memory = baseline.gates["memory"]
    assert isinstance(memory, NotLearned)
    assert "10001" in memory.detail


def test_a_store_without_any_series_of_the_app_is_told_apart_from_one_that_is_down() -> None:
    store = Store(replica_sets={}, diagnosis=Unfetched(Why.NO_SERIES, "gate errors: the store has no series of m"))
    errors = of(a_policy(**SHORT), store).gates["errors"]
    assert isinstance(errors, NotLearned)
    assert errors.reason == "NoSeries"
    assert "the store has no series" in errors.detail


def test_a_gate_that_may_not_stop_a_release_uses_up_nothing_of_the_promise() -> None:
    alone = of(a_policy(**SHORT), Store()).gates["errors"]
    beside = of(a_policy(**SHORT, gates=[ERRORS, {**ORDERS, "required": False}]), Store()).gates["errors"]
    assert isinstance(alone, LearnedCounts)
    assert isinstance(beside, LearnedCounts)
    assert beside.calibration == alone.calibration


# ---------------------------------------------------------------------------------------- the hour before a release


def test_an_hour_like_history_is_the_same_and_one_of_wilder_pods_is_not() -> None:
    calm = Store(pod_sd=0.05, rate=200.0)
    baseline = learn_policy(subject(calm), NOW)
    same = look_at_present(baseline, subject(calm), NOW, "uid-1")
    assert same.gates == {"errors": Likeness.SAME}
    assert (same.release, same.checked_at) == ("uid-1", NOW)
    wild = look_at_present(baseline, subject(replace(calm, pod_sd=1.0)), NOW, "uid-1")
    assert wild.gates == {"errors": Likeness.CHANGED}


def test_an_hour_without_data_is_unknown() -> None:
    baseline = learn_policy(subject(Store()), NOW)
    gone = Store(answer=lambda ask: Unfetched(Why.UNREACHABLE, "no connection"))
    assert look_at_present(baseline, subject(gone), NOW, "uid-1").gates == {"errors": Likeness.UNKNOWN}


def test_the_last_three_hours_alone_are_a_calibration_that_says_so() -> None:
    store = Store(pod_sd=0.6)
    found = relearn_lately(subject(store), NOW).gates["errors"]
    assert isinstance(found, LearnedCounts)
    assert found.standing.guarantee is Guarantee.NOISE_CHANGED
    assert found.standing.segments >= 6
    asked = [ask for ask in store.asked if isinstance(ask, FetchPods | FetchPresence)]
    assert min(ask.stretch.start for ask in asked) >= NOW - 10_800.0 - 300.0


def test_histories_are_what_the_command_line_backtests() -> None:
    gathered = gather(subject(Store()), NOW, bands=False)
    history = history_of(gathered.gates["errors"], 1, settings(a_policy(**SHORT).spec.gates[0], a_policy(**SHORT)))
    assert isinstance(history, CountHistory)
    assert len(history.segments) == 84
    taught = learn(gathered, a_policy(**SHORT), "shop", NOW)
    assert set(taught.required.taught) == {"errors"}
    assert taught.baseline.bands == {}


def rolled_out_weekly(**how: Any) -> Store:
    """Six versions, each beside the one before for an hour, as a release in batches leaves them."""
    begins = [NOW - (28 - 4 * n) * DAY for n in range(6)]
    names = [f"checkout-{'bcdfgh'[n] * 9}" for n in range(6)]
    ends = [*(begin + 3_600.0 for begin in begins[1:]), math.inf]
    sets = {name: (begin, end) for name, begin, end in zip(names, begins, ends, strict=True)}
    return Store(begin=NOW - 28 * DAY, replica_sets=sets, **how)


@pytest.mark.parametrize("gate", [ERRORS, LATENCY])
def test_past_rollouts_teach_how_long_a_pod_is_young(gate: dict[str, Any]) -> None:
    policy = a_policy(**SHORT, gates=[gate])
    young = of(policy, rolled_out_weekly(young=1.0, rate=60.0, errors=0.02)).gates[gate["name"]]
    assert isinstance(young, LearnedCounts | LearnedLatency), young
    assert young.age is not None
    # Twice the errors, or twice the latency, at birth, gone with a time constant of two minutes.
    assert 0.4 < young.age.extra < 2.5
    assert 60.0 <= young.age.seconds <= 300.0
    grown = of(policy, rolled_out_weekly(rate=60.0, errors=0.02)).gates[gate["name"]]
    assert isinstance(grown, LearnedCounts | LearnedLatency), grown
    assert grown.age is None or abs(grown.age.extra) < 0.25
