"""The Services through which requests follow the pods of an app: do they still lead to both versions?

Where no router splits requests, whatever Service selects the pods of both versions shares them by pods. Nobody names
it, so a release remembers the Services that did so when it began, and looks at them again at every look. An app that
no Service led to (a worker that takes its work from a queue) has none, and nothing is read.

Theory. Three things can become of them in mid-release.

    incumbent alone    every batch takes pods from the side that all requests go to: it turns back
    contender alone    all requests go to the few on trial: it turns back, and they stay until the Service is set back
    neither            nothing is led to what is judged: it turns back, unless another Service leads to both still

A way back, or home, has nothing to judge: only the first one turns it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.release.decision import RollBack
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, SlotState
from controller.release.record import Record
from controller.release.vocabulary import FORWARD, Cause, Phase
from controller.requests.looks import Permission
from controller.services import is_gone, pod_labels, selector_of, selects, words

MOST_SERVICES = 4  # each is a read of every look
PERMISSIONS = (Permission("get", "", "services"),)

Object = Mapping[str, Any]


def leading(seen: Observation, services: Sequence[Object]) -> tuple[str, ...]:
    """The names of the Services that lead to both versions."""
    names = sorted(_name(each) for each in services if _leads(each, seen) == (True, True))
    return tuple(names[:MOST_SERVICES])


def reads(record: Record) -> tuple[Ref, ...]:
    """What every look of a release that moves pods reads."""
    moves = record.phase in FORWARD or record.phase is Phase.ROLLING_BACK
    return tuple(Ref("Service", name) for name in record.services) if moves else ()


def astray(record: Record, seen: Observation) -> RollBack | None:
    """Why a release must turn back: a Service takes its requests to one version only, or none takes them to both."""
    if seen.incumbent is None or seen.contender is None:
        return None  # a Deployment is gone, which is told as such
    found = _looked_at(record, seen)
    judged = record.origin == "change"
    for name, service in found.items():
        leads = _leads(service, seen)
        if leads == (True, False) or (judged and leads == (False, True)):
            return RollBack(Cause.ROUTE_CHANGED, _told(name, service, seen))
    if not judged or not found or any(_leads(each, seen) == (True, True) for each in found.values()):
        return None
    gone = all(is_gone(each) for each in found.values())
    because = "; ".join(_told(name, each, seen) for name, each in found.items())
    return RollBack(Cause.ROUTE_MISSING if gone else Cause.ROUTE_CHANGED, because)


def needed(record: Record, seen: Observation) -> str:
    """Why ready contenders may not leave on the way back; "" where they may."""
    if not (serving := seen.ready("contender")):
        return ""
    alone = (
        f"{_told(name, service, seen)}; until then contender pods that serve stay ({serving})"
        for name, service in _looked_at(record, seen).items()
        if _leads(service, seen) == (False, True)
    )
    return next(alone, "")


def _looked_at(record: Record, seen: Observation) -> dict[str, Object | None]:
    refs = {name: Ref("Service", name) for name in record.services}
    return {name: seen.objects[ref] for name, ref in refs.items() if ref in seen.objects}


def _leads(service: Object | None, seen: Observation) -> tuple[bool, bool]:
    """Whether a Service takes requests to the incumbent, and to the contender."""
    if service is None or is_gone(service):
        return False, False
    selector = selector_of(service)
    return (
        _reaches(selector, seen.incumbent, seen.incumbents),
        _reaches(selector, seen.contender, seen.contenders),
    )


def _reaches(selector: Mapping[str, str], slot: SlotState | None, pods: Sequence[PodState]) -> bool:
    """By the template, because a version may have no pod yet; or by its pods, which carry their ReplicaSet's hash."""
    labels = pod_labels(slot.raw) if slot is not None else {}
    return selects(selector, labels) or any(selects(selector, pod.labels) for pod in pods if not pod.terminating)


def _told(name: str, service: Object | None, seen: Observation) -> str:
    if service is None or is_gone(service):
        return f"Service {name} was deleted in mid-release: create it again"
    whose = {
        (True, False): "the incumbent's pods alone",
        (False, True): "the contender's pods alone",
        (False, False): "no pod of the app",
        (True, True): "the pods of both versions",
    }[_leads(service, seen)]
    found = words(selector_of(service))
    return f"Service {name} was edited in mid-release and selects {whose} ({found}): set it back"


def _name(service: Object) -> str:
    return str((service.get("metadata") or {}).get("name", ""))
