"""Waiting for the real world: asks again and again until the answer is yes, and says what it saw when it never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.1
# A limit says what a machine needs that runs fourteen stories on two cores; another one may be as much slower.
PATIENCE = 3.0


def eventually(question: Callable[[], T], *, within: float, what: str, every: float = EVERY) -> T:
    """The first truthy answer of `question`. Raises AssertionError with the last answer when the time is long over.

    within: seconds that it takes at most where the machine is not slower than ours; three times as long is waited.
    """
    deadline = time.monotonic() + within * PATIENCE
    while True:
        # Looked at before the question: whoever stood still after an early no asks once more.
        late = time.monotonic() > deadline
        answer = question()
        if answer:
            return answer
        if late:
            raise AssertionError(
                f"within {within * PATIENCE:.0f} s it did not happen that {what}; last answer: {answer!r}"
            )
        time.sleep(every)
