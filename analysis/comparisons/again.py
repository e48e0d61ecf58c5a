"""What a comparison says when it is asked again: the same, as long as nothing that it reads has changed.

A window lasts for several looks, so most questions are asked with the counters of the look before. A question is known
by a digest of what it holds, so that nothing of its counters is kept. Of the present time a comparison sees two things
only: which of the instants lie in a settled span, and which are recent (`lately`).
"""

from __future__ import annotations

import hashlib
import marshal
import math
from collections.abc import Hashable

from analysis.comparisons import COMPARISONS
from analysis.learned import Learned, NotLearned
from analysis.question import ComparisonInput
from analysis.samples import Frame, lately
from analysis.verdict import Evidence

MOST = 1024
# What was learned is known by its identity, and kept so that nothing else can have it.
_known: dict[Hashable, tuple[Evidence, Learned | NotLearned | None]] = {}


def compared(kind: str, asked: ComparisonInput) -> Evidence:
    """What the comparison of this kind of gate says: its answer of the last time, where that would be the same."""
    key = (kind, asked.settings, asked.unread, id(asked.learned), _digest(asked))
    found = _known.pop(key, None)
    if found is None:
        found = COMPARISONS[kind](asked), asked.learned
        if len(_known) >= MOST:
            del _known[next(iter(_known))]  # the one that was asked for the longest time ago
    _known[key] = found
    return found[0]


def _digest(asked: ComparisonInput) -> bytes:
    groups = asked.frame.groups
    plain = (
        *_settled(asked),
        groups.contender,
        groups.incumbent,
        groups.reporting,
        groups.incumbent_serving,
        sorted(groups.restarts.items()),
        sorted(groups.born.items()),
        [
            (term, [(one.pod, one.le, one.stratum, one.times, one.values) for one in many])
            for term, many in sorted(asked.terms.items())
        ],
    )
    # Version 2 writes every value out: later ones refer back to objects, so that equal values may differ.
    return hashlib.blake2b(marshal.dumps(plain, 2), digest_size=16).digest()


def _settled(asked: ComparisonInput) -> tuple[float, list[tuple[float, float]], float]:
    """Window, settled spans and recent instants: as far as the counters reach, and in windows from their first one."""
    frame: Frame = asked.frame
    ours = {*frame.groups.contender, *frame.groups.incumbent}
    spans = [one.times for many in asked.terms.values() for one in many if one.times and one.pod in ours]
    if not spans:
        return frame.window, [], 0.0
    first, last = min(times[0] for times in spans), max(times[-1] for times in spans)
    recent = (lately(frame) - first) / frame.window
    settled = [(begin, min(end, last)) for begin, end in frame.settled]
    return frame.window, settled, math.floor(recent) if math.isfinite(recent) else recent
