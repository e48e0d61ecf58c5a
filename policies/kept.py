"""What follows from a policy, kept beside it: a policy never changes, and every tick asks the same of it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

from policies.model import Part

Q = ParamSpec("Q")
T = TypeVar("T")


class _This:
    """One policy as itself: to compare two policies by what they say costs more than most of what is kept."""

    __slots__ = ("part",)

    def __init__(self, part: Part) -> None:
        self.part = part

    def __hash__(self) -> int:
        return id(self.part)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and self.part is other.part


def kept(follows: Callable[Q, T]) -> Callable[Q, T]:
    """A pure function of a part of a policy, and perhaps of more by position, that remembers its last 1024 answers."""

    @lru_cache(maxsize=1024)
    def of(this: _This, *more: Any) -> T:
        return cast(Callable[..., T], follows)(this.part, *more)

    @wraps(follows)
    def answer(part: Part, *more: Any) -> T:
        return of(_This(part), *more)

    return cast(Callable[Q, T], answer)
