"""Hostile answers of a metric store at every question of a release: no batch advances on unusable data, nor fails.

One hostile answer costs a look and no more. A store that stays hostile ends the release by the policy's patience, in
the batch in which it began.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.samples import CounterSeries
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts
from controller.simulation.driver import Fault, Point, Refuse
from controller.simulation.traffic import Hostile, doubled, empty, refusing
from tests.kernel.night import Night, Told, begin
from tests.kernel.scenarios import GATE, SCENARIOS, a_world, ask, phase, status
from tests.kernel.strikes import LONGEST
from tests.kernel.test_single_faults import story_of


def each_series(change: Callable[[CounterSeries], CounterSeries | None]) -> Hostile:
    def hostile(_ask: FetchCounts, counts: Counts) -> Counts:
        return Counts(tuple(new for old in counts.series if (new := change(old)) is not None))

    return hostile


def last_value(value: float) -> Hostile:
    return each_series(lambda old: replace(old, values=(*old.values[:-1], value)))


def of_slot(suffix: str, *, twin: bool) -> Hostile:
    """The store has lost one side: pods of the twin slot, or of the other one."""
    return each_series(lambda old: None if (f"-{suffix}-" in old.pod) is twin else old)


def cut(keep: slice) -> Hostile:
    return each_series(
        lambda old: replace(old, times=old.times[keep], values=old.values[keep]) if old.times[keep] else None
    )


def _frozen_counter(old: CounterSeries) -> CounterSeries:
    return replace(old, values=(old.values[0],) * len(old.values))


# What the answer to any question may be; each blinds the gate.
ANY_TERM: dict[str, Hostile] = {
    "p1 unreachable": refusing(FailureKind.UNAVAILABLE, "connection refused"),
    "p3 query refused": refusing(FailureKind.INVALID, "422 many-to-many matching not allowed"),
    "p26 unauthorized": refusing(FailureKind.UNAUTHORIZED, "401"),
    "p26 forbidden": refusing(FailureKind.FORBIDDEN, "403"),
    "p29 throttled": lambda _ask, _counts: Failure(FailureKind.THROTTLED, "429", 20.0),
    "p8 not a number": last_value(math.nan),
    "p9 infinite": last_value(math.inf),
    "p9 minus infinite": last_value(-math.inf),
    "p27 negative": last_value(-1.0),
}
# What makes the answer about requests unusable; of an error counter some of it is an ordinary day.
REQUESTS: dict[str, Hostile] = {
    "p7 empty": empty,
    "p14 p15 doubled": doubled,
    "p10 stale": cut(slice(None, -5)),
    "p12 one sample": cut(slice(-1, None)),
    "p13 p17 contender missing": of_slot("twin", twin=True),
    "p17 incumbent missing": of_slot("twin", twin=False),
    "p24 no requests": each_series(_frozen_counter),
}
CASES = [(name, hostile, False) for name, hostile in ANY_TERM.items()] + [
    (name, hostile, True) for name, hostile in REQUESTS.items()
]
PARAMETERS = [pytest.param(hostile, only, id=name) for name, hostile, only in CASES]


class Struck:
    """Makes the store hostile from the tick of one question on, for that tick or for good."""

    def __init__(self, night: Night, index: int, hostile: Hostile, *, for_good: bool) -> None:
        self.night, self.index, self.hostile, self.for_good = night, index, hostile, for_good
        self.tick = -1

    def __call__(self, point: Point) -> Fault | None:
        if point.index >= self.index and self.tick < 0:
            self.tick = point.tick
            self.night.world.traffic.hostile = self.hostile
        elif self.tick >= 0 and not self.for_good and point.tick != self.tick:
            self.night.world.traffic.hostile = None
        return None


def only_of_requests(hostile: Hostile) -> Hostile:
    return lambda asked, counts: hostile(asked, counts) if asked.term != "errors" else counts


@pytest.mark.parametrize(("hostile", "only"), PARAMETERS)
def test_one_hostile_answer_at_any_question_advances_nothing_and_fails_nothing(hostile: Hostile, only: bool) -> None:
    story = story_of(SCENARIOS["healthy"])
    asked = [point for point in story.points if isinstance(point.request, FetchCounts)]
    tried = 0
    for point in asked:
        assert isinstance(point.request, FetchCounts)
        if only and point.request.term == "errors":
            continue
        night = story.before(point.index).fork()
        night.faults = Struck(night, point.index, hostile, for_good=False)
        night.run(LONGEST)  # S3 fails a night that advances in the very tick of the hostile answer
        # A query that the store refuses as wrong is refused before anything moves; later it only blinds.
        refused = before_the_start(story, point) and hostile is ANY_TERM["p3 query refused"]
        assert night.ending().phases == {"first": "Cancelled" if refused else "Succeeded"}, point
        tried += 1
    print(f"{tried} questions, advanced on unusable data: 0")
    assert tried >= 10


def before_the_start(story: Told, point: Point) -> bool:
    return phase(story.before(point.index).world) in ("", "Queued", "Preflight")


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize(("hostile", "only"), PARAMETERS)
def test_p1_to_p29_a_store_that_stays_hostile_ends_the_release_where_it_began(
    hostile: Hostile, only: bool, batch: int
) -> None:
    forks = story_of(SCENARIOS["healthy"]).forks.values()
    night = next(at for at in forks if phase(at.world) in ("Canary", "Batch") and stage(at) == batch).fork()
    night.faults = Struck(night, 0, only_of_requests(hostile) if only else hostile, for_good=True)
    night.run(LONGEST)
    assert night.ending().phases == {"first": "RolledBack"}
    assert night.ending().releases["first"][1] in ("Blind", "Undecided")
    assert stage(night) == batch


def stage(night: Night) -> int:
    index = status(night.world)["batch"]["index"]
    assert isinstance(index, int)
    return index


LATENCY: dict[str, Any] = {
    "name": "latency",
    "latency": {"histogram": "http_request_duration_seconds_bucket"},
    "tolerate": "2x",
}


OTHERS: dict[str, dict[str, Any]] = {
    "latency": LATENCY,
    "memory": {"name": "memory", "gauge": {"query": 'process_resident_memory_bytes{pod="$pods"}'}, "tolerate": "2x"},
    "orders": {"name": "orders", "throughput": {"events": "orders_completed_total"}, "tolerate": "2x"},
}
# A level that stands still is a level, and a pod that gets nothing done is what throughput is for.
HARMLESS = {("memory", "p24 no requests"), ("orders", "p24 no requests")}
# One reading of a level is a reading, but it never adds up to an observation; and a young pod is not compared with
# anybody yet. Too little is known, and the release ends without going on.
SCANT = {("memory", "p12 one sample"): "ReleaseDeadline", ("memory", "p17 incumbent missing"): "Undecided"}
BLINDING = [(gate, name) for gate in OTHERS for name in (*ANY_TERM, *REQUESTS) if (gate, name) not in HARMLESS]


@pytest.mark.parametrize(("gate", "name"), BLINDING, ids=lambda each: str(each).replace(" ", "-"))
def test_one_hostile_gate_of_two_blinds_the_release(gate: str, name: str) -> None:
    hostile = {**ANY_TERM, **REQUESTS}[name]
    world = a_world(gates=[GATE, OTHERS[gate]])
    ask(world)
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST, lambda at: phase(at.world) == "Canary")
    world.traffic.hostile = lambda asked, counts: hostile(asked, counts) if asked.gate == gate else counts
    night.run(LONGEST)
    assert night.ending().releases == {"first": ("RolledBack", SCANT.get((gate, name), "Blind"))}
    assert stage(night) == 0
    if (gate, name) not in SCANT:
        assert f"gate {gate}: " in status(world)["because"]


def test_a_hostile_gate_that_is_not_required_stops_nothing() -> None:
    world = a_world(gates=[GATE, {**LATENCY, "required": False}])
    ask(world)
    night = begin(world, lambda there: bool(phase(there)))
    away = Refuse(Failure(FailureKind.UNAVAILABLE, "connection refused"))
    night.faults = lambda point: away if getattr(point.request, "gate", "") == "latency" else None
    night.run(LONGEST)
    assert len(night.struck) > 10
    assert night.ending().phases == {"first": "Succeeded"}
