"""The arithmetic of a held rollout: where the native controller comes to rest, and what a step may take."""

from __future__ import annotations

import itertools

import pytest

from controller.strategies.rolling_steps import Split, at_rest, fits, goal, next_depth, reached


def native(desired: int, surge: int, depth: int, split: Split) -> tuple[int, int]:
    """Where the native controller leaves a split whose contenders are never Available to it."""
    kept = min(split.incumbent, desired - depth)
    return kept, max(split.contender, desired + surge - kept)


def ready(incumbent: int, contender: int) -> Split:
    """All pods there are ready."""
    return Split(incumbent, contender, incumbent, contender, incumbent)


@pytest.mark.parametrize(
    ("contender", "surge", "split"),
    [(1, 1, (10, 1)), (5, 1, (6, 5)), (5, 3, (8, 5)), (2, 3, (10, 2)), (10, 1, (1, 10)), (3, 0, (7, 3))],
)
def test_a_stage_is_held_with_its_surge_above_the_desired_pods(
    contender: int, surge: int, split: tuple[int, int]
) -> None:
    at = goal(10, contender, surge)
    assert (at.incumbent, at.contender) == split
    assert reached(at, ready(*split))
    assert at_rest(10, at.surge, at.depth, ready(*split))
    assert next_depth(at, ready(*split), slack=1) is None


def test_without_surge_or_unavailability_left_to_give_there_is_no_step() -> None:
    at = goal(10, 5, 1)
    assert next_depth(at, Split(9, 2, 9, 1, 9), slack=0) is None  # the second contender is not ready yet
    assert next_depth(at, Split(9, 2, 9, 2, 9), slack=0) == 2


def test_an_incumbent_that_does_not_serve_may_go_whatever_the_contenders_do() -> None:
    at = goal(10, 5, 1)
    assert next_depth(at, Split(10, 1, 9, 0, 9), slack=0) == 1


def test_a_split_with_a_contender_too_many_or_an_incumbent_too_few_does_not_fit() -> None:
    at = goal(10, 5, 1)
    assert fits(at, ready(7, 4))
    assert not fits(at, ready(5, 4))
    assert not fits(at, ready(8, 6))
    assert not fits(goal(0, 0, 1), ready(0, 0))


SIZES = [
    (desired, want, surge, slack)
    for desired, surge, slack in itertools.product(range(1, 13), range(4), range(4))
    for want in range(1, desired + 1)
    if surge + slack
]


def test_every_stage_is_reached_from_nothing_within_its_bounds() -> None:
    """Every D up to 12, every stage, every S and U up to 3: never below D - U, never above D + S, never beyond n."""
    for desired, want, surge, slack in SIZES:
        at, split = goal(desired, want, surge), ready(desired, 0)
        for _ in range(4 * desired + 4):
            depth = next_depth(at, split, slack)
            if depth is None:
                break
            assert at.surge + depth >= 1  # the API server refuses both at 0
            i, c = native(desired, at.surge, depth, split)
            serving = i + split.ready_contenders  # right after the step, before its contenders are ready
            assert serving >= desired - slack, (desired, want, surge, slack)
            assert c <= want
            assert i + c <= desired + surge
            assert at_rest(desired, at.surge, depth, ready(i, c))
            split = ready(i, c)
        assert reached(at, split), (desired, want, surge, slack, split)


def test_no_step_takes_a_serving_incumbent_that_is_needed_however_few_contenders_are_ready() -> None:
    for desired, want, surge, slack in SIZES:
        at = goal(desired, want, surge)
        for i, ready_c in itertools.product(range(at.incumbent, desired + 1), range(want + 1)):
            c = min(want, desired + at.surge - i)
            if ready_c > c:
                continue
            for ready_i in range(i + 1):
                split = Split(i, c, ready_i, ready_c, ready_i)
                depth = next_depth(at, split, slack)
                if depth is None:
                    continue
                kept, _ = native(desired, at.surge, depth, split)
                lost = max(0, (i - kept) - (i - ready_i))  # those that do not serve go first
                assert lost == 0 or ready_i - lost + ready_c >= desired - slack
