"""What each rule says about a batch of releases: ours by the comparison's own evidence, the others by theirs.

A rule's answer is the look (1 .. 60) at which a release is rolled back, NEVER without one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import MARGIN_ALPHA
from analysis.contrast import Releases
from analysis.engine import ASSUMED_NOISE, Margin, traces
from analysis.learned import LearnedCounts, LearnedLatency
from analysis.samples import BoolArray, Tally
from analysis.special import FloatArray, log_sum_exp
from tests.bench.decisions import rivals
from tests.bench.decisions.fleets import BOUNDS, Batch, SlowBatch
from tests.bench.decisions.rivals import NEVER, SECONDS_LIMIT, Rule
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
        OURS: seen_by.first((change > at.change) & (seen.ln_margin > at.margin)),
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
    return _with_rivals(batch, alarms, rival_scores(batch, usual) if with_rivals else {}, whole.releases)


def judged_gates(batches: Sequence[Batch], learned: Sequence[LearnedCounts | None], usual: FloatArray) -> Judged:
    """Several gates of one release: the first of them that says so ends it. A rival's check fails with any metric."""
    each = [judged(batch, one, usual) for batch, one in zip(batches, learned, strict=True)]
    alarms = {}
    for rule in each[0].alarms:
        if all(rule in one.alarms for one in each):
            looks = np.stack([np.where(one.alarms[rule] == NEVER, np.inf, one.alarms[rule]) for one in each])
            first = looks.min(axis=0)
            alarms[rule] = np.where(np.isfinite(first), first, NEVER)
    scores = {rule: np.max([one.scores[rule] for one in each], axis=0) for rule in each[0].scores}
    return _with_rivals(batches[0], alarms, scores, shared(batches[0]).releases)


def judged_latency(slow: SlowBatch, learned: LearnedLatency | None, usual: FloatArray) -> Judged:
    """All rules over releases whose contender may be slower. usual: the fleet's 95th percentile per minute."""
    alarms = {} if learned is None else latency_alarms(slow, learned)
    scores = latency_scores(slow, usual)
    return _with_rivals(slow.batch, alarms, scores, shared(slow.batch).releases, rivals.LATENCY_RULES)


def latency_alarms(slow: SlowBatch, learned: LearnedLatency) -> dict[str, FloatArray]:
    """The latency gate with history: J of the means over the boundaries, and the best boundary's margin evidence."""
    pods, counts, margins = [], [], []
    for one in learned.boundaries:
        place = int(np.argmin(np.abs(BOUNDS - one.seconds)))
        at = shared(replace(slow.batch, events=slow.slower[place]))
        seen = traces(at.releases, Margin(math.exp(one.margin)), one.noise)
        pods.append(seen.ln_pods)
        counts.append(seen.ln_counts)
        margins.append((seen.ln_margin - one.scale.location) / one.scale.spread)
    bars = learned.calibration
    change = bars.joined(_ln_mean(pods), _ln_mean(counts))
    return {
        OURS: at.first((change > bars.change) & (np.max(margins, axis=0) > bars.margin)),
        PAUSE: at.first(change > bars.pause),
    }


def _ln_mean(many: Sequence[FloatArray]) -> FloatArray:
    return log_sum_exp(np.stack(many), axis=0) - math.log(len(many))


def latency_scores(slow: SlowBatch, usual: FloatArray) -> dict[str, FloatArray]:
    """The evidence of each rival: the 95th percentile per minute, and for Fisher's test requests slower than 500 ms."""
    mine = slow.batch.layout.contender
    requests = slow.batch.requests
    ours = percentile(requests[:, mine].sum(axis=1), slow.slower[:, :, mine].sum(axis=2))
    theirs = percentile(requests[:, ~mine].sum(axis=1), slow.slower[:, :, ~mine].sum(axis=2))
    beyond = slow.slower[int(np.searchsorted(BOUNDS, SECONDS_LIMIT))]
    n, x = requests[:, mine].sum(axis=1), beyond[:, mine].sum(axis=1)
    m, y = requests[:, ~mine].sum(axis=1), beyond[:, ~mine].sum(axis=1)
    return {
        **static_scores(ours),
        rivals.KAYENTA.name: rivals.kayenta_scores(ours, theirs),
        rivals.PIPECD.name: rivals.pipecd_scores(ours, theirs),
        rivals.FISHER.name: rivals.fisher_scores((n, x), (m, y)),
        rivals.THREE_SD.name: rivals.deviations(ours, usual),
    }


def static_scores(ours: FloatArray) -> dict[str, FloatArray]:
    """A metric of the contender per minute as Flagger and Argo see it."""
    with_flagger, with_argo = rivals.flagger_scores(ours), rivals.argo_scores(ours)
    return {
        **{rule.name: with_flagger for rule in (rivals.FLAGGER_1, rivals.FLAGGER_5)},
        **{rule.name: with_argo for rule in (rivals.ARGO_0, rivals.ARGO_3)},
    }


def percentile(requests: FloatArray, slower: FloatArray, level: float = 0.95) -> FloatArray:
    """A quantile per minute as histogram_quantile has it, linear inside its bucket; NaN in a minute without requests.

    requests: (releases, looks). slower: (bounds, releases, looks).
    """
    n = rivals.by_minute(requests)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = 1.0 - rivals.by_minute(slower) / n
    at = np.minimum((below < level).sum(axis=0), BOUNDS.size - 1)
    edges = np.concatenate([[0.0], BOUNDS])
    mass = np.concatenate([np.zeros((1, *n.shape)), below])
    low = np.take_along_axis(mass, at[None], axis=0)[0]
    high = np.take_along_axis(below, at[None], axis=0)[0]
    part = np.clip((level - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    result: FloatArray = np.where(n > 0.0, edges[at] + (edges[at + 1] - edges[at]) * part, np.nan)
    return result


def _with_rivals(
    batch: Batch,
    alarms: dict[str, FloatArray],
    scores: Mapping[str, FloatArray],
    releases: Releases,
    rules: Sequence[Rule] = rivals.RULES,
) -> Judged:
    alarms |= {rule.name: rule.alarms(scores[rule.name]) for rule in rules if rule.name in scores}
    mine = batch.layout.contender
    n, m = releases.exposure[:, mine].sum(axis=1), releases.exposure[:, ~mine].sum(axis=1)
    return Judged(
        alarms,
        {name: many.astype(np.float32) for name, many in scores.items()},
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
    return {
        **static_scores(ours),
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
