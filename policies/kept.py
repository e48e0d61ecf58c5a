"""What follows from a policy, kept beside it: a policy never changes, and every tick asks the same of it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from policies.model import Part

Q = ParamSpec("Q")
T = TypeVar("T")
MOST = 1024
_memories: list[dict[Any, Any]] = []


def kept(follows: Callable[Q, T]) -> Callable[Q, T]:
    """A pure function of a part of a policy, and perhaps of more by position, that remembers what it answered.

    A part is known by its identity: to compare two of them costs more than most of what follows from one.
    """
    known: dict[Any, tuple[T, Part, tuple[Any, ...]]] = {}
    _memories.append(known)

    @wraps(follows)
    def answer(part: Part, *more: Any) -> T:
        key = (id(part), *[id(each) if isinstance(each, Part) else each for each in more]) if more else id(part)
        found = known.get(key)
        if found is None:
            if len(known) >= MOST:
                known.clear()
            # The parts themselves are kept too: as long as they live, nothing else has their ids.
            found = known[key] = (cast(Callable[..., T], follows)(part, *more), part, more)
        return found[0]

    return cast(Callable[Q, T], answer)


def forget() -> None:
    """Every answer is worked out anew: for whoever puts another strategy or router into its table while it runs."""
    for known in _memories:
        known.clear()
