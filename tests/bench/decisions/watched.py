"""Stages and the watch after them, one promise: `python -m tests.bench.decisions.watched --seed N [--quick]`.

The services of `redrawn`, with ten pods. A release changes nothing: one new pod, then three, then five of ten, ten
minutes each, then ten minutes of new pods alone, and then the watch. Three things may turn it back, each as the product
has it: the comparison beside incumbents, with thresholds from replays; the band of the app in the last batch, with half
of the band's share of alpha; and the band in each hour of the watch, with its part of the other half. "errors x3 in the
watch" begins with the watch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import BAND_HORIZON, HISTORY_SHARE, MARGIN_ALPHA, PAUSE_ALPHA
from analysis.band import LearnedBand, measure, opening, surprising
from analysis.band_pods import Turnover
from analysis.band_terms import DAY, HOUR, STEPS, Series, transformed
from analysis.contrast import Releases
from analysis.engine import traces
from analysis.learned import Learned, LearnedCounts, NotLearned
from analysis.learning import CountHistory, learn
from analysis.special import FloatArray
from analysis.verdict import Absence
from controller.history import HOUR as HOUR_SECONDS
from controller.history import share_in_watch
from tests.bench.decisions.cells import Sizes, by_cell, print_table
from tests.bench.decisions.judging import ERROR_MARGIN
from tests.bench.decisions.learners import PLAN, SETTINGS
from tests.bench.decisions.redrawn import PER_POINT, WEEKS, WINDOW, Cell, Service, failed_shares
from tests.bench.decisions.rows import ALPHA, FALSE_ROLLBACK, OURS, POWER, Row, share
from tests.bench.worlds import HEAVY, MODERATE

GROUP = "stages and watch"
PODS = 10
BATCHES = (1, 3, 5)
BATCH = 20  # windows
BESIDE = BATCH * len(BATCHES)  # windows in which incumbents serve
STAGES = BESIDE + BATCH
HARM = 3.0
PARTS = ("comparison in the stages", "band in the last batch", "band in the watch", OURS)


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind of service, and the hours for which its releases are watched."""

    cell: Cell
    hours: int

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.cell.name}, watched for {self.hours} h"


CELLS = (
    Watched(Cell(MODERATE, PODS), 1),
    Watched(Cell(MODERATE, PODS), 4),
    Watched(Cell(HEAVY, PODS), 1),
)


WHOLE = Sizes(services=8, healthy=150, harmful=25)
QUICK = Sizes(services=2, healthy=40, harmful=5)


@dataclass(frozen=True, slots=True)
class Judged:
    """Releases of one service that were turned back: healthy ones by each of PARTS, harmful ones in the watch."""

    healthy: FloatArray
    harmful: float


def run(seed: int, quick: bool) -> list[Row]:
    """All rows."""
    sizes = QUICK if quick else WHOLE
    found = by_cell(judged, len(CELLS), seed, sizes)
    return [row for cell, many in zip(CELLS, found, strict=True) for row in rows_of(cell, many, sizes)]


def rows_of(cell: Watched, many: Sequence[Judged], sizes: Sizes) -> list[Row]:
    """The rows of one cell from its services."""
    healthy = [sizes.healthy] * len(many)
    rows = [
        share(GROUP, cell.name, part, FALSE_ROLLBACK, np.array([one.healthy[place] for one in many]), healthy,
              f"<= {ALPHA:g}" if part == OURS else "")
        for place, part in enumerate(PARTS)
    ]  # fmt: skip
    harmful = np.array([one.harmful for one in many])
    caught = share(GROUP, cell.name, OURS, f"{POWER} x{HARM:g} in the watch", harmful, [sizes.harmful] * len(many))
    return [*rows, caught]


def judged(number: int, seed: int, service: int, sizes: Sizes) -> Judged:
    """One service: learns once, releases many times."""
    cell = CELLS[number]
    rng = np.random.default_rng([seed, number, service, 78])
    fleet = Service(cell.cell, rng)
    # The gate's own part of alpha, as the product learns it: the band has the rest.
    learned = learned_counts(CountHistory(fleet.segments()), rng, ALPHA * (1.0 - HISTORY_SHARE))
    if not isinstance(learned, LearnedCounts):
        raise ValueError(f"{cell.name}: nothing was learned")
    band = fleet.learned(rng)
    late = (STAGES // PER_POINT) + cell.hours * HOUR
    begins = rng.integers(WEEKS * 7 * DAY + 2 * HOUR, (WEEKS + 1) * 7 * DAY - late - 2, sizes.healthy + sizes.harmful)
    hits = np.zeros(len(PARTS))
    harmful = 0.0
    for place, begin in enumerate(begins.tolist()):
        ill = place >= sizes.healthy
        parts = turned_back(fleet, learned, band, begin, cell.hours, HARM if ill else 1.0, rng)
        if ill:
            harmful += float(parts[2])
        else:
            hits += (*parts, any(parts))
    return Judged(hits, harmful)


def learned_counts(history: CountHistory, rng: np.random.Generator, alpha: float) -> Learned | NotLearned:
    """What replays teach a single gate at this alpha."""
    asked = {"errors": SETTINGS}
    seed = int(rng.integers(2**31))
    return learn({"errors": history}, asked, PLAN, alpha=alpha, pause_alpha=PAUSE_ALPHA, seed=seed)["errors"]


def turned_back(
    fleet: Service,
    learned: LearnedCounts,
    band: LearnedBand,
    begin: int,
    hours: int,
    factor: float,
    rng: np.random.Generator,
) -> tuple[bool, bool, bool]:
    """Whether a release that begins after this point is turned back by each of the first three of PARTS."""
    start = (begin + 1) * PER_POINT
    watch = hours * HOUR * PER_POINT
    at = np.arange(start, start + STAGES + watch)
    asked, failed = fleet.counts(at, 1.0, rng)
    if factor > 1.0:
        more = rng.binomial(
            (asked - failed).astype(np.int64), min(0.9, (factor - 1.0) * float(failed.sum() / asked.sum()))
        )
        failed = failed + more * (np.arange(at.size) >= STAGES)
    old = slice(start, start + BESIDE)
    theirs = fleet.requests[:, old], fleet.errors[:, old]
    new = np.repeat(BATCHES, BATCH)
    ours_on = np.arange(PODS)[:, None] < new
    theirs_on = np.arange(PODS)[:, None] < PODS - new
    exposure = np.concatenate([asked[:, :BESIDE] * ours_on, theirs[0] * theirs_on])
    events = np.concatenate([failed[:, :BESIDE] * ours_on, theirs[1] * theirs_on])
    mine = np.arange(2 * PODS) < PODS
    series = np.concatenate(
        [fleet.series[: begin + 1], failed_shares(exposure, events), failed_shares(asked, failed, BESIDE)]
    )
    whole = Series(0.0, series)
    turnover = Turnover(PODS, 0, PODS)
    per_hour = share_in_watch(hours * HOUR_SECONDS, among=1, calibrated=True)
    in_stages = share_in_watch(
        HOUR_SECONDS, among=1, calibrated=True
    )  # half of the band's share, as the stages have it
    last = begin + STAGES // PER_POINT
    return (
        _by_comparison(Releases(mine, exposure[None], events[None], WINDOW), learned),
        _by_band(band, whole, begin, last - begin, turnover, in_stages),
        any(_by_band(band, whole, last + hour * HOUR, HOUR, turnover, per_hour) for hour in range(hours)),
    )


def _by_comparison(releases: Releases, learned: LearnedCounts) -> bool:
    """The gate with history: J and the margin's evidence above their thresholds at one look."""
    seen = traces(releases, ERROR_MARGIN, learned.noise)
    change = learned.calibration.joined(seen.ln_pods, seen.ln_counts)
    return bool(((change > learned.calibration.change) & (seen.ln_margin > learned.calibration.margin)).any())


def _by_band(band: LearnedBand, whole: Series, origin: int, points: int, turnover: Turnover, part: float) -> bool:
    """The band of the app, with a part of alpha, over the first points after an origin."""
    made = opening(band, Series(0.0, whole.values[: origin + 1]))
    if isinstance(made, Absence):
        raise ValueError(made.detail)
    n = min(points, BAND_HORIZON)
    after = transformed(whole.values[origin + 1 : origin + 1 + n], band.unit, band.offset)
    seen = np.cumsum(after) / STEPS[:n]
    by = measure(band, made, turnover, upwards=True)
    # Both evidences only ever grow during the hour: above their thresholds at one look means so at the last one.
    nats, beyond, _ = surprising(band, made, seen, by, upwards=True, margin=SETTINGS.margin.ratio, points=0.0)
    return nats > math.log(1.0 / (ALPHA * part)) and beyond > math.log(1.0 / MARGIN_ALPHA)


if __name__ == "__main__":
    print_table(run, __doc__)
