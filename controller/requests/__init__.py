"""What a tick may ask of the world, and what the world may answer.

The tick is a generator that yields one request at a time and is sent one answer. Three shells perform the requests:
the loop against a real cluster and a real metric store, the simulation in virtual time, and the tests, which stop a
tick after any request or answer it with a fault.

An answer is the thing asked for, or a `Failure`. A failure is a value, never an exception, and never looks like an
empty list: absence (`FailureKind.ABSENT`) is one thing, not knowing is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.release.observation import PodList
from controller.requests.failure import Failure
from controller.requests.fetches import Counts, Fetch, Totals
from controller.requests.looks import Look, Neighbours, Permission, ReplicaSetList
from controller.requests.outside import CallWebhook, Deliver, Delivery, FiringAlerts, ReadFiring, Spoken
from controller.requests.writes import Write

Read = Look | Fetch | CallWebhook | ReadFiring | Deliver
Request = Read | Write

Answer = (
    Mapping[str, Any]
    | Sequence[Mapping[str, Any]]
    | PodList
    | ReplicaSetList
    | Neighbours
    | tuple[Permission, ...]
    | Counts
    | Totals
    | Spoken
    | FiringAlerts
    | Delivery
    | Failure
    | None
)


def objects_in(answer: Answer) -> list[Mapping[str, Any]]:
    """The objects of a list; none where the answer is something else."""
    return [each for each in answer if isinstance(each, Mapping)] if isinstance(answer, list | tuple) else []
