"""Releases that rely on what was learned: the wait before them, their one baseline, every kind of gate, the band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from analysis.band_terms import Unit
from controller.attempt import parsed
from controller.baseline import Baseline
from controller.preflight import LEARNING_PATIENCE
from controller.release.record import Record
from controller.release.vocabulary import Cause, HoldReason, Phase
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import FetchTotals
from controller.requests.looks import ReadBaseline
from controller.settings import Settings
from controller.simulation import manifests
from controller.simulation.driver import Driver, Fault, Meddle, Point, Refuse
from controller.simulation.world import World
from policies.load import from_object
from policies.schema import ReleasePolicy
from tests.simulation import laws, past

GATES: dict[str, dict[str, Any]] = {
    "errors": {"errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"}},
    "memory": {"gauge": {"query": 'process_resident_memory_bytes{pod="$pods"}'}},
    "orders": {"throughput": {"events": "orders_completed_total"}},
}
DEGRADED = ("errors", "memory", "orders")


def gates(*names: str, **changes: Any) -> dict[str, Any]:
    """The fields of a spec with these gates, and other changes."""
    kept = [{"name": name, **GATES[name]} for name in names or GATES]
    observe = {"atLeast": "2m", "atMost": "6m", "onUndecided": "advance"}
    return {
        "gates": kept,
        "strategy": {"twin": {"canary": 2, "batches": ["50%", "100%"]}},
        "observe": observe,
        **changes,
    }


def a_world(spec: dict[str, Any], *, pods: int = 12) -> tuple[World, ReleasePolicy]:
    """An app of twelve pods that has served for five minutes."""
    obj = manifests.policy("checkout", **spec)
    world = World(1)
    world.behave("v1", errors=0.005)
    world.add_app("checkout", "v1", pods, load=600.0, policy=obj)
    world.behave("v2", errors=0.005)
    return world, from_object(obj)


@cache
def three_hours() -> tuple[World, Baseline]:
    """A world that has served for three hours, and what the real learner makes of them. Fork it.

    Of 24 pods twelve may be on trial: a gauge needs twelve others that history knows.
    """
    world, policy = a_world(gates(), pods=24)
    return world, past.learned(world, policy)


@dataclass
class Run:
    """A release under way, and every answer that its ticks were given."""

    driver: Driver
    answers: list[tuple[Point, Answer]]

    @property
    def world(self) -> World:
        return self.driver.world

    @property
    def record(self) -> Record:
        return parsed(self.world.objects.items["Release", "shop", "r"]).record

    def until(self, there: Callable[[Record], bool], minutes: float = 60.0) -> Record:
        """Goes on until the record is so. Fails when it never is."""
        end = self.world.now + 60.0 * minutes
        while self.world.now < end:
            if there(self.record):
                return self.record
            self.driver.run_to(self.world.now + 5.0)
        raise AssertionError(f"never came: {self.record.phase} {self.record.because}")

    def ended(self) -> Record:
        return self.until(lambda record: record.ended, 300.0)

    def asked(self, kind: type[Any]) -> int:
        return sum(isinstance(point.request, kind) for point, _ in self.answers)


def released(world: World, *, learns: bool = True, meddle: Meddle | None = None) -> Run:
    """Somebody asks for v2."""
    world.after_write += [law for law in laws.ALL if law not in world.after_write]
    world.create(manifests.release("checkout", "r", "v2"))
    answers: list[tuple[Point, Answer]] = []
    driver = Driver(
        world, Settings(learns=learns), meddle=meddle, on_answer=lambda point, answer: answers.append((point, answer))
    )
    return Run(driver, answers)


def with_history(*, checked: bool = True, meddle: Meddle | None = None) -> tuple[Run, Baseline]:
    """A release in the world of three hours; `checked`: the learner has held the last hour against its baseline."""
    begun, baseline = three_hours()
    world = begun.fork()
    past.keep(world, baseline)
    run = released(world, meddle=meddle)
    if checked:
        past.keep(world, baseline, present=uid(run))
    return run, baseline


def uid(run: Run) -> str:
    return str(run.world.objects.items["Release", "shop", "r"]["metadata"]["uid"])


def moving(record: Record) -> bool:
    return record.phase is Phase.CANARY


def judging(record: Record) -> bool:
    """Whether the canary's errors are judged by what was learned."""
    return moving(record) and standing(record).get("errors", "").startswith("calibrated")


def standing(record: Record) -> dict[str, str]:
    """What stands behind each gate at the last look."""
    return {verdict.gate: str(verdict.evidence.get("guarantee", "")) for verdict in record.verdicts}


# ------------------------------------------------------------------------------------------------ before the start


def test_a_release_relies_on_the_baseline_that_was_checked_for_it_and_says_so() -> None:
    run, baseline = with_history()
    began = run.until(moving, 2.0)
    assert began.baseline is not None
    assert (began.baseline.digest, began.baseline.learned_at) == (baseline.digest, baseline.learned_at)
    assert not any(entry.kind == "HoldLearning" for entry in began.decisions)
    told = "\n".join(began.notes)
    assert "baseline version 2" in told and ", checked against the last hour" in told
    assert "gate errors: calibrated: 1 % calibrated on 6 segments" in told
    end = run.ended()
    assert end.phase is Phase.SUCCEEDED
    last = standing(end)
    assert all(last[gate].startswith("calibrated") for gate in ("errors", "orders")), last
    # With all 24 on trial nobody is left of those that history knows.
    assert last["memory"] == "assumed pod noise: no promised rate"


def test_a_release_waits_for_the_check_of_its_own_uid_and_begins_when_it_is_there() -> None:
    run, baseline = with_history(checked=False)
    held = run.until(lambda record: record.held is not None, 1.0).held
    assert held is not None and held.reason is HoldReason.LEARNING
    assert held.until == held.since + LEARNING_PATIENCE
    past.keep(run.world, baseline, present="another-release")
    run.driver.run_to(run.world.now + 30.0)
    assert run.record.phase is Phase.PREFLIGHT
    past.keep(run.world, baseline, present=uid(run))
    began = run.until(moving, 1.0)
    assert began.started - held.since < 90.0
    assert began.baseline is not None


def test_the_wait_for_the_learner_is_bounded_and_the_release_begins_with_what_is_there() -> None:
    run, _ = with_history(checked=False)
    began = run.until(moving, 6.0)
    waited = next(entry.at for entry in began.decisions if entry.kind == "HoldLearning")
    assert LEARNING_PATIENCE <= began.started - waited <= LEARNING_PATIENCE + 60.0
    assert began.baseline is not None
    assert any("not checked against the last hour" in note for note in began.notes)


def nothing(world: World, _baseline: Baseline) -> None:
    world.delete("Baseline", "checkout")


def corrupt(world: World, _baseline: Baseline) -> None:
    payload = world.objects.items["Baseline", "shop", "checkout"]["status"]["payload"]
    world.edit("Baseline", "checkout", {"status": {"payload": payload.replace("0.0", "9.9", 1)}}, status=True)


def of_an_older_policy(world: World, baseline: Baseline) -> None:
    past.keep(world, replace(baseline, digest="0123456789abcdef"))


def too_old(world: World, baseline: Baseline) -> None:
    past.keep(world, replace(baseline, learned_at=baseline.learned_at - 30 * 86_400.0))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(nothing, "NoBaseline"), (corrupt, "Corrupt"), (of_an_older_policy, "OtherPolicy"), (too_old, "Old")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_baseline_that_cannot_be_trusted_is_named_and_the_gates_assume_pod_noise(
    spoil: Callable[[World, Baseline], None], why: str
) -> None:
    run, baseline = with_history()
    spoil(run.world, baseline)
    began = run.until(moving, 6.0)
    assert began.baseline is None
    assert any(note.startswith(f"no baseline ({why}: ") for note in began.notes), began.notes
    end = run.ended()
    assert end.phase is Phase.SUCCEEDED
    assert set(standing(end).values()) == {"assumed pod noise: no promised rate"}


def test_an_unreadable_baseline_keeps_no_release_from_beginning() -> None:
    gone = Failure(FailureKind.UNAVAILABLE, "the watch cache is cold")

    def meddle(point: Point) -> Fault | None:
        return Refuse(gone) if isinstance(point.request, ReadBaseline) else None

    run, _ = with_history(meddle=meddle)
    began = run.until(moving, 6.0)
    assert began.baseline is None
    assert any("Unread: the baseline could not be read: the watch cache is cold" in note for note in began.notes)


def test_nobody_asks_or_waits_for_a_baseline_where_nobody_learns() -> None:
    begun, baseline = three_hours()
    world = begun.fork()
    past.keep(world, baseline)
    run = released(world, learns=False)
    end = run.ended()
    assert end.phase is Phase.SUCCEEDED
    assert run.asked(ReadBaseline) == 0 and run.asked(FetchTotals) == 0
    assert end.baseline is None and not any("baseline" in note for note in end.notes)


# ------------------------------------------------------------------------------------------------ in mid-release


@pytest.mark.parametrize("spoil", [nothing, corrupt, of_an_older_policy], ids=lambda each: each.__name__)
def test_a_baseline_that_goes_in_mid_release_leaves_assumed_noise_and_the_release_goes_on(
    spoil: Callable[[World, Baseline], None],
) -> None:
    run, baseline = with_history()
    run.until(judging, 10.0)
    spoil(run.world, baseline)
    end = run.ended()
    assert end.phase is Phase.SUCCEEDED
    assert set(standing(end).values()) == {"assumed pod noise: no promised rate"}


def test_a_newer_baseline_is_not_used_by_a_release_that_began_with_another() -> None:
    run, baseline = with_history()
    run.until(judging, 10.0)
    past.keep(run.world, replace(baseline, learned_at=baseline.learned_at + 1.0))
    end = run.ended()
    assert set(standing(end).values()) == {"assumed pod noise: no promised rate"}
    assert end.baseline is not None and end.baseline.learned_at == baseline.learned_at


def test_a_baseline_that_appears_in_mid_release_is_not_used_either() -> None:
    run, baseline = with_history()
    nothing(run.world, baseline)
    run.until(moving, 6.0)
    past.keep(run.world, baseline, present=uid(run))
    end = run.ended()
    assert set(standing(end).values()) == {"assumed pod noise: no promised rate"}


def test_a_tightened_margin_is_not_judged_with_thresholds_of_the_old_one() -> None:
    run, _ = with_history()
    run.until(judging, 10.0)
    tight = [{"name": name, **GATES[name]} for name in GATES]
    tight[0]["tolerate"] = "1.1x"
    run.world.edit("ReleasePolicy", "checkout", {"spec": {"gates": tight}})
    after = run.until(lambda record: any(entry.kind == "PolicyTightened" for entry in record.decisions), 5.0)
    run.until(lambda record: record.verdicts_at > after.written, 5.0)
    told = standing(run.record)
    assert told["errors"] == "assumed pod noise: no promised rate"
    assert told["orders"].startswith("calibrated")


# ------------------------------------------------------------------------------------------------ every kind of gate


@pytest.mark.parametrize("learns", [True, False], ids=["learned", "assumed"])
@pytest.mark.parametrize(
    ("gate", "harm"),
    [("errors", {"errors": 0.02}), ("memory", {"memory": 2.0}), ("orders", {"orders": 0.4})],
    ids=DEGRADED,
)
def test_each_kind_of_gate_turns_back_a_contender_that_is_worse(
    gate: str, harm: dict[str, float], learns: bool
) -> None:
    begun, baseline = three_hours()
    world = begun.fork()
    past.keep(world, baseline)
    world.behave("v2", **harm)
    run = released(world, learns=learns)
    past.keep(world, baseline, present=uid(run))
    end = run.ended()
    assert (end.phase, end.cause) == (Phase.ROLLED_BACK, Cause.GATE)
    assert f"gate {gate}: " in end.because
    turned = next(entry for entry in end.decisions if entry.kind == "RollBack")
    (told,) = [verdict for verdict in turned.verdicts if verdict.gate == gate]
    assert str(told.evidence["guarantee"]).startswith("calibrated" if learns else "assumed pod noise")
    # The level of a pod younger than ten minutes is no level yet; everything else shows in the canary.
    assert turned.stage == (1 if gate == "memory" else 0)


def test_a_gauge_has_a_hard_bound_whatever_the_incumbents_do() -> None:
    spec = gates("memory")
    spec["gates"][0]["limit"] = 500_000_000
    world, _ = a_world(spec)
    world.behave("v2", memory=1.9)
    end = released(world, learns=False).ended()
    assert (end.phase, end.cause) == (Phase.ROLLED_BACK, Cause.GATE)
    limits = [verdict for entry in end.decisions for verdict in entry.verdicts if verdict.evidence.get("limitBroken")]
    assert limits, end.because


# ------------------------------------------------------------------------------------------------ the app's own history


def with_band(spec: dict[str, Any], *, checked: bool = True) -> Run:
    """A release of an app whose share of errors has a band of a week around 0.5 %."""
    world, policy = a_world(spec)
    world.step_to(world.now + 300.0)
    band = past.a_band(world, "errors", 0.005, Unit.SHARE)
    baseline = past.an_empty_baseline(policy, world.now, {"errors": band})
    past.keep(world, baseline)
    run = released(world)
    if checked:
        past.keep(world, baseline, present=uid(run))
    return run


SLOW = {"observe": {"atLeast": "2m", "atMost": "15m", "onUndecided": "advance"}}


def test_both_versions_worse_than_history_is_shared_and_a_person_is_asked() -> None:
    run = with_band(gates("errors", **SLOW, onShared={"hold": "5m", "then": "pause"}))
    run.until(moving, 5.0)
    for version in ("v1", "v2"):
        run.world.behave(version, errors=0.03)
    held = run.until(lambda record: record.held is not None and record.held.reason is HoldReason.SHARED, 30.0).held
    assert held is not None and held.until == held.since + 300.0
    paused = run.until(lambda record: record.held is not None and record.held.then.startswith("rollBack, unless"), 10.0)
    assert paused.phase is Phase.CANARY or paused.phase is Phase.BATCH
    verdict = paused.verdicts[0]
    assert verdict.verdict.value == "Shared" and verdict.evidence["history"]["verdict"] == "Degraded"


def test_shared_turns_back_where_the_policy_says_so() -> None:
    run = with_band(gates("errors", **SLOW, onShared={"hold": "5m", "then": "rollBack"}))
    run.until(moving, 5.0)
    for version in ("v1", "v2"):
        run.world.behave(version, errors=0.03)
    end = run.ended()
    assert (end.phase, end.cause) == (Phase.ROLLED_BACK, Cause.SHARED)


def test_a_worse_contender_is_not_excused_by_a_worse_environment() -> None:
    run = with_band(gates("errors", **SLOW))
    run.until(moving, 5.0)
    run.world.behave("v1", errors=0.02)
    run.world.behave("v2", errors=0.20)
    end = run.ended()
    assert (end.phase, end.cause) == (Phase.ROLLED_BACK, Cause.GATE)


@pytest.mark.parametrize("band", [True, False], ids=["band", "no band"])
def test_what_begins_when_no_incumbent_is_left_is_seen_by_the_band_alone(band: bool) -> None:
    spec = gates("errors", observe={"atLeast": "1m", "atMost": "15m", "onUndecided": "advance"})
    if band:
        run = with_band(spec)
    else:
        world, _ = a_world(spec)
        run = released(world)
    # Settled in the last stage: the last incumbent pod is gone.
    run.until(lambda record: record.stage == record.stages > 0 and record.ready[1] == 0, 60.0)
    run.world.behave("v2", errors=0.03)
    end = run.ended()
    if band:
        assert (end.phase, end.cause) == (Phase.ROLLED_BACK, Cause.GATE), end.because
        assert "worse than history" in end.because
        assert [forecast.gate for forecast in end.forecasts] == ["errors"]
    else:
        assert end.phase is Phase.SUCCEEDED
        assert run.asked(FetchTotals) == 0


def test_a_healthy_release_passes_its_band() -> None:
    run = with_band(gates("errors", **SLOW))
    end = run.ended()
    assert end.phase is Phase.SUCCEEDED, end.because
    assert end.verdicts[0].evidence["history"]["verdict"] in ("Healthy", "Undecided")


def test_a_band_without_an_answer_leaves_the_gate_as_it_was() -> None:
    run = with_band(gates("errors", **SLOW))
    run.world.traffic.past.clear()  # the store has forgotten the day before
    end = run.ended()
    assert end.phase is Phase.SUCCEEDED
    (forecast,) = end.forecasts
    assert forecast.absent and not forecast.numbers
    assert end.verdicts[0].evidence["history"]["verdict"] == "Blind"
    before = sum(
        isinstance(point.request, FetchTotals) and point.request.end == forecast.origin for point, _ in run.answers
    )
    assert before == 1, "what is absent for good is asked once"
