"""What the weight may be: never more of a side than its ready pods bear, for every number of pods."""

from __future__ import annotations

from itertools import product

import pytest

from controller.strategies import strategy_of
from controller.strategies.routed import bearable, share
from controller.strategies.stages import HAND_BACK
from controller.strategies.strategy import Strategy
from tests.controller.routers.store import routed

TRAFFIC = {"gatewayAPI": {"httpRoute": "checkout"}}


def test_a_share_is_rounded_down_and_never_all_or_nothing_by_rounding() -> None:
    assert [share(c, 10 - c) for c in (0, 1, 3, 9, 10)] == [0, 10, 30, 90, 100]
    assert [share(1, 2), share(2, 1), share(1, 999), share(999, 1)] == [33, 66, 1, 99]


def test_no_side_is_asked_for_more_than_its_ready_pods_where_both_suffice() -> None:
    for desired, slack in product(range(1, 13), range(3)):
        for contenders, incumbents in product(range(desired + 2), repeat=2):
            for wish in range(0, 101, 5):
                weight = bearable(wish, desired, contenders, incumbents, slack)
                assert weight == 0 or contenders > 0, "nothing is sent to nothing"
                assert weight == 100 or incumbents > 0 or contenders == 0
                if 0 < weight < 100 and contenders + incumbents + slack >= desired:
                    # Up to one percent, the rounding of a weight.
                    assert (weight - 1) * desired < 100 * (contenders + slack)
                    assert (99 - weight) * desired < 100 * (incumbents + slack)


def test_where_neither_side_suffices_the_ready_pods_share() -> None:
    assert bearable(50, 10, 2, 5, 0) == share(2, 5)
    assert bearable(0, 10, 2, 5, 0) == share(2, 5)
    assert bearable(0, 10, 0, 5, 0) == 0
    assert bearable(50, 10, 3, 0, 0) == 100


def test_the_nearest_bearable_weight_to_the_one_wished_for() -> None:
    assert bearable(50, 10, 5, 5, 0) == 50
    assert bearable(100, 10, 3, 10, 0) == 30
    assert bearable(0, 10, 10, 3, 0) == 70
    assert bearable(0, 10, 10, 3, 2) == 50


def test_stages_have_a_weight_each_and_everything_is_given_back_at_the_end() -> None:
    policy = routed(TRAFFIC)
    strategy: Strategy = strategy_of(policy)
    stages = strategy.stages(policy, 10)
    assert [(each.contender, each.incumbent, each.weight) for each in stages] == [
        (1, 9, 10), (3, 7, 30), (5, 5, 50), (8, 2, 80), (10, 0, 100), (10, 0, 100),
    ]  # fmt: skip
    assert [each.name for each in stages][-1] == HAND_BACK
    assert not stages[-1].gated
    # One pod of one: the canary has half of the requests, because one incumbent stays beside it.
    assert strategy.stages(policy, 1)[0].weight == 50


@pytest.mark.parametrize(("desired", "lines"), [(10, 0), (7, 4), (3, 1)])
def test_the_plan_says_what_is_rounded(desired: int, lines: int) -> None:
    policy = routed(TRAFFIC)
    said = [line for line in strategy_of(policy).merged(policy, desired) if "rounded down" in line]
    stages = strategy_of(policy).stages(policy, desired)
    rounded = [each for each in stages if each.gated and 100 * each.contender % (each.contender + each.incumbent)]
    assert len(said) == len(rounded) >= min(lines, 1)
