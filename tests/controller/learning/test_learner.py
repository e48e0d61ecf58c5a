"""When something is learned, and what may never happen: a write in mid-release, a loop, a good baseline lost."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from analysis.learned import Guarantee, LearnedCounts, NotLearned
from controller.baseline import Baseline, Likeness, Present, learning_digest, restored, to_object
from controller.learning.asks import FetchPods, FetchPresence, Unfetched, Why
from controller.learning.due import Due, Task, due
from controller.learning.learner import Learner, changed, unanswered
from controller.release.instants import rfc3339
from controller.release.names import AppKey
from controller.requests.failure import Failure, FailureKind
from controller.settings import Settings
from tests.controller.adapters.builders import SetClock
from tests.controller.learning.builders import COUNTS, DAY, NOW, WINDOW, Past, Store, a_baseline, silent
from tests.policies.builders import a_policy, a_policy_object

APP = AppKey("shop", "checkout")
HOUR = 3_600.0
SHORT: dict[str, Any] = {"strategy": {"twin": {"batches": 2}}, "observe": {"atLeast": "2m", "atMost": "10m"}}


class Clock(SetClock):
    """Stands at NOW until a test moves it."""

    def now(self) -> float:
        return NOW + self.at - 1000.0


@dataclass
class Cluster:
    """Policies, releases and baselines in memory, with a watch cache that can lag."""

    policy_objects: list[Any] = field(default_factory=list)
    release_objects: list[Any] = field(default_factory=list)
    stored: dict[str, Any] = field(default_factory=dict)
    cached: dict[str, Any] | None = None  # None: as stored
    writes: list[Any] = field(default_factory=list)
    refuse: Failure | None = None
    version: int = 100
    at_write: Any = None  # called before a write is judged
    looked_up: int = 0  # times that the releases of a policy were asked for: once for each case that is built

    def policies(self) -> Sequence[Mapping[str, Any]]:
        return self.policy_objects

    def releases_of(self, namespace: str, policy: str) -> Sequence[Mapping[str, Any]]:
        self.looked_up += 1
        return [one for one in self.release_objects if one["spec"]["policy"] == policy]

    def glance(self, namespace: str, name: str) -> Any:
        return (self.stored if self.cached is None else self.cached).get(name)

    def read(self, namespace: str, name: str) -> Any:
        return self.stored.get(name)

    def keep(self, manifest: Mapping[str, Any]) -> Any:
        if self.at_write is not None:
            self.at_write()
        if self.refuse is not None:
            return self.refuse
        name = manifest["metadata"]["name"]
        before = self.stored.get(name)
        if manifest["metadata"].get("resourceVersion", "") != (before or {"metadata": {}})["metadata"].get(
            "resourceVersion", ""
        ):
            return Failure(FailureKind.CONFLICT, "the object has been modified")
        self.version += 1
        kept = json.loads(json.dumps(manifest))
        kept["metadata"]["resourceVersion"] = str(self.version)
        self.stored[name] = kept
        self.writes.append(kept)
        return kept


@dataclass
class Ear:
    """What was told."""

    outcomes: list[tuple[str, str]] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    def learned(self, app: AppKey, what: str, outcome: str, took: float, because: str) -> None:
        assert because
        self.outcomes.append((what, outcome))

    def learner_crashed(self, app: AppKey, error: Exception) -> None:
        self.crashes.append(f"{app}: {error}")


@dataclass
class World:
    cluster: Cluster
    store: Store
    clock: Clock = field(default_factory=Clock)
    ear: Ear = field(default_factory=Ear)

    def __post_init__(self) -> None:
        self.learner = Learner(
            self.cluster, self.cluster, lambda name: Past(self.store), Settings(), self.clock, self.ear
        )

    def turns(self, most: int = 20) -> int:
        """As many turns as there is work -> their number."""
        for done in range(most):
            if not self.learner.turn():
                return done
        raise AssertionError("the learner finds work without end")

    def baseline(self, name: str = "checkout") -> Baseline:
        digest = learning_digest(a_policy(**SHORT), WINDOW)
        found = restored(self.cluster.stored[name], digest=digest, now=self.clock.now())
        assert isinstance(found, Baseline), found
        return found


def a_world(store: Store | None = None, policies: int = 1) -> World:
    objects = [a_policy_object(**SHORT)]
    for number in range(1, policies):
        one = a_policy_object(**SHORT)
        one["metadata"] |= {"name": f"app-{number}", "uid": f"uid-{number}"}
        one["spec"]["target"] = {"deployment": f"app-{number}"}
        objects.append(one)
    return World(Cluster(objects), store if store is not None else Store())


def a_release(phase: str = "", *, uid: str = "rel-1", since: float = NOW, created: float = NOW) -> dict[str, Any]:
    status = {"phase": phase, "since": rfc3339(since)} if phase else {}
    return {
        "metadata": {"name": uid, "namespace": "shop", "uid": uid, "creationTimestamp": rfc3339(created)},
        "spec": {"policy": "checkout"},
        "status": status,
    }


# ------------------------------------------------------------------------------------------------ what is due

LEARNED = a_baseline(learned_at=NOW - HOUR / 2, present=None, gates={"errors": COUNTS})


def needs(baseline: Baseline | NotLearned = LEARNED, *releases: Any, now: float = NOW) -> Due | None:
    return due(APP, baseline, releases, now)


def test_a_policy_without_a_baseline_that_can_be_trusted_is_learned() -> None:
    for reason in ("NoBaseline", "Corrupt", "OtherVersion", "OtherPolicy", "Old"):
        found = needs(NotLearned(reason, "why"))
        assert found is not None
        assert found.task is Task.LEARN


def test_a_fresh_baseline_needs_nothing_and_one_of_yesterday_is_learned_again() -> None:
    assert needs() is None
    assert needs(now=LEARNED.learned_at + DAY - 1.0) is None
    found = needs(now=LEARNED.learned_at + DAY)
    assert found is not None
    assert found.task is Task.LEARN


@pytest.mark.parametrize("phase", ["Canary", "Batch", "RollingBack"])
def test_nothing_is_learned_while_a_release_moves_pods(phase: str) -> None:
    assert needs(LEARNED, a_release(phase), now=NOW + 5 * DAY) is None
    assert needs(NotLearned("Corrupt", "why"), a_release(phase)) is None
    assert needs(NotLearned("Corrupt", "why"), a_release(phase), a_release("Queued", uid="rel-2")) is None


def test_a_release_that_waits_is_looked_at_once() -> None:
    for phase in ("", "Queued", "Preflight"):
        found = needs(LEARNED, a_release(phase))
        assert found == Due(APP, Task.PRESENT, found.because if found else "", "rel-1")
    looked = replace(LEARNED, present=Present("rel-1", NOW, {"errors": Likeness.SAME}))
    assert needs(looked, a_release("Preflight")) is None
    assert needs(looked, a_release("Preflight", uid="rel-2")) is not None


def test_of_several_that_wait_the_one_under_examination_comes_first_and_then_the_oldest() -> None:
    older, younger = a_release("Queued", uid="a", created=NOW - 60), a_release("Queued", uid="b", created=NOW - 30)
    examined = a_release("Preflight", uid="c", created=NOW)
    for releases, first in (((older, younger, examined), "c"), ((younger, older), "a")):
        found = needs(LEARNED, *releases)
        assert found is not None
        assert found.release == first


def test_a_promotion_is_learned_an_hour_after_it_and_once() -> None:
    promoted = a_release("Succeeded", since=NOW - 50 * 60)
    before = replace(LEARNED, learned_at=NOW - 3 * HOUR)
    assert needs(before, promoted) is None
    assert needs(before, promoted, now=NOW + 11 * 60) is not None
    after = replace(LEARNED, learned_at=NOW + 10 * 60)
    assert needs(after, promoted, now=NOW + 20 * 60) is None
    # One that was learned with an eye on the last hour right after the promotion does not count as learned from it.
    early = replace(LEARNED, learned_at=NOW - 40 * 60)
    assert needs(early, promoted, now=NOW + 11 * 60) is not None


def test_a_rollback_is_no_promotion() -> None:
    assert needs(replace(LEARNED, learned_at=NOW - 3 * HOUR), a_release("RolledBack", since=NOW - 2 * HOUR)) is None


def test_what_could_not_be_learned_is_tried_again_within_the_hour() -> None:
    partly = replace(LEARNED, gates={"errors": COUNTS, "orders": NotLearned("TooLittleHistory", "2 segments")})
    assert needs(partly) is None
    assert needs(partly, now=LEARNED.learned_at + HOUR) is not None


def test_what_three_hours_taught_is_replaced_by_history_again() -> None:
    lately = replace(LEARNED, present=Present("rel-0", NOW, {"errors": Likeness.CHANGED}))
    assert needs(lately) is None
    assert needs(lately, now=LEARNED.learned_at + HOUR) is not None


# ---------------------------------------------------------------------------------------------------- the turns


def test_every_policy_is_learned_once_and_then_rests() -> None:
    world = a_world(policies=3)
    store = world.store
    store.replica_sets = {f"{app}-6c7d8f9b54": (NOW - 7 * DAY, math.inf) for app in ("checkout", "app-1", "app-2")}
    assert world.turns() == 3
    assert [write["metadata"]["name"] for write in world.cluster.writes] == ["app-1", "app-2", "checkout"]
    for _ in range(50):
        world.clock.at += 60.0
        assert world.turns() == 0
    assert set(world.learner.learned_at().values()) == {NOW}


def test_k32_a_day_of_an_idle_policy_is_one_write() -> None:
    world = a_world()
    for _ in range(int(3 * DAY / 900)):
        world.turns()
        world.clock.at += 900.0
    assert 3 <= len(world.cluster.writes) <= 4


def test_k32_a_policy_without_any_history_is_written_down_once() -> None:
    world = a_world(Store(replica_sets={}, diagnosis=Unfetched(Why.NO_SERIES, "gate errors: no series")))
    for _ in range(100):
        world.turns()
        world.clock.at += 600.0
    assert len(world.cluster.writes) == 1
    assert isinstance(world.baseline().gates["errors"], NotLearned)


def test_b8_a_baseline_that_somebody_edited_is_learned_anew() -> None:
    world = a_world()
    world.turns()
    broken = copy.deepcopy(world.cluster.stored["checkout"])
    broken["status"]["payload"] = broken["status"]["payload"].replace("0", "1", 1)
    broken["metadata"]["resourceVersion"] = str(world.cluster.version + 1)
    world.cluster.version += 1
    world.cluster.stored["checkout"] = broken
    world.clock.at += 300.0
    assert world.turns() == 1
    assert isinstance(world.baseline().gates["errors"], LearnedCounts)


def test_an_edited_policy_is_learned_anew() -> None:
    world = a_world()
    world.turns()
    world.cluster.policy_objects[0]["spec"]["promise"] = {"falseRollback": "2%"}
    world.clock.at += 300.0
    assert world.turns() == 1
    assert len(world.cluster.writes) == 2


def test_a_copy_that_lags_behind_our_own_write_makes_no_second_one() -> None:
    world = a_world()
    world.cluster.cached = {}
    assert world.turns() == 1
    world.clock.at += 30.0
    assert world.turns() == 0
    world.cluster.cached = None
    assert world.turns() == 0
    assert len(world.cluster.writes) == 1


def test_a_release_that_waits_gets_its_look_before_another_policy_is_learned() -> None:
    world = a_world(policies=2)
    world.store.replica_sets = {f"{app}-6c7d8f9b54": (NOW - 7 * DAY, math.inf) for app in ("checkout", "app-1")}
    world.cluster.release_objects = [a_release("Preflight")]
    assert world.learner.turn()
    (write,) = world.cluster.writes
    assert write["metadata"]["name"] == "checkout"
    present = world.baseline().present
    assert present is not None
    assert present.release == "rel-1"


def test_a_release_that_begins_to_wait_while_others_are_learned_goes_next() -> None:
    world = a_world(Store(answer=silent), policies=4)
    assert world.learner.turn()
    world.cluster.release_objects = [a_release("Preflight")]
    world.clock.at += 6.0
    assert world.learner.turn()
    assert [what for what, _ in world.ear.outcomes] == ["learn", "present"]
    assert world.turns() == 2


def test_work_that_is_due_no_longer_when_its_turn_comes_is_left_out() -> None:
    world = a_world(Store(answer=silent), policies=3)
    assert world.learner.turn()
    del world.cluster.policy_objects[2]  # app-2, which would be next
    assert world.turns() == 1
    assert world.ear.crashes == []


def test_a_round_builds_the_case_of_a_policy_twice_and_of_one_that_backs_off_never() -> None:
    world = a_world(Store(answer=silent), policies=30)
    assert world.turns(most=31) == 30
    assert world.cluster.looked_up == 60
    world.clock.at += 15.0
    assert world.turns() == 0
    assert world.cluster.looked_up == 60
    world.clock.at += 15.0
    assert world.turns(most=31) == 30
    assert world.cluster.looked_up == 120


def test_the_age_of_a_baseline_that_is_taken_away_while_its_policy_backs_off_is_told_no_longer() -> None:
    world = a_world()
    world.turns()
    world.store.answer = silent
    world.clock.at += DAY
    assert world.turns() == 1
    assert world.turns() == 0
    assert set(world.learner.learned_at().values()) == {NOW}
    del world.cluster.stored["checkout"]
    assert world.turns() == 0
    assert world.learner.learned_at() == {}


def test_the_look_at_the_last_hour_leaves_what_was_learned_as_it_was() -> None:
    world = a_world(Store(rate=200.0, pod_sd=0.05))
    world.turns()
    before = world.baseline()
    world.cluster.release_objects = [a_release("Preflight")]
    world.clock.at += 300.0
    assert world.turns() == 1
    after = world.baseline()
    assert after.present is not None
    if Likeness.CHANGED not in after.present.gates.values():
        assert after.gates == before.gates
        assert after.learned_at == before.learned_at


def test_noise_that_has_changed_is_learned_from_the_last_three_hours() -> None:
    world = a_world(Store(rate=200.0, pod_sd=0.05))
    world.turns()
    world.store.pod_sd = 1.0
    world.cluster.release_objects = [a_release("Preflight")]
    world.clock.at += 300.0
    assert world.turns() == 1
    after = world.baseline()
    assert after.present is not None
    assert after.present.gates == {"errors": Likeness.CHANGED}
    errors = after.gates["errors"]
    assert isinstance(errors, LearnedCounts)
    assert errors.standing.guarantee is Guarantee.NOISE_CHANGED
    assert after.learned_at == world.clock.now()


def test_a_gate_whose_noise_changed_and_that_three_hours_cannot_teach_promises_nothing() -> None:
    before = a_baseline(gates={"errors": COUNTS, "orders": COUNTS})
    unknown = NotLearned("TooLittleHistory", "3 usable segments of 6")
    lately = a_baseline(gates={"errors": unknown, "orders": unknown}, learned_at=NOW)
    present = Present("rel-1", NOW, {"errors": Likeness.CHANGED, "orders": Likeness.SAME})
    after = changed(before, lately, present)
    errors = after.gates["errors"]
    assert isinstance(errors, NotLearned)
    assert errors.reason == "NoiseChanged"
    assert after.gates["orders"] == COUNTS
    assert after.learned_at == NOW
    assert after.present == present


def test_gates_whose_noise_is_that_of_history_keep_their_four_weeks() -> None:
    before = a_baseline(gates={"errors": COUNTS, "orders": COUNTS})
    scant = replace(COUNTS, standing=replace(COUNTS.standing, guarantee=Guarantee.NOISE_CHANGED, segments=6))
    lately = a_baseline(gates={"errors": scant, "orders": scant}, learned_at=NOW)
    present = Present("rel-1", NOW, {"errors": Likeness.CHANGED, "orders": Likeness.SAME})
    after = changed(before, lately, present)
    assert after.gates == {"errors": scant, "orders": COUNTS}
    assert (after.start, after.coverage) == (before.start, before.coverage)


def test_a_release_without_a_baseline_is_told_at_once_that_there_is_nothing() -> None:
    world = a_world(Store(answer=silent))
    world.cluster.release_objects = [a_release("Preflight")]
    assert world.turns() == 1
    baseline = world.baseline()
    assert baseline.present is not None
    assert baseline.present.release == "rel-1"
    assert all(isinstance(one, NotLearned) for one in baseline.gates.values())


# ------------------------------------------------------------------------------------------------------- faults


def test_p1_a_silent_store_costs_no_good_baseline_and_is_asked_less_and_less() -> None:
    world = a_world()
    world.turns()
    world.store.answer = silent
    world.clock.at += DAY + 60.0
    tries = 0
    for _ in range(int(6 * HOUR / 30)):
        tries += world.turns()
        world.clock.at += 30.0
    assert len(world.cluster.writes) == 1
    assert isinstance(world.baseline().gates["errors"], LearnedCounts)
    assert 5 <= tries <= 15
    assert set(world.ear.outcomes[1:]) == {("learn", "unanswered")}
    world.store.answer = lambda _: None
    world.clock.at += HOUR
    assert world.turns() == 1
    assert len(world.cluster.writes) == 2


def test_k1_who_loses_the_race_looks_again_and_finds_nothing_to_do() -> None:
    world = a_world()

    def somebody_else() -> None:
        world.cluster.at_write = None
        other = to_object(
            a_baseline(a_policy(**SHORT), learned_at=world.clock.now(), present=None, gates={"errors": COUNTS}),
            namespace="shop",
            name="checkout",
            policy_uid="6a1b",
        )
        world.cluster.keep(other)

    world.cluster.at_write = somebody_else
    assert world.learner.turn()
    assert world.ear.outcomes == [("learn", "lost")]
    assert len(world.cluster.writes) == 1
    world.clock.at += 3_700.0
    assert world.turns() == 0


def test_a_release_that_begins_meanwhile_keeps_what_it_relies_on() -> None:
    world = a_world()
    world.turns()
    world.clock.at += DAY
    begun = {"n": 0}

    def begins(ask: Any) -> None:
        begun["n"] += 1
        if begun["n"] == 20:
            world.cluster.release_objects = [a_release("Canary")]

    world.store.answer = begins
    assert world.turns() == 1
    assert world.ear.outcomes[-1] == ("learn", "lost")
    assert len(world.cluster.writes) == 1


def test_a_fault_of_ours_is_told_and_leaves_the_other_policies_alone() -> None:
    world = a_world(policies=2)
    world.store.replica_sets = {f"{app}-6c7d8f9b54": (NOW - 7 * DAY, math.inf) for app in ("checkout", "app-1")}

    def crash(ask: Any) -> None:
        if isinstance(ask, FetchPresence | FetchPods) and ask.scope.deployments[0] == "app-1":
            raise RuntimeError("ours")

    world.store.answer = crash
    world.turns()
    assert world.ear.crashes == ["shop/app-1: ours"]
    assert [write["metadata"]["name"] for write in world.cluster.writes] == ["checkout"]
    world.clock.at += 20.0
    assert world.turns() == 0  # it backs off
    world.clock.at += 20.0
    world.turns()
    assert len(world.ear.crashes) == 2


def test_a_write_that_is_refused_is_tried_again_later() -> None:
    world = a_world()
    world.cluster.refuse = Failure(FailureKind.FORBIDDEN, "baselines is forbidden")
    assert world.turns() == 1
    assert world.ear.outcomes == [("learn", "refused")]
    assert world.turns() == 0
    world.cluster.refuse = None
    world.clock.at += 31.0
    assert world.turns() == 1
    assert len(world.cluster.writes) == 1


def test_k20_without_the_kind_nothing_is_learned_and_nothing_breaks() -> None:
    world = a_world()
    gone = Failure(FailureKind.NO_KIND, "the server could not find the requested resource")
    world.cluster.glance = lambda namespace, name: gone  # type: ignore[method-assign]
    assert world.turns() == 0
    assert world.store.asked == []


def test_policies_that_are_none_and_sources_that_are_unknown_are_left_alone() -> None:
    world = a_world()
    world.cluster.policy_objects[0]["spec"]["gates"] = "many"
    other = a_policy_object(**SHORT, metrics={"source": "elsewhere"})
    going = a_policy_object(**SHORT)
    going["metadata"] |= {"name": "going", "deletionTimestamp": "2026-09-20T02:00:00Z"}
    world.cluster.policy_objects += [other, going]
    assert world.turns() == 0
    assert world.ear.crashes == []


def test_silence_of_the_store_is_told_apart_from_a_history_that_teaches_nothing() -> None:
    down = a_baseline(gates={"errors": NotLearned("Unreachable", "x"), "latency": NotLearned("TimedOut", "x")})
    assert unanswered(down)
    assert not unanswered(a_baseline(gates={"errors": NotLearned("TooLittleHistory", "x")}))
    assert not unanswered(a_baseline(gates={"errors": COUNTS, "latency": NotLearned("TimedOut", "x")}))
