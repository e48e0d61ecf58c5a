"""Which boundaries a latency gate watches, with which noise: those of history, or some chosen from the incumbents."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.allowance import aged
from analysis.comparisons.boundaries import Boundary, watched
from analysis.comparisons.grounds import assumed_noise, known
from analysis.engine import ASSUMED_NOISE, Look
from analysis.learned import Learned, LearnedLatency, Noise, NotLearned, Scale, Variation
from analysis.question import Settings
from analysis.samples import Frame, Histogram, Tally


@dataclass(frozen=True, slots=True)
class Watch:
    """One watched boundary: δ of the margin, the noise there, and what brings its margin evidence to a common scale."""

    bound: Boundary
    delta: float
    noise: Noise
    scale: Scale | None = None

    def margin(self, seen: Look) -> float:
        """Margin evidence of a look at this boundary, on the scale of the gate's threshold."""
        return seen.ln_margin if self.scale is None else (seen.ln_margin - self.scale.location) / self.scale.spread


def usable(histogram: Histogram, learned: Learned | NotLearned | None) -> tuple[LearnedLatency | None, tuple[str, ...]]:
    """What was learned, if all its boundaries are still there, and otherwise why not.

    The thresholds are those of the mean over all boundaries; with one of them gone they promise nothing.
    """
    history, warnings = known(learned, LearnedLatency)
    if history is None:
        return None, warnings
    if not history.boundaries:
        return None, ("noise is assumed: no bucket boundary was learned, learn again",)
    gone = [one.seconds for one in history.boundaries if _place(histogram, one.seconds) is None]
    if gone:
        return None, (f"noise is assumed: the learned bucket of {gone[0]:g} s is gone, learn again",)
    return history, ()


def learned_watches(histogram: Histogram, learned: LearnedLatency) -> list[Watch]:
    """The learned boundaries, each at its place in the histogram."""
    found = ((_place(histogram, one.seconds), one) for one in learned.boundaries)
    return [
        Watch(Boundary(place, one.seconds, one.share, one.slope), one.margin, one.noise, one.scale)
        for place, one in found
        if place is not None
    ]


def assumed_watches(histogram: Histogram, settings: Settings) -> list[Watch]:
    """Boundaries by the incumbents' first windows of this release, with assumed noise."""
    assumed = assumed_noise(histogram.tally)
    return [
        Watch(bound, bound.margin(settings.margin.ratio), noise_at(bound.share, assumed))
        for bound in watched(histogram)
    ]


def noise_at(share: float, assumed: Noise = ASSUMED_NOISE) -> Noise:
    """Assumed noise of a share of requests p: noise acts on the log odds, so on ln p it shrinks by 1 - p.

    The spread of one count over its mean is 1 - p (Bernoulli); the prior over log ratios is half as wide as for errors.
    """
    rest = 1.0 - share
    kept, passing = (variance * rest**2 for variance in assumed.variation.variances)
    return Noise(
        Variation(assumed.variation.times, (max(kept, 2e-5), passing)),
        rho=max(assumed.rho * rest**2, 1e-4),
        spread=rest,
        prior_sd=0.5,
    )


def counts_above(histogram: Histogram, bound: Boundary, frame: Frame, learned: LearnedLatency | None) -> Tally:
    """Requests above a boundary, over requests that count by the age of their pod as far as history has taught it.

    Youth multiplies latency, so the share above the boundary grows with it as with any slower version.
    """
    counts = histogram.above(bound.index)
    if learned is None or learned.age is None or not frame.groups.born or bound.share <= 0.0:
        return counts
    return aged(counts, frame.groups.born, learned.age, bound.slope, 1.0 / bound.share)


def _place(histogram: Histogram, seconds: float) -> int | None:
    """The number of a boundary, or None when the histogram does not have it."""
    most = 1e-9 * abs(seconds)
    return next((at for at, bound in enumerate(histogram.boundaries.tolist()) if abs(bound - seconds) <= most), None)
