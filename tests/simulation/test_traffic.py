"""The simulated metric store answers exactly what was asked: counters of pods at instants, with their holes."""

from __future__ import annotations

import itertools
import math

import pytest

from analysis.samples import CounterSeries
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts, Term
from controller.simulation.pods import Behaviour
from controller.simulation.traffic import BOUNDS, LE, QUIET, doubled, empty, latency_shares, refusing, without
from controller.simulation.world import Conditions, World
from policies.schema import Selector

SELECTOR = Selector.parse("http_requests_total")


def a_world(*, load: float = 100.0, errors: float = 0.0) -> World:
    world = World(3, Conditions(noise=QUIET))
    world.ordinary = Behaviour(errors=errors)
    world.add_app("checkout", "v1", 10, load=load)
    return world


def ask(world: World, term: Term, start: float, end: float, *, sets: tuple[str, ...] | None = None) -> FetchCounts:
    names = sets if sets is not None else tuple({pod.state.replica_set for pod in world.pods.values()})
    return FetchCounts(
        source="default",
        gate="g",
        term=term,
        selector=SELECTOR,
        namespace="shop",
        namespace_label="namespace",
        pod_label="pod",
        replica_sets=names,
        start=start,
        end=end,
        step=30.0,
        fresh_within=30.0,
    )


def series(world: World, term: Term, start: float, end: float) -> tuple[CounterSeries, ...]:
    answer = world.answer(ask(world, term, start, end))
    assert isinstance(answer, Counts)
    return answer.series


def test_the_counted_requests_are_the_load_that_was_sent() -> None:
    world = a_world(load=100.0)
    begin = world.now
    world.step_to(begin + 600)
    counted = sum(one.values[-1] - one.values[0] for one in series(world, "requests", begin, begin + 600))
    # Each pod holds back less than one request that has not made a whole one yet.
    assert abs(counted - 100.0 * 600) < 10


def test_errors_and_buckets_are_parts_of_the_requests_and_as_many_as_the_version_has() -> None:
    world = a_world(load=1000.0, errors=0.02)
    begin = world.now
    world.step_to(begin + 600)
    requests = {one.pod: one.values for one in series(world, "requests", begin, begin + 600)}
    errors = {one.pod: one.values for one in series(world, "errors", begin, begin + 600)}
    total = sum(values[-1] - values[0] for values in requests.values())
    failed = sum(errors[pod][-1] - errors[pod][0] for pod in requests)
    assert failed / total == pytest.approx(0.02, rel=0.05)
    buckets = {(one.pod, one.le): one.values for one in series(world, "buckets", begin, begin + 600)}
    for pod, values in requests.items():
        assert buckets[pod, "+Inf"] == values
        for lower, upper in itertools.pairwise(LE):
            assert all(low <= high for low, high in zip(buckets[pod, lower], buckets[pod, upper], strict=True))


def test_an_error_counter_does_not_exist_before_its_first_error() -> None:
    world = a_world(errors=0.0)
    begin = world.now
    world.step_to(begin + 120)
    assert series(world, "errors", begin, begin + 120) == ()
    world.behave("v1", errors=0.5)
    world.step_to(begin + 240)
    late = series(world, "errors", begin, begin + 240)
    assert len(late) == 10
    assert all(one.times[0] > begin + 120 for one in late)


def test_slower_versions_have_their_requests_in_higher_buckets() -> None:
    ordinary, slow = latency_shares(1.0), latency_shares(2.0)
    assert sum(ordinary) == pytest.approx(1.0) and sum(slow) == pytest.approx(1.0)
    above = BOUNDS.index(0.25) + 1
    assert sum(slow[above:]) > 2 * sum(ordinary[above:])


def test_a_pod_has_no_samples_before_its_first_scrape_and_none_long_after_its_end() -> None:
    world = a_world()
    begin = world.now
    old = {pod.name for pod in world.pods.values()}
    world.step_to(begin + 100)
    world.edit("Deployment", "checkout", {"spec": {"replicas": 11}})
    world.step_to(begin + 200)
    (young,) = {pod.name for pod in world.pods.values()} - old
    first = next(one for one in series(world, "requests", begin, begin + 180) if one.pod == young)
    assert first.times[0] == begin + 120 and first.values[0] > 0

    sets = tuple({pod.state.replica_set for pod in world.pods.values()})
    world.delete("Deployment", "checkout")
    world.step_to(begin + 600)
    answer = world.answer(ask(world, "requests", begin, begin + 600, sets=sets))
    assert isinstance(answer, Counts)
    # Gone pods still count, up to their last fresh sample.
    assert {one.pod for one in answer.series} >= {young, *old}
    assert max(one.times[-1] for one in answer.series) <= begin + 240


def test_a_restarted_container_counts_from_zero() -> None:
    world = a_world()
    begin = world.now
    name = next(iter(world.pods))
    world.step_to(begin + 95)
    before = world.traffic.meters[name].counters[0]
    world.behave("v1", crashes_after=1.0)
    world.step_to(begin + 96.5)
    world.behave("v1", crashes_after=None)
    world.step_to(begin + 180)
    mine = next(one for one in series(world, "requests", begin, begin + 180) if one.pod == name)
    assert mine.values[-1] < before
    assert world.pods[name].state.restarts == 1


def test_a_store_that_is_down_answers_nothing_and_has_a_hole_afterwards() -> None:
    world = a_world()
    begin = world.now
    world.step_to(begin + 120)
    world.store_fault = Failure(FailureKind.UNAVAILABLE, "refused")
    world.traffic.scraping = False
    assert world.answer(ask(world, "requests", begin, begin + 120)) == world.store_fault
    world.step_to(begin + 300)
    world.store_fault, world.traffic.scraping = None, True
    world.step_to(begin + 420)
    one = series(world, "requests", begin, begin + 420)[0]
    gap = [begin + n * 30 for n in range(6, 10)]
    assert not set(gap) & set(one.times)
    assert {begin + 120, begin + 330, begin + 420} <= set(one.times)
    # What was counted during the outage is there after it: the pods went on serving.
    assert one.values[-1] - one.values[0] == pytest.approx(10.0 * 420, abs=2)


def test_hostile_stores() -> None:
    world = a_world()
    begin = world.now
    world.step_to(begin + 60)
    question = ask(world, "requests", begin, begin + 60)
    honest = world.answer(question)
    assert isinstance(honest, Counts)
    world.traffic.hostile = empty
    assert world.answer(question) == Counts(())
    world.traffic.hostile = doubled
    assert world.answer(question) == Counts(honest.series + honest.series)
    world.traffic.hostile = without(*question.replica_sets)
    assert world.answer(question) == Counts(())
    world.traffic.hostile = without("some-other-set")
    assert world.answer(question) == honest
    world.traffic.hostile = refusing(FailureKind.INVALID, "422")
    refused = world.answer(question)
    assert isinstance(refused, Failure) and refused.kind is FailureKind.INVALID


def test_requests_without_a_ready_pod_are_lost_and_counted_as_such() -> None:
    world = a_world(load=50.0)
    world.behave("v1", ready=False)
    begin = world.now
    world.step_to(begin + 10)
    assert world.traffic.lost == pytest.approx(500.0)
    assert math.isclose(sum(meter.flow for meter in world.traffic.meters.values()), 0.0, abs_tol=10.0)
