"""What was learned of one policy as a value, and the digest that says for which policy it was learned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from analysis.band import LearnedBand
from analysis.learned import Learned, NotLearned
from policies.load import to_object
from policies.schema import ReleasePolicy

BASELINE_VERSION = 2


class Likeness(StrEnum):
    """How the noise of the last hour compares with what was learned."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Excluded:
    """A stretch of history that taught nothing, from `start` to `end` in epoch seconds, and why."""

    start: float
    end: float
    because: str


@dataclass(frozen=True, slots=True)
class Present:
    """What the last hour said before a release: whose it was (`release` is a uid), when, and per gate."""

    release: str
    checked_at: float
    gates: Mapping[str, Likeness] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Everything that history taught about one policy's gates.

    digest: of what the learning depends on, see `learning_digest`. start, end: the span of history in epoch seconds.
    window: seconds. coverage: share of the wanted windows that had data. gates, bands: by the gate's name.
    """

    digest: str
    learned_at: float
    window: float
    start: float
    end: float
    coverage: float
    excluded: tuple[Excluded, ...] = ()
    gates: Mapping[str, Learned | NotLearned] = field(default_factory=dict)
    bands: Mapping[str, LearnedBand | NotLearned] = field(default_factory=dict)
    present: Present | None = None
    version: int = BASELINE_VERSION


_MATTERS = ("target", "metrics", "strategy", "gates", "observe", "promise", "baseline")


def learning_digest(policy: ReleasePolicy, window: float) -> str:
    """Digest of what the learning depends on: gates, plan, observation, promise and the window in seconds.

    An edit of anything else (a deadline, a hold) leaves what was learned in force.
    """
    spec = to_object(policy)["spec"]
    names = {gate.name for gate in policy.spec.learnable}
    spec["gates"] = [gate for gate in spec["gates"] if gate["name"] in names]
    matters = {key: spec[key] for key in _MATTERS if key in spec}
    text = json.dumps({"spec": matters, "window": window}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
