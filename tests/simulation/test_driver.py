"""Controllers over a world: what a fault of a request does, and that a release comes to its end all the same."""

from __future__ import annotations

import pytest

from controller.release.plan import PatchSlot
from controller.release.vocabulary import Phase
from controller.requests import Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPods, ReadSlot
from controller.requests.writes import WriteRecord, WriteSlot
from controller.simulation import manifests
from controller.simulation.driver import Crash, Driver, Fault, Freeze, LoseAnswer, Meddle, Point, Refuse, Stale, at
from controller.simulation.world import World
from tests.simulation import laws

POLICY = manifests.policy("checkout", strategy={"twin": {"canary": 1, "batches": 1}}, observe={"atLeast": "1m"})
CONFLICT = Refuse(Failure(FailureKind.CONFLICT, "somebody wrote"))


def a_release(meddle: Meddle | None = None, *, seed: int = 1, errors: float = 0.005) -> Driver:
    world = World(seed)
    world.add_app("checkout", "v1", 4, load=400.0, policy=POLICY)
    world.behave("v1", errors=0.005)
    world.behave("v2", errors=errors)
    world.after_write += laws.ALL
    world.create(manifests.release("checkout", "r", "v2"))
    return Driver(world, meddle=meddle)


def phase(driver: Driver) -> str:
    return str(driver.world.objects.items["Release", "shop", "r"]["status"]["phase"])


def first(kind: type[Request], fault: Fault, *, number: int = 1) -> Meddle:
    """A fault at the n-th request of a kind."""
    left = [number]

    def meddle(point: Point) -> Fault | None:
        if isinstance(point.request, kind):
            left[0] -= 1
            return fault if left[0] == 0 else None
        return None

    return meddle


def run(driver: Driver) -> str:
    assert driver.run(driver.world.started + 3600)
    return phase(driver)


def test_a_release_runs_to_its_end_and_then_nothing_is_written() -> None:
    driver = a_release()
    assert run(driver) == Phase.SUCCEEDED
    writes = len(driver.world.trace)
    driver.run_to(driver.world.now + 3600)
    assert len(driver.world.trace) == writes


def test_the_same_seed_is_the_same_run_request_by_request() -> None:
    runs = []
    for _ in range(2):
        driver = a_release(seed=5)
        run(driver)
        runs.append((driver.requests, driver.ticks, [(t.at, t.request) for t in driver.world.trace]))
    assert runs[0] == runs[1]


def test_a_crash_before_a_write_leaves_it_undone_and_after_it_done() -> None:
    for crash, replicas in ((Crash("before", back_in=1000.0), 0), (Crash("after", back_in=1000.0), 1)):

        def meddle(point: Point, crash: Crash = crash) -> Fault | None:
            return crash if _moves(point.request) else None

        driver = a_release(meddle)
        driver.run_to(driver.world.now + 60)
        twin = driver.world.objects.items["Deployment", "shop", "checkout-twin"]
        assert twin["spec"]["replicas"] == replicas
        assert phase(driver) == Phase.CANARY  # the record was written before


def _moves(request: Request) -> bool:
    write = request.write if isinstance(request, WriteSlot) else None
    return isinstance(write, PatchSlot) and write.replicas is not None


@pytest.mark.parametrize(
    "fault",
    [Crash("before"), Crash("after"), CONFLICT, LoseAnswer(), Refuse(Failure(FailureKind.UNAVAILABLE, "500"))],
    ids=["crash-before", "crash-after", "conflict", "lost-answer", "unavailable"],
)
@pytest.mark.parametrize("kind", [WriteRecord, WriteSlot, ReadSlot], ids=lambda kind: kind.__name__)
def test_a_fault_of_one_request_changes_no_outcome(kind: type[Request], fault: Fault) -> None:
    for number in (1, 2, 5, 9):
        driver = a_release(first(kind, fault, number=number))
        assert run(driver) == Phase.SUCCEEDED


def test_a_lost_answer_was_written_all_the_same() -> None:
    driver = a_release(first(WriteRecord, LoseAnswer()))
    driver.run_to(driver.world.now)
    assert phase(driver) == Phase.PREFLIGHT
    assert driver.results[-1].result.failure is not None


def test_stale_lists_of_pods_move_nothing_and_end_nothing() -> None:
    """Pods as they were forty seconds ago, at every read for two minutes: the release waits, then goes on."""
    driver = a_release()
    driver.run_to(driver.world.started + 30.0)
    writes = sum(_moves(trace.request) for trace in driver.world.trace)
    driver.meddle = lambda point: Stale(seconds=40.0) if isinstance(point.request, ReadPods) else None
    driver.run_to(driver.world.started + 150.0)
    assert sum(_moves(trace.request) for trace in driver.world.trace) == writes
    driver.meddle = None
    assert run(driver) == Phase.SUCCEEDED


def test_a_frozen_controller_wakes_in_a_world_that_another_one_has_moved() -> None:
    driver = a_release(first(WriteSlot, Freeze(120.0, takeover="b"), number=3))
    driver.run_to(driver.world.started + 90.0)
    assert {trace.controller for trace in driver.world.trace} == {"a", "b"}
    assert driver.controllers["a"].frozen is not None
    driver.run_to(driver.world.started + 150.0)
    woken = [trace for trace in driver.world.trace if trace.controller == "a" and trace.at > driver.world.started + 100]
    assert isinstance(woken[0].request, WriteSlot) and isinstance(woken[0].answer, Failure)
    assert woken[0].answer.kind is FailureKind.CONFLICT
    assert run(driver) == Phase.SUCCEEDED


def test_a_fault_can_be_put_at_the_number_of_a_request() -> None:
    plain = a_release()
    run(plain)
    driver = a_release(at(plain.requests // 2, Crash("before")))
    assert run(driver) == Phase.SUCCEEDED
    assert driver.requests != plain.requests


def test_a_fork_of_a_run_comes_to_the_same_end_and_may_also_be_led_elsewhere() -> None:
    driver = a_release()
    driver.run_to(driver.world.started + 60.0)
    fork, other = driver.fork(), driver.fork()
    assert run(driver) == run(fork) == Phase.SUCCEEDED
    assert driver.requests == fork.requests

    other.world.edit("Release", "r", {"spec": {"abort": {"reason": "no"}}})
    assert run(other) == Phase.ROLLED_BACK
