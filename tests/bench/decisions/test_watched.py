"""Releases with a watch after them are judged as the product would, and each part of the promise can fail."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.band_pods import Turnover
from analysis.band_terms import DAY, HOUR, Series
from analysis.learned import LearnedCounts
from analysis.learning import CountHistory
from tests.bench.decisions import watched
from tests.bench.decisions.redrawn import WEEKS, Cell, Service
from tests.bench.decisions.rows import ALPHA
from tests.bench.worlds import MODERATE


@pytest.fixture(scope="module")
def service() -> Service:
    return Service(Cell(MODERATE, watched.PODS), np.random.default_rng(5))


def test_harm_that_begins_with_the_watch_is_caught_by_the_watch_and_nothing_before_it(service: Service) -> None:
    rng = np.random.default_rng(6)
    band = service.learned(rng)
    learned = watched.learned_counts(CountHistory(service.segments()), rng, ALPHA)
    assert isinstance(learned, LearnedCounts)
    begins = [WEEKS * 7 * DAY + (2 + 5 * each) * HOUR for each in range(12)]
    worse = [watched.turned_back(service, learned, band, begin, 1, 10.0, rng) for begin in begins]
    fine = [watched.turned_back(service, learned, band, begin, 1, 1.0, rng) for begin in begins]
    assert sum(parts[2] for parts in worse) >= 9
    assert sum(parts[2] for parts in fine) == 0
    assert sum(parts[0] or parts[1] for parts in (*worse, *fine)) <= 1


def test_a_whole_alpha_for_every_hour_would_turn_more_releases_back(service: Service) -> None:
    rng = np.random.default_rng(7)
    band = service.learned(rng)
    whole = Series(0.0, service.series)
    hours = range(WEEKS * 7 * DAY, (WEEKS + 1) * 7 * DAY - HOUR, HOUR // 2)
    stays = Turnover(watched.PODS, watched.PODS, 0)

    def strange(part: float) -> int:
        return sum(watched._by_band(band, whole, origin, HOUR, stays, part) for origin in hours)

    assert strange(0.1) < strange(30.0)
