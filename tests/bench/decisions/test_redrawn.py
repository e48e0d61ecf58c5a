"""The services whose pods are drawn anew are what they say, and their releases are judged as the product would."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.band_terms import DAY
from analysis.learned import LearnedCounts
from analysis.learning.band_pods import pod_spread
from tests.bench.decisions import redrawn
from tests.bench.decisions.cells import Sizes
from tests.bench.decisions.learners import learned_errors
from tests.bench.decisions.redrawn import CELLS, FAR_APART, PER_POINT, WEEKS, Cell
from tests.bench.decisions.rows import FALSE_ROLLBACK, OURS
from tests.bench.worlds import HEAVY


def test_pods_keep_their_level_for_as_long_as_they_live_and_new_ones_have_their_own() -> None:
    cell = Cell(FAR_APART, 20)
    service = redrawn.Service(cell, np.random.default_rng(1))
    rate = service.errors.sum(axis=0).sum() / service.requests.sum()
    assert rate == pytest.approx(FAR_APART.base * math.exp(0.5 * (0.6**2 + 0.1**2)), rel=0.25)
    week = 7 * DAY * PER_POINT
    parts = [slice(k * week, (k + 1) * week) for k in range(WEEKS + 1)]
    levels = [np.log(service.errors[:, part].sum(axis=1) / service.requests[:, part].sum(axis=1)) for part in parts]
    # The pods of the fourth week serve in the fifth, too.
    assert np.corrcoef(levels[3], levels[4])[0, 1] > 0.98
    assert abs(np.corrcoef(levels[2], levels[3])[0, 1]) < 0.6
    assert 0.4 < float(np.std(levels[0])) < 0.8


@pytest.mark.parametrize("fleets", [1, 4])
def test_what_pods_keep_is_learned_from_segments_of_their_lives(fleets: int) -> None:
    services = [redrawn.Service(Cell(HEAVY, 20, fleets), np.random.default_rng([2, seed])) for seed in range(5)]
    known = learned_errors(services[0].segments(), np.random.default_rng(2)).learned
    assert isinstance(known, LearnedCounts)
    found = [pod_spread(known, one.segments()) for one in services]
    assert {one.freedom for one in found} == {19.0 * fleets}
    # Noise that is forgotten within minutes is in none of them.
    assert float(np.mean([one.variance for one in found])) == pytest.approx(math.expm1(0.25**2), rel=0.35)


def test_the_band_without_the_luck_of_pods_turns_healthy_releases_back_and_with_it_does_not() -> None:
    sizes = Sizes(services=2, healthy=60, harmful=2)
    number = next(place for place, cell in enumerate(CELLS) if cell == Cell(FAR_APART, 6))
    many = [redrawn.judged(number, 3, service, sizes) for service in range(sizes.services)]
    rows = {row.rule: row for row in redrawn.rows_of(CELLS[number], many) if row.figure == FALSE_ROLLBACK}
    assert rows[OURS].n == 120
    assert rows[OURS].low <= 0.01
    assert rows["pods not allowed for, a fifth of alpha"].value > 0.02
