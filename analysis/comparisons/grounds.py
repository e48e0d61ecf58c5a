"""What all comparisons of counts share: when they are blind, whom to blame, how much more would decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from analysis.allowance import aged, mixed
from analysis.assumptions import (
    ASSUMED_PODS,
    INTERVAL_ALPHA,
    LIMIT_MIN_EVENTS,
    NOTICED_REQUESTS,
    POD_QUANTILE,
    STALE_WINDOWS,
)
from analysis.engine import ASSUMED_NOISE, Look
from analysis.figures import number, percent, times
from analysis.held import bounded
from analysis.learned import Learned, LearnedCounts, LearnedLatency, Noise, NotLearned
from analysis.question import Settings
from analysis.rates import ln_above_limit, rate_upper_bound
from analysis.samples import Frame, Tally, lately
from analysis.verdict import Absence, Effect, Evidence, Exposure, NoData, Onset, Verdict

L = TypeVar("L", LearnedCounts, LearnedLatency)


def known(learned: Learned | NotLearned | None, kind: type[L]) -> tuple[L | None, tuple[str, ...]]:
    """What was learned, if it is of this kind and makes sense; otherwise None, and a warning that says why.

    A threshold that is no number is never exceeded, and a gate that held evidence against it would pass everything.
    """
    if learned is None:
        return None, ()
    if isinstance(learned, NotLearned):
        return None, (f"noise is assumed, {learned.reason}: {learned.detail}",)
    if not isinstance(learned, kind):
        return None, ("noise is assumed: what was learned is for another kind of gate, learn again",)
    if not _makes_sense(learned):
        return None, ("noise is assumed: what was learned holds impossible numbers, learn again",)
    return learned, ()


def _makes_sense(learned: LearnedCounts | LearnedLatency) -> bool:
    bars, age = learned.calibration, learned.age
    scales = [bars.first, bars.second]
    finite = [bars.change, bars.margin, bars.pause]
    positive: list[float] = []
    if isinstance(learned, LearnedLatency):
        noises = [one.noise for one in learned.boundaries]
        scales.extend(one.scale for one in learned.boundaries)
        finite.extend(value for one in learned.boundaries for value in (one.share, one.slope, one.margin))
        positive.extend(one.seconds for one in learned.boundaries)
    else:
        noises = [learned.noise]
        positive.extend(rho for _, rho in learned.mix)
    if age is not None:
        positive.extend((1.0 + age.extra, age.seconds))
    finite.extend(scale.location for scale in scales)
    positive.extend(scale.spread for scale in scales)
    positive.extend(value for one in noises for value in (one.rho, 1.0 - one.rho, one.spread, one.prior_sd, one.temper))
    variances = [value for one in noises for value in one.variation.variances]
    return (
        all(map(math.isfinite, (*finite, *positive, *variances)))
        and all(value > 0.0 for value in positive)
        and all(value >= 0.0 for value in variances)
    )


def assumed_noise(tally: Tally) -> Noise:
    """What is taken for granted about pods until history has taught it.

    The intraclass correlation of a side's share is what is assumed for ten pods. It falls with the number of pods, as
    (variance of a pod) (1/k + 1/(P - k)) q (1 - q) = (variance of a pod) / P at a share q = k/P: in a large fleet the
    same one would drown a single contender pod, and what is left of a skewed likelihood looks like harm.
    """
    pods = float((tally.exposure > 0.0).sum()) / max(tally.ends.size, 1)
    return replace(ASSUMED_NOISE, rho=ASSUMED_NOISE.rho * min(ASSUMED_PODS / max(pods, 1.0), 1.0))


def weighed(tally: Tally, frame: Frame, learned: LearnedCounts | None) -> Tally:
    """The same events over requests that count by route and by the age of their pod, as far as history has taught it.

    A tally that nothing is allowed for keeps its own exposure.
    """
    if learned is None:
        return tally
    fair = mixed(tally, learned.mix) if learned.mix and tally.strata is not None else tally
    return fair if learned.age is None or not frame.groups.born else aged(fair, frame.groups.born, learned.age)


def missing_side(tally: Tally) -> Absence | None:
    """Why contender and incumbent cannot be compared at all, or None."""
    for name, side in (("contender", tally.contender), ("incumbent", ~tally.contender)):
        if not tally.seen[side].any():
            return Absence(NoData.NO_SERIES, f"no usable window of any {name} pod")
        if tally.exposure[side].sum() <= 0.0:
            return Absence(NoData.NO_TRAFFIC, f"no request reached the {name}")
    if not tally.together().any():
        return Absence(NoData.NO_WINDOW, "contender and incumbent never reported in the same window")
    return None


def stale_side(tally: Tally, frame: Frame, *, traffic: bool = True) -> Absence | None:
    """A side that was seen before and has fallen silent, or a contender whose traffic has gone; None otherwise.

    traffic: whether exposure is traffic, which may stop while samples go on.
    """
    oldest = lately(frame)
    sides = [("contender", tally.contender)]
    if frame.groups.incumbent_serving:
        sides.append(("incumbent", ~tally.contender))
    for name, side in sides:
        ends = tally.ends[tally.seen[side].any(axis=0)]
        if not ends.size or ends[-1] <= oldest:
            return Absence(NoData.STALE, f"no {name} sample in the last {STALE_WINDOWS} settled windows")
    if not traffic:
        return None
    recent = tally.ends > oldest
    ours, theirs = tally.exposure[tally.contender].sum(axis=0), tally.exposure[~tally.contender].sum(axis=0)
    due = theirs[recent].sum() * ours.sum() / max(float(theirs.sum()), 1.0)
    if due >= NOTICED_REQUESTS and not ours[recent].any():
        return Absence(NoData.NO_TRAFFIC, f"the contender's traffic stopped: about {number(due)} requests were due")
    return None


def since_settled(tally: Tally, frame: Frame) -> tuple[float, float, float]:
    """(contender events, events due at the incumbents' rate, requests) since the last settled span began, taken alone.

    A narrow interval over the whole release says little about pods that joined in the last batch.
    """
    since = max((begin for begin, _ in frame.settled), default=-math.inf)
    recent = tally.keep_windows(tally.ends > since)
    ours = tally.contender
    n, other = recent.exposure[ours].sum(axis=0), recent.exposure[~ours].sum(axis=0)
    due = float((n / other * recent.events[~ours].sum(axis=0)).sum())
    return float(recent.events[ours].sum()), due, float(n.sum())


def worse_lately(tally: Tally, frame: Frame, harm: float, negligible: float) -> bool:
    """Whether harm (a log ratio) is what the windows since the last settled span began look like."""
    seen, due, requests = since_settled(tally, frame)
    return seen - due > negligible * requests and math.log((seen + 0.5) / (due + 0.5)) >= harm


def limit_evidence(tally: Tally, limit: float | None) -> float:
    """ln evidence that the contender breaks a hard limit; -inf without a limit or with too few events."""
    if limit is None:
        return -math.inf
    ours = tally.contender
    events, requests = tally.events[ours].sum(axis=0), tally.exposure[ours].sum(axis=0)
    if events.sum() < LIMIT_MIN_EVENTS:
        return -math.inf
    return ln_above_limit(events, requests, limit, tally.window)


def pod_to_blame(tally: Tally, innocent: Callable[[Tally], bool]) -> str | None:
    """The one contender pod without which the rest is innocent; None when no single pod carries the evidence."""
    rows = np.flatnonzero(tally.contender & tally.seen.any(axis=1))
    if rows.size < 2:
        return None
    rates = (tally.events[rows].sum(axis=1) + 0.5) / (tally.exposure[rows].sum(axis=1) + 1.0)
    suspect = tally.pods[int(rows[int(np.argmax(rates))])]
    rest = tally.without(suspect).shared()
    return suspect if rest.ends.size and innocent(rest) else None


def extra_share(total: Exposure, seen: Look, noise: Noise) -> float:
    """Upper bound on the extra share of bad requests: by the ratio interval, or by the contender's own count alone."""
    theirs = total.incumbent_events / total.incumbent_requests
    pods = math.log1p(sum(noise.variation.slow().variances)) / max(total.contender_pods, 1)
    room = math.exp(POD_QUANTILE * math.sqrt(pods))
    own = rate_upper_bound(total.contender_events, total.contender_requests, INTERVAL_ALPHA) * room
    by_ratio = (seen.high - 1.0) * theirs if math.isfinite(seen.high) and theirs > 0.0 else math.inf
    return max(min(own, by_ratio), 0.0)


def effect_of(total: Exposure, seen: Look) -> Effect:
    """Both sides' shares of bad requests, and their ratio with its interval."""
    return Effect(
        seen.ratio,
        *shown(seen),
        contender_rate=total.contender_events / total.contender_requests,
        incumbent_rate=total.incumbent_events / total.incumbent_requests,
    )


def shown(seen: Look) -> tuple[float, float | None]:
    """The interval beside the ratio, None where the data does not bound it from above.

    It is of a change that is the same all along. One that began in the middle may lie outside of it: the interval that
    is shown reaches to it then, which costs no coverage.
    """
    high = bounded(seen.high)
    if seen.ratio is None:
        return seen.low, high
    return min(seen.low, seen.ratio), high if high is None else max(high, seen.ratio)


def shares_told(total: Exposure, seen: Look) -> str:
    """Both sides' shares of bad requests in numbers."""
    ours = total.contender_events / total.contender_requests
    theirs = total.incumbent_events / total.incumbent_requests
    return (
        f"{percent(ours)} of {number(total.contender_requests)} contender requests against {percent(theirs)} of "
        f"{number(total.incumbent_requests)}" + ("" if seen.ratio is None else f": {times(seen.ratio)}")
    )


def told_since(began: Onset | None, *, per: str = "") -> str:
    """Both sides since the harm began, for a sentence, or "" where it was there all along; per: what rates are of."""
    if began is None:
        return ""
    show = percent if not per else number
    ours, theirs = (f"{show(rate)}{per}" for rate in began.rates)
    if not per:
        ours, theirs = (f"{rate} of {number(n)}" for rate, n in zip((ours, theirs), began.requests, strict=True))
    ratio = "" if began.ratio is None else f": {times(began.ratio)}"
    late, whole = (number((began.last - begin) / 60.0) for begin in (began.at, began.first))
    return f"; in the last {late} of {whole} min {ours} against {theirs}{ratio}"


def limit_broken(
    tally: Tally, settings: Settings, above: float, bad: str, *, before: str = "", after: str = ""
) -> Evidence:
    """Degraded by the hard bound alone; the incumbent is not asked. bad: what the bad requests are, before and after:
    what is said around their number."""
    seen, threshold = tally.summary(), math.log(1.0 / settings.alpha)
    share = percent(seen.contender_events / seen.contender_requests)
    limit = percent(settings.limit or 0.0)
    return Evidence(
        verdict=Verdict.DEGRADED,
        because=f"{before}{share} of {number(seen.contender_requests)} contender requests{after} break the limit of "
        f"{limit} whatever the incumbent does; evidence {above:.1f} above {threshold:.1f}",
        would_change=f"a share of {bad} not above {limit} beyond chance",
        exposure=seen,
        freshness=tally.freshness,
        log_evidence=above,
        threshold=threshold,
        limit_broken=True,
    )


def what_is_missing(seen: Look, harm: float, negligible: float, requests: float) -> str:
    """What would rule the harm (a log ratio) out: requests at the present rates, or pods where time cannot help.

    The sampling half of the interval shrinks with the square root of the requests, the pods' half does not; they add
    in squares. Without any bound on the ratio, what counts is the contender's own share of bad requests.
    """
    if not math.isfinite(seen.high):
        more = math.log(1.0 / INTERVAL_ALPHA) / negligible - requests
        return f"at least {number(max(more, 1.0))} more contender requests, all good"
    room = harm - seen.likely
    if seen.likely >= harm:
        return f"an upper end that falls from {times(seen.high)} below {times(math.exp(harm))}"
    if room <= seen.pod_half_width:
        return f"more contender pods: pod noise alone could hide {times(math.exp(harm))}"
    more = requests * (seen.sampling_half_width**2 / (room**2 - seen.pod_half_width**2) - 1.0)
    return (
        f"about {number(max(more, 1.0))} more contender requests at this rate "
        f"(upper end {times(seen.high)} must fall below {times(math.exp(harm))})"
    )
