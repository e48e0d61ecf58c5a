"""The history band once all pods are new: `python -m tests.bench.decisions.redrawn --seed N [--quick]`.

Simulated services with four weeks of one fleet after the other, 30 s at a time: all pods share a shock, and each pod
has a level of its own for as long as it lives, and noise from window to window. Band and pod noise are learned as the
product learns them. A release then replaces every pod by a new one at an hour of the fifth week, and the band alone
judges the hour that follows, at every point. "pods not allowed for" is the same band as if the pods had stayed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.signal import lfilter

from analysis.assumptions import BAND_HORIZON, BAND_STEP, MARGIN_ALPHA
from analysis.band import LearnedBand, measure, opening, surprising
from analysis.band_pods import NOBODY_CAME, Turnover
from analysis.band_terms import DAY, HOUR, STEPS, Series, Unit, transformed
from analysis.learned import NotLearned
from analysis.learning.band import learn_band
from analysis.learning.band_pods import pod_spread
from analysis.samples import Tally
from analysis.special import FloatArray
from analysis.verdict import Absence, Freshness
from tests.bench.decisions.cells import Sizes, by_cell, print_table
from tests.bench.decisions.learners import SETTINGS, learned_errors
from tests.bench.decisions.rows import ALPHA, FALSE_ROLLBACK, OURS, POWER, Row, share
from tests.bench.worlds import HEAVY, MODERATE, World

GROUP = "history band, pods drawn anew"
WINDOW = 30.0
PER_POINT = round(BAND_STEP / WINDOW)
WEEKS = 4
SEGMENTS = 84
SEGMENT = 60  # windows
SHARED_ALPHA = 0.2 * ALPHA
FACTORS = (1.0, 2.0, 3.0)
DAILY = 0.3

FAR_APART = replace(MODERATE, name="S1 with pod sd .60, shock .1", pod_sd=0.6, shock=0.1, base=0.018)


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of service. fleets: how many followed one another in four weeks."""

    world: World
    pods: int
    fleets: int = WEEKS

    @property
    def name(self) -> str:
        """As in the tables."""
        past = "one fleet" if self.fleets == 1 else f"{self.fleets} fleets"
        return f"{self.world.name}, {self.pods} pods, {past}"


CELLS = (
    *(Cell(world, pods) for world in (MODERATE, HEAVY, FAR_APART) for pods in (6, 20)),
    Cell(HEAVY, 6, fleets=1),
    Cell(FAR_APART, 6, fleets=1),
)


WHOLE = Sizes(services=16, healthy=150, harmful=38)
QUICK = Sizes(services=4, healthy=50, harmful=15)


@dataclass(frozen=True, slots=True)
class Judged:
    """Releases of one service that were turned back, by factor: at alpha, at a fifth of it, and without the pods."""

    alpha: FloatArray
    shared: FloatArray
    unaware: FloatArray
    releases: FloatArray


def run(seed: int, quick: bool) -> list[Row]:
    """All rows."""
    sizes = QUICK if quick else WHOLE
    found = by_cell(judged, len(CELLS), seed, sizes)
    return [row for cell, many in zip(CELLS, found, strict=True) for row in rows_of(cell, many)]


def rows_of(cell: Cell, many: Sequence[Judged]) -> list[Row]:
    """The rows of one cell from its services."""
    rules = (
        (OURS, "alpha", "<= 0.01"),
        (f"{OURS}, a fifth of alpha", "shared", "<= 0.002"),
        ("pods not allowed for, a fifth of alpha", "unaware", ""),
    )
    rows = []
    for rule, name, goal in rules:
        for place, factor in enumerate(FACTORS):
            hits = np.array([getattr(one, name)[place] for one in many])
            releases = np.array([one.releases[place] for one in many])
            figure = FALSE_ROLLBACK if factor == 1.0 else f"{POWER} x{factor:g}"
            rows.append(share(GROUP, cell.name, rule, figure, hits, releases, goal if factor == 1.0 else ""))
    return rows


def judged(number: int, seed: int, service: int, sizes: Sizes) -> Judged:
    """One service: learns once, releases many times."""
    cell = CELLS[number]
    rng = np.random.default_rng([seed, number, service, 77])
    fleet = Service(cell, rng)
    band = fleet.learned(rng)
    turnover = Turnover(cell.pods, 0, cell.pods)
    counts = np.array([sizes.healthy if factor == 1.0 else sizes.harmful for factor in FACTORS])
    hits = np.zeros((3, len(FACTORS)))
    for place, factor in enumerate(FACTORS):
        for origin in rng.integers(WEEKS * 7 * DAY + 2 * HOUR, (WEEKS + 1) * 7 * DAY - 2 * HOUR, counts[place]):
            hits[:, place] += fleet.turned_back(band, int(origin), factor, turnover, rng)
    return Judged(hits[0], hits[1], hits[2], counts.astype(np.float64))


class Service:
    """Four weeks of history and a fifth week in which it releases."""

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        self.cell = cell
        windows = (WEEKS + 1) * 7 * DAY * PER_POINT
        self.shock = ar1(rng, (windows,), 0.9, cell.world.shock)
        self.load = np.exp(DAILY * np.sin(2.0 * np.pi * np.arange(windows) / (DAY * PER_POINT)))
        edges = [round(k * WEEKS * 7 * DAY / cell.fleets) * PER_POINT for k in range(cell.fleets)] + [windows]
        self.edges = edges
        parts = [self.counts(np.arange(a, b), 1.0, rng) for a, b in pairwise(edges)]
        self.requests = np.concatenate([part[0] for part in parts], axis=1)
        self.errors = np.concatenate([part[1] for part in parts], axis=1)
        self.series = failed_shares(self.requests, self.errors)

    def counts(self, at: np.ndarray, factor: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Requests and errors of a fleet of new pods in these windows, (pods, windows)."""
        world, pods = self.cell.world, self.cell.pods
        noise_sd = math.sqrt(math.log1p(world.window_cv2))
        log_rate = rng.normal(size=(pods, 1)) * world.pod_sd + self.shock[at]
        log_rate = log_rate + ar1(rng, (pods, at.size), world.memory, noise_sd) - noise_sd**2 / 2.0
        log_rate = log_rate + math.log(10.0) * (rng.random((pods, at.size)) < world.bursts)
        weight = np.exp(rng.normal(size=(pods, 1)) * world.weight_sd)
        requests = rng.poisson(weight / weight.sum() * world.rate * WINDOW * self.load[at])
        chance = np.minimum(world.base * factor * np.exp(log_rate), 0.95)
        return requests.astype(np.float64), rng.binomial(requests, chance).astype(np.float64)

    def learned(self, rng: np.random.Generator) -> LearnedBand:
        """The band of the first four weeks, with the pods' spread as the gate beside it has learned it."""
        segments = self.segments()
        lesson = learned_errors(segments, rng)
        pods = pod_spread(lesson.learned, segments)
        rollouts = [(edge * WINDOW, edge * WINDOW) for edge in self.edges[1:-1]]
        band = learn_band(Series(0.0, self.series[: WEEKS * 7 * DAY]), Unit.SHARE, rollouts, pods=pods)
        if isinstance(band, NotLearned):
            raise ValueError(f"{self.cell.name}: {band.detail}")
        return band

    def segments(self) -> tuple[Tally, ...]:
        """Half hours spread over the four weeks, each inside the time of one fleet."""
        out = []
        for begin in np.linspace(0, WEEKS * 7 * DAY * PER_POINT - SEGMENT, SEGMENTS).astype(int):
            fleet = sum(edge <= begin for edge in self.edges) - 1
            start = min(int(begin), self.edges[fleet + 1] - SEGMENT)
            at = slice(start, start + SEGMENT)
            ends = WINDOW * np.arange(start + 1, start + SEGMENT + 1)
            requests, errors = self.requests[:, at], self.errors[:, at]
            out.append(
                Tally(
                    pods=tuple(f"app-{fleet:05d}-{pod:05d}" for pod in range(self.cell.pods)),
                    contender=np.zeros(self.cell.pods, dtype=np.bool_),
                    exposure=requests,
                    events=errors,
                    seen=np.ones(requests.shape, dtype=np.bool_),
                    ends=ends,
                    window=WINDOW,
                    freshness=Freshness(),
                )
            )
        return tuple(out)

    def turned_back(
        self, band: LearnedBand, origin: int, factor: float, turnover: Turnover, rng: np.random.Generator
    ) -> FloatArray:
        """Whether a release at a point of the fifth week is turned back: see `Judged`, (3,)."""
        made = opening(band, Series(0.0, self.series[: origin + 1]))
        if isinstance(made, Absence):
            raise ValueError(made.detail)
        at = np.arange((origin + 1) * PER_POINT, (origin + 1 + BAND_HORIZON) * PER_POINT)
        after = transformed(failed_shares(*self.counts(at, factor, rng)), band.unit, band.offset)
        seen = np.cumsum(after) / STEPS
        # Both evidences only ever grow during the hour: above their thresholds at one look means so at the last one.
        told = []
        for turned in (turnover, NOBODY_CAME):
            by = measure(band, made, turned, upwards=True)
            told.append(surprising(band, made, seen, by, upwards=True, margin=SETTINGS.margin.ratio, points=0.0))
        alphas = ((told[0], ALPHA), (told[0], SHARED_ALPHA), (told[1], SHARED_ALPHA))
        return np.array(
            [
                float(nats > math.log(1.0 / alpha) and beyond > math.log(1.0 / MARGIN_ALPHA))
                for (nats, beyond, _), alpha in alphas
            ]
        )


def ar1(rng: np.random.Generator, shape: tuple[int, ...], memory: float, sd: float) -> FloatArray:
    """Stationary Gaussian AR(1) along the last axis."""
    pushes = rng.normal(size=shape) * sd * math.sqrt(1.0 - memory**2)
    pushes[..., 0] /= math.sqrt(1.0 - memory**2)
    out: FloatArray = lfilter([1.0], [1.0, -memory], pushes, axis=-1)
    return out


def failed_shares(requests: FloatArray, errors: FloatArray, begin: int = 0) -> FloatArray:
    """The share of failed requests of all pods in each five minutes from a window on."""
    asked, failed = (values[:, begin:].sum(axis=0).reshape(-1, PER_POINT).sum(axis=1) for values in (requests, errors))
    shares: FloatArray = failed / asked
    return shares


if __name__ == "__main__":
    print_table(run, __doc__)
