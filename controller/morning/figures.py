"""The four delivery figures, from releases that have ended.

What counts as a change: a release that somebody asked for to bring a version, and that began to move pods. It has
failed where it was taken back or needs a person, and where a later release took it back. A release that only had to
make room (a newer one, the closing of its window, a train that stopped) has not failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from controller.morning.value import Figures, Journey
from controller.release.vocabulary import Cause, Phase

MADE_ROOM = frozenset({Cause.SUPERSEDED, Cause.WINDOW_CLOSED, Cause.TRAIN_STOPPED, Cause.POLICY_GONE})


def figures(journeys: Sequence[Journey], since: float, until: float) -> Figures:
    """The figures over what ended in [since, until)."""
    taken_back = {
        (each.namespace, each.of): each
        for each in journeys
        if each.of and each.origin in ("rollback", "restore") and each.outcome in (Phase.SUCCEEDED, Phase.ROLLED_BACK)
    }
    changes = [
        each
        for each in journeys
        if each.origin == "change" and each.began is not None and each.ended is not None and since <= each.ended < until
    ]
    failed: list[Journey] = []
    leads: list[float] = []
    restores: list[float] = []
    for each in changes:
        back = taken_back.get((each.namespace, each.release))
        if each.outcome == Phase.SUCCEEDED and back is None:
            leads.append(_between(each.asked, each.ended))
        elif each.outcome == Phase.SUCCEEDED and back is not None:
            failed.append(each)
            restores.append(_between(back.asked, back.ended))
        elif each.outcome == Phase.NEEDS_HUMAN:
            failed.append(each)
            if back is not None:
                restores.append(_between(back.asked, back.ended))
        elif each.outcome == Phase.ROLLED_BACK and each.cause not in MADE_ROOM:
            failed.append(each)
            if each.turned is not None:
                restores.append(_between(each.turned, each.ended))
    return Figures(
        arrived=len(leads),
        failed=len(failed),
        days=max(0.0, until - since) / 86400.0,
        lead=median(leads) if leads else None,
        restore=median(restores) if restores else None,
    )


def _between(start: float, end: float | None) -> float:
    return max(0.0, (end if end is not None else start) - start)
