"""What each rule says about a batch of releases: ours by the comparison's own evidence, the others by theirs.

A rule's answer is the look (1 .. 60) at which a release is rolled back, NEVER without one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import MARGIN_ALPHA
from analysis.contrast import Releases
from analysis.engine import ASSUMED_NOISE, Margin, traces
from analysis.learned import LearnedCounts
from analysis.samples import BoolArray, Tally
from analysis.special import FloatArray
from tests.bench.decisions import rivals
from tests.bench.decisions.fleets import Batch
from tests.bench.decisions.rivals import NEVER, Rule
from tests.bench.decisions.rows import ALPHA, OURS
from tests.bench.worlds import WINDOW

ASSUMED = "assumed noise"
PAUSE = "learned, pause tier"
ERROR_MARGIN = Margin(1.25)

Adjusted = Callable[[Tally], Tally]
"""What a gate makes of the counts before it judges them: exposure by route mix and by age of pods."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules say about a batch.

    alarms: by rule, the look of the rollback of each release. scores: by rival, (releases, checks). requests: the
    contender's requests up to each look, (releases, looks). ours: events of both sides and contender over incumbent
    exposure by look, (releases, looks), for the information that was spent.
    """

    alarms: Mapping[str, FloatArray]
    scores: Mapping[str, FloatArray]
    requests: FloatArray
    events: FloatArray
    odds: FloatArray


@dataclass(frozen=True, slots=True)
class Shared:
    """Releases with the windows that both sides served first, and zeros after them: as the comparison sees them.

    window: (releases, looks), which look each of those windows was, counted from 1.
    """

    releases: Releases
    window: FloatArray

    def first(self, over: BoolArray) -> FloatArray:
        """The look at which a condition on shared windows first holds, NEVER where it does not; (releases,)."""
        place = np.argmax(over, axis=1)
        look = np.take_along_axis(self.window, place[:, None], axis=1)[:, 0]
        result: FloatArray = np.where(over.any(axis=1), look, NEVER)
        return result


def shared(batch: Batch, adjusted: Adjusted | None = None) -> Shared:
    """Counts as the evidence wants them, exposure adjusted first."""
    exposure, events = batch.requests, batch.events
    if adjusted is not None:
        exposure = np.stack([adjusted(batch.tally(number)).exposure for number in range(len(batch))])
    mine = batch.layout.contender
    both = (exposure[:, mine].sum(axis=1) > 0.0) & (exposure[:, ~mine].sum(axis=1) > 0.0)
    order = np.argsort(~both, axis=1, kind="stable")
    kept = np.take_along_axis(both, order, axis=1)[:, None, :]
    exposure, events = (np.take_along_axis(one, order[:, None, :], axis=2) * kept for one in (exposure, events))
    return Shared(Releases(mine, exposure, events, WINDOW), order.astype(np.float64) + 1.0)


def assumed_alarms(seen_by: Shared) -> FloatArray:
    """The gate without history: the means of two e-values against ln(1/alpha) and ln 10."""
    seen = traces(seen_by.releases, ERROR_MARGIN, ASSUMED_NOISE)
    change = np.logaddexp(seen.ln_pods, seen.ln_counts) - math.log(2.0)
    margin = np.logaddexp(seen.ln_pods_margin, seen.ln_counts) - math.log(2.0)
    return seen_by.first((change > math.log(1.0 / ALPHA)) & (margin > math.log(1.0 / MARGIN_ALPHA)))


def learned_alarms(seen_by: Shared, learned: LearnedCounts) -> dict[str, FloatArray]:
    """The gate with history: J and the margin's G against their own thresholds at one look; and its pause tier."""
    seen = traces(seen_by.releases, ERROR_MARGIN, learned.noise)
    at = learned.calibration
    change = at.joined(seen.ln_pods, seen.ln_counts)
    return {
        OURS: seen_by.first((change > at.change) & (seen.ln_pods_margin > at.margin)),
        PAUSE: seen_by.first(change > at.pause),
    }


def judged(
    batch: Batch,
    learned: LearnedCounts | None,
    usual: FloatArray,
    *,
    adjusted: Adjusted | None = None,
    with_rivals: bool = True,
) -> Judged:
    """All rules over one batch of releases. usual: the fleet's error rate per minute in history, for mean + 3 sd."""
    whole = shared(batch, adjusted)
    alarms = {ASSUMED: assumed_alarms(whole if adjusted is None else shared(batch))}
    if learned is not None:
        alarms |= learned_alarms(whole, learned)
    scores = rival_scores(batch, usual) if with_rivals else {}
    for rule in rivals.RULES:
        if rule.name in scores:
            alarms[rule.name] = rule.alarms(scores[rule.name])
    mine = batch.layout.contender
    releases = whole.releases
    n, m = releases.exposure[:, mine].sum(axis=1), releases.exposure[:, ~mine].sum(axis=1)
    return Judged(
        alarms,
        scores,
        np.cumsum(batch.requests[:, mine].sum(axis=1), axis=1),
        releases.events.sum(axis=1),
        np.divide(n, m, out=np.zeros_like(n), where=m > 0.0),
    )


def rival_scores(batch: Batch, usual: FloatArray) -> dict[str, FloatArray]:
    """The evidence of each rival at each of its checks."""
    mine = batch.layout.contender
    n, x = batch.requests[:, mine].sum(axis=1), batch.events[:, mine].sum(axis=1)
    m, y = batch.requests[:, ~mine].sum(axis=1), batch.events[:, ~mine].sum(axis=1)
    ours, theirs = _rate(x, n), _rate(y, m)
    static = rivals.static_scores(ours)
    return {
        **{rule.name: static for rule in (rivals.FLAGGER_1, rivals.FLAGGER_5, rivals.ARGO_0, rivals.ARGO_3)},
        rivals.KAYENTA.name: rivals.kayenta_scores(ours, theirs),
        rivals.PIPECD.name: rivals.pipecd_scores(ours, theirs),
        rivals.FISHER.name: rivals.fisher_scores((n, x), (m, y)),
        rivals.THREE_SD.name: rivals.deviations(ours, usual),
    }


def _rate(events: FloatArray, requests: FloatArray) -> FloatArray:
    """Events over requests per minute, NaN in a minute without requests."""
    n = rivals.by_minute(requests)
    result: FloatArray = np.divide(rivals.by_minute(events), n, out=np.full(n.shape, np.nan), where=n > 0.0)
    return result


def rule_named(name: str) -> Rule:
    """A rival by its name."""
    return next(rule for rule in rivals.RULES if rule.name == name)
