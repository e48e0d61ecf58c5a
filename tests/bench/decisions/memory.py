"""The gauge gate on memory of real pods: DIR/pods/memory.csv.gz, share of the limit in use, a reading every 57 s.

The pods of a fleet whose workloads differ ("mixed fleet"), and those of one workload ("one role"). The role is read
from the shape of the day alone, never from the level that the gate judges: its pods breathe together.

A service is a random split of the pods. Three quarters teach, in the first part of the day; releases follow in the
rest of it, and their new pods are drawn from the other quarter, so that no pod ever stands on both sides. A regression
multiplies every reading of the new pods. All services share one day and one set of pods: the interval over services
tells how much the split matters, not how another company's pods would do.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.assumptions import LIMIT_READINGS
from analysis.learned import LearnedLevels
from analysis.learning import LevelHistory, ReplayPlan, learn
from analysis.levels import GaugeSettings, Levels, Spans, gauge_settings
from analysis.reach import level_power
from analysis.special import FloatArray
from analysis.verdict import Absence
from analysis.weighing import course, weigh
from tests.bench.decisions.rivals import KAYENTA, THREE_SD, Rule, deviations, kayenta_scores
from tests.bench.decisions.rows import ALPHA, FALSE_ROLLBACK, OURS, POWER, Row, quantile, share

GROUP = "real memory"
STEP = 57.0
STAGES, STAGE_LOOKS = (1, 3, 5), 10
LOOKS = STAGE_LOOKS * len(STAGES)
INCUMBENTS = 10
TAUGHT, LEARNING_DAY = 0.75, 0.6
MARGIN = "x1.10, tolerated"
HARMFUL = (("+20 %", 1.2), ("+50 %", 1.5), ("x2", 2.0))
GOALS = {("mixed fleet", "x2"): ">= 0.75", ("one role", "x2"): ">= 0.95", ("one role", "+50 %"): ">= 0.85"}
RULES: tuple[Rule, ...] = (KAYENTA, THREE_SD)
HARD_BOUND, BOUND = 0.95, "hard bound of .95 alone"
TUNED = " at equal false alarms"
Alarms = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Day:
    """Readings of all pods over a day, (pods, instants), NaN where absent."""

    pods: tuple[str, ...]
    values: FloatArray

    def levels(self, pods: Sequence[int], begin: int, looks: int, contender: int = 0) -> Levels:
        """A stretch of some pods, the first of them on trial."""
        values: FloatArray = self.values[list(pods), begin : begin + looks].copy()
        instants: FloatArray = STEP * (begin + 1.0 + np.arange(values.shape[1], dtype=np.float64))
        ours = np.arange(len(pods)) < contender
        names = tuple(self.pods[pod] for pod in pods)
        return Levels(names, ours, values, np.full(values.shape, np.inf), instants, STEP)

    def there(self, pods: Sequence[int], begin: int, looks: int) -> list[int]:
        """The pods with readings in nearly all of a stretch."""
        return [pod for pod in pods if np.isfinite(self.values[pod, begin : begin + looks]).mean() > 0.9]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many services, and how many releases of each kind each of them makes."""

    services: int
    healthy: int
    margin: int
    harmful: int


WHOLE = Sizes(services=50, healthy=90, margin=30, harmful=16)
QUICK = Sizes(services=14, healthy=24, margin=12, harmful=8)


def run(folder: Path, seed: int, quick: bool) -> list[Row]:
    """All rows of this group; raises FileNotFoundError without the file."""
    day = read_day(folder / "pods" / "memory.csv.gz")
    sizes = QUICK if quick else WHOLE
    rows: list[Row] = []
    for number, (fleet, pods) in enumerate({"mixed fleet": long_lived(day), "one role": one_role(day)}.items()):
        rows += _fleet_rows(day, fleet, pods, np.random.default_rng([seed, number]), sizes)
    return rows


def read_day(path: Path) -> Day:
    """The readings on a grid of 57 s; samples of one pod are at such instants, some are missing."""
    found: dict[str, list[tuple[float, float]]] = {}
    with gzip.open(path, "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["pod"], []).append((float(row["timestamp"]), float(row["value"])))
    first = min(at for many in found.values() for at, _ in many)
    last = max(at for many in found.values() for at, _ in many)
    values = np.full((len(found), round((last - first) / STEP) + 1), np.nan)
    for pod, many in enumerate(found.values()):
        for at, value in many:
            values[pod, round((at - first) / STEP)] = value
    return Day(tuple(found), values)


def long_lived(day: Day) -> list[int]:
    """Pods with readings for six hours or more."""
    return [int(pod) for pod in np.flatnonzero(np.isfinite(day.values).sum(axis=1) >= 6 * 3600 / STEP)]


def one_role(day: Day, alike: float = 0.85) -> list[int]:
    """The largest set of pods whose half-hour levels correlate with the set's own mean by more than `alike`.

    Logs are standardised pod by pod first, so that neither level nor amplitude speaks.
    """
    block = round(1800 / STEP)
    full = np.flatnonzero(np.isfinite(day.values).mean(axis=1) > 0.95)
    whole = day.values.shape[1] // block * block
    means = np.nanmean(np.log(day.values[full, :whole] + 1e-4).reshape(full.size, -1, block), axis=2)
    shape = means - means.mean(axis=1, keepdims=True)
    shape /= np.maximum(shape.std(axis=1, keepdims=True), 1e-12)
    alikeness = shape @ shape.T / shape.shape[1]
    inside = alikeness[int(np.argmax((alikeness > alike).sum(axis=1)))] > alike
    for _ in range(20):
        centre = shape[inside].mean(axis=0)
        closer = shape @ centre / (shape.shape[1] * centre.std()) > alike
        if np.array_equal(closer, inside) or not closer.any():
            break
        inside = closer
    return [int(pod) for pod in full[inside]]


def _fleet_rows(day: Day, fleet: str, pods: Sequence[int], rng: np.random.Generator, sizes: Sizes) -> list[Row]:
    """Every cell of one fleet, for us and for the rivals, as they come and at equal false alarms."""
    cells = {"healthy": 1.0, MARGIN: 1.1, **dict(HARMFUL), "x2, capped at the limit": 2.0}
    counts = {"healthy": sizes.healthy, MARGIN: sizes.margin}
    seen: dict[str, list[Alarms]] = {cell: [] for cell in cells}
    scores: dict[str, list[Alarms]] = {cell: [] for cell in cells}
    for _ in range(sizes.services):
        service = _taught(day, pods, rng)
        for cell, factor in cells.items():
            many = counts.get(cell, sizes.harmful)
            releases = [_release(day, service, rng, factor, capped="capped" in cell) for _ in range(many)]
            seen[cell].append(_ours(releases, service))
            scores[cell].append(_rivals(releases, service))
    usual = {rule.name: rule for rule in RULES}
    healthy = {name: np.concatenate([one[name] for one in scores["healthy"]]) for name in usual}
    rate = max(ALPHA, float(np.mean(np.concatenate([one[OURS] for one in seen["healthy"]]) > 0)))
    rows: list[Row] = []
    for cell in cells:
        by_rule = {name: [one[name] for one in seen[cell]] for name in seen[cell][0]}
        for name, rule in usual.items():
            by_rule[name] = [_looks(rule.alarms(one[name])) for one in scores[cell]]
            bar = rule.threshold_for(healthy[name], rate)
            by_rule[name + TUNED] = [_looks(rule.alarms(one[name], bar)) for one in scores[cell]]
        rows += [row for name, looks in by_rule.items() for row in _cell_rows(fleet, cell, name, looks)]
    levels = _mean_levels(day, pods)
    bound = level_power(2.0, float(levels.std(ddof=1)), STAGES[-1], round(TAUGHT * len(pods)))
    rows.append(Row(GROUP, f"{fleet}: x2", "any, were ln levels normal", "caught at most", bound))
    return rows


def _looks(alarms: FloatArray) -> FloatArray:
    """A rival's half-minute looks as ours: its check each minute is one of our readings."""
    return alarms / 2.0


def _cell_rows(fleet: str, cell: str, rule: str, looks: Sequence[FloatArray]) -> list[Row]:
    name = f"{fleet}: {cell}"
    hits, trials = [int((one > 0).sum()) for one in looks], [one.size for one in looks]
    ours = rule == OURS
    if cell == "healthy":
        return [share(GROUP, name, rule, FALSE_ROLLBACK, hits, trials, "<= 0.01" if ours else "")]
    if cell == MARGIN:
        return [share(GROUP, name, rule, "rolled back", hits, trials, "<= 0.1" if ours else "")]
    caught = np.concatenate(looks)
    minutes = np.where(caught > 0, caught * STEP / 60.0, np.inf)
    goal = GOALS.get((fleet, cell), "") if ours else ""
    return [
        share(GROUP, name, rule, POWER, hits, trials, goal),
        quantile(GROUP, name, rule, "median minutes", minutes, 0.5),
    ]


@dataclass(frozen=True, slots=True)
class _Service:
    """One split of the pods, and what the gate learned from its own."""

    known: list[int]
    fresh: list[int]
    learned: LearnedLevels
    settings: GaugeSettings
    history: FloatArray
    since: int


def _taught(day: Day, pods: Sequence[int], rng: np.random.Generator) -> _Service:
    """Segments of the release's own length from the first part of the day, as the learner would cut them."""
    order = [pods[int(place)] for place in rng.permutation(len(pods))]
    known, fresh = order[: round(TAUGHT * len(order))], order[round(TAUGHT * len(order)) :]
    runs = int(LEARNING_DAY * day.values.shape[1]) // LOOKS
    segments = tuple(day.levels(known, run * LOOKS, LOOKS) for run in range(runs))
    settings = gauge_settings(alpha=ALPHA)
    plan = ReplayPlan(lambda _: STAGES, STAGE_LOOKS, STAGE_LOOKS)
    told = learn(
        {"memory": LevelHistory(segments)},
        {"memory": settings},
        plan,
        alpha=ALPHA,
        pause_alpha=settings.pause_alpha,
        seed=int(rng.integers(2**31)),
    )["memory"]
    if not isinstance(told, LearnedLevels):
        raise ValueError(f"nothing was learned from {len(known)} pods: {told}")
    usual = np.nanmean(day.values[known, : runs * LOOKS], axis=0)
    return _Service(known, fresh, told, settings, usual, runs * LOOKS)


def _release(day: Day, service: _Service, rng: np.random.Generator, factor: float, *, capped: bool) -> Levels:
    """New pods join by stages, each in the place of an old one, which leaves."""
    begin = int(rng.integers(service.since, day.values.shape[1] - LOOKS))
    fresh, known = (day.there(pods, begin, LOOKS) for pods in (service.fresh, service.known))
    most = STAGES[-1]
    ours = [fresh[int(place)] for place in rng.permutation(len(fresh))[:most]]
    theirs = [known[int(place)] for place in rng.permutation(len(known))[:INCUMBENTS]]
    levels = day.levels([*ours, *theirs], begin, LOOKS, len(ours))
    values = levels.values
    values[: len(ours)] *= factor
    if capped:
        np.minimum(values[: len(ours)], 1.0, out=values[: len(ours)])
    for stage, (before, target) in enumerate(zip((0, *STAGES), STAGES, strict=False)):
        values[before : min(target, len(ours)), : stage * STAGE_LOOKS] = np.nan
        values[len(ours) + before : len(ours) + target, stage * STAGE_LOOKS :] = np.nan
    return levels


def _ours(releases: Sequence[Levels], service: _Service) -> Alarms:
    """The look at which each release is rolled back, 0 for never: with history, and on assumed noise."""
    spans = Spans.of(np.arange(1, LOOKS + 1), STEP)
    calibration = service.learned.calibration
    learned, assumed = np.zeros(len(releases)), np.zeros(len(releases))
    for number, levels in enumerate(releases):
        seen = course(levels, service.settings, service.learned, spans)
        over = (seen.joined > calibration.change) & (seen.margin > calibration.margin)
        learned[number] = int(np.argmax(over)) + 1 if over.any() else 0
        assumed[number] = next((look for look in range(5, LOOKS + 1, 5) if _assumed(levels, service, look)), 0)
    return {OURS: learned, "assumed": assumed, BOUND: np.array([_bound_broken(one) for one in releases])}


def _bound_broken(levels: Levels) -> int:
    """The look at which some new pod has three readings in a row above the bound, 0 for never."""
    over = levels.values[levels.contender] > HARD_BOUND
    row = over[:, LIMIT_READINGS - 1 :]
    for back in range(1, LIMIT_READINGS):
        row = row & over[:, LIMIT_READINGS - 1 - back : -back]
    broken = row.any(axis=0)
    return int(np.argmax(broken)) + LIMIT_READINGS if broken.any() else 0


def _assumed(levels: Levels, service: _Service, look: int) -> bool:
    told = weigh(levels.keep_instants(np.arange(LOOKS) < look), service.settings, None)
    return not isinstance(told, Absence) and told.degraded


def _rivals(releases: Sequence[Levels], service: _Service) -> Alarms:
    """Scores of the rivals' checks on the mean over pods, which is what their queries ask for."""
    ours = np.stack([_mean(one.values[one.contender]) for one in releases])
    theirs = np.stack([_mean(one.values[~one.contender]) for one in releases])
    return {KAYENTA.name: kayenta_scores(ours, theirs), THREE_SD.name: deviations(ours, service.history)}


def _mean(values: FloatArray) -> FloatArray:
    """Mean over pods at each instant, NaN where no pod has a reading."""
    there = np.isfinite(values)
    total: FloatArray = np.where(there, values, 0.0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)


def _mean_levels(day: Day, pods: Sequence[int]) -> FloatArray:
    part = day.values[list(pods)]
    return np.array([math.fsum(np.log(row[np.isfinite(row)] + 1e-4)) / np.isfinite(row).sum() for row in part])
