"""What follows from a policy is worked out once for the same policy, and never given for another one."""

from __future__ import annotations

import gc

from policies.kept import MOST, kept
from policies.schema import Promise
from policies.values import Percent


def promise(number: int = 1) -> Promise:
    return Promise(false_rollback=Percent(number))


def test_it_is_worked_out_once_for_each_part_and_what_else_was_given() -> None:
    asked: list[tuple[int, int]] = []

    @kept
    def scaled(part: Promise, by: int) -> int:
        asked.append((part.false_rollback.millionths, by))
        return part.false_rollback.millionths * by

    one = promise(3)
    assert [scaled(one, 2), scaled(one, 2), scaled(one, 5)] == [6, 6, 15]
    assert asked == [(3, 2), (3, 5)]


def test_a_part_that_is_gone_leaves_nothing_to_the_one_that_takes_its_place_in_memory() -> None:
    @kept
    def number(part: Promise) -> int:
        return part.false_rollback.millionths

    for each in range(1, 3 * MOST):
        assert number(promise(each)) == each
        if each % 500 == 0:
            gc.collect()
