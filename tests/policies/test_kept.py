"""What follows from a policy is worked out once for the same policy, and never given for another one."""

from __future__ import annotations

import gc

from policies.kept import MOST, forget, kept
from policies.model import Part


class Number(Part):
    """A part of a policy."""

    of: int


def test_it_is_worked_out_once_for_each_part_and_what_else_was_given() -> None:
    asked: list[tuple[int, int]] = []

    @kept
    def scaled(part: Number, by: int) -> int:
        asked.append((part.of, by))
        return part.of * by

    one = Number(of=3)
    assert [scaled(one, 2), scaled(one, 2), scaled(one, 5)] == [6, 6, 15]
    assert asked == [(3, 2), (3, 5)]


def test_every_part_is_known_by_its_identity() -> None:
    @kept
    def together(part: Number, other: Number, by: int) -> int:
        asked.append(other)
        return (part.of + other.of) * by

    asked: list[Number] = []
    one, two, like_two = Number(of=1), Number(of=2), Number(of=2)
    assert [together(one, two, 2), together(one, two, 2), together(one, like_two, 2)] == [6, 6, 6]
    assert [id(each) for each in asked] == [id(two), id(like_two)]


def test_a_part_that_is_gone_leaves_nothing_to_the_one_that_takes_its_place_in_memory() -> None:
    @kept
    def number(part: Number) -> int:
        return part.of

    for each in range(1, 3 * MOST):
        assert number(Number(of=each)) == each
        if each % 500 == 0:
            gc.collect()


def test_what_is_forgotten_is_worked_out_anew() -> None:
    table = {1: "one"}

    @kept
    def named(part: Number) -> str:
        return table[part.of]

    one = Number(of=1)
    first, table[1] = named(one), "uno"
    assert (first, named(one)) == ("one", "one")
    forget()
    assert named(one) == "uno"
