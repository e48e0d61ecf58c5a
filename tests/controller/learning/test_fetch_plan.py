"""Which stretches of history are asked for: many, spread, of the right length, none where something was released."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.baseline import Excluded
from controller.learning.asks import Alerts, Presence
from controller.learning.fetch_plan import (
    AFTER,
    BEFORE,
    LEAST_SEGMENTS,
    MOST_SEGMENTS,
    aligned,
    around,
    excluded_by,
    free_of,
    incidents_of,
    rollouts_of,
    segment_length,
    segments_of,
    window_hours,
)

DAY = 86_400.0
STEP = 300.0
T0 = 1_790_000_100.0


def present(begin: float, end: float, pods: int = 6) -> tuple[tuple[float, int], ...]:
    """Instants from `begin` to `end` hours after T0 at which a ReplicaSet had pods."""
    steps = range(round(begin * 12), round(end * 12) + 1)
    return tuple((T0 + STEP * step, pods) for step in steps)


# ---------------------------------------------------------------------------------------------------- rollouts


def test_a_fleet_that_was_never_changed_has_no_rollout() -> None:
    assert rollouts_of(Presence({"checkout-a": present(0, 100)}), STEP) == ()
    assert rollouts_of(Presence({}), STEP) == ()


def test_another_replica_set_is_a_rollout_at_its_first_pod() -> None:
    (one,) = rollouts_of(Presence({"checkout-a": present(0, 50), "checkout-b": present(49.75, 100)}), STEP)
    assert one.at == T0 + 49.75 * 3600
    assert one.end == T0 + 50 * 3600 + STEP
    assert one.replica_sets == ("checkout-b",)


def test_a_release_in_batches_lasts_as_long_as_two_versions_serve() -> None:
    (one,) = rollouts_of(Presence({"checkout-a": present(0, 54), "checkout-twin-b": present(50, 100)}), STEP)
    assert (one.at, one.end) == (T0 + 50 * 3600, T0 + 54 * 3600 + STEP)


def test_a_release_that_was_rolled_back_is_left_out_too() -> None:
    (one,) = rollouts_of(Presence({"checkout-a": present(0, 100), "checkout-twin-b": present(50, 50.5)}), STEP)
    assert (one.at, one.end) == (T0 + 50 * 3600, T0 + 50.5 * 3600 + STEP)


def test_the_warm_version_that_comes_back_is_a_rollout() -> None:
    presence = Presence({"checkout-a": present(0, 50) + present(80, 100), "checkout-twin-b": present(50, 80)})
    assert [round((one.at - T0) / 3600) for one in rollouts_of(presence, STEP)] == [50, 80]


def test_a_scrape_that_was_missed_is_none() -> None:
    assert rollouts_of(Presence({"checkout-a": present(0, 50) + present(50.25, 100)}), STEP) == ()


def test_more_pods_of_the_same_version_are_none() -> None:
    assert rollouts_of(Presence({"checkout-a": present(0, 50, 4) + present(50.1, 100, 12)}), STEP) == ()


def test_ten_minutes_before_and_an_hour_after_a_rollout_and_a_release_are_left_out() -> None:
    rollouts = rollouts_of(Presence({"a-x": present(0, 50), "a-y": present(50, 100)}), STEP)
    (rollout,) = rollouts
    excluded = excluded_by(rollouts, [Excluded(T0, T0 + 60.0, "release r1 RolledBack")])
    assert [(one.start, one.end) for one in excluded] == [
        (T0 - BEFORE, T0 + 60.0 + AFTER),
        (rollout.at - BEFORE, rollout.end + AFTER),
    ]
    assert all(one.because for one in excluded)


# ---------------------------------------------------------------------------------------------------- segments


@given(
    days=st.floats(0.05, 30.0),
    release=st.floats(60.0, 40_000.0),
    step=st.sampled_from([2.0, 30.0, 60.0]),
    cuts=st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.0, 20.0)), max_size=12),
    weighted=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_segments_never_overlap_nor_touch_what_is_left_out(
    days: float, release: float, step: float, cuts: list[tuple[float, float]], weighted: bool
) -> None:
    bounds = aligned((T0, T0 + days * DAY), step)
    excluded = [Excluded(T0 + at * DAY, T0 + at * DAY + hours * 3600.0, "rollout") for at, hours in cuts]
    free = free_of(bounds, excluded)
    length = segment_length(free, release, step)
    found = segments_of(free, length, step, hours=window_hours(22.0, 6.0) if weighted else None)
    assert len(found) <= MOST_SEGMENTS
    assert list(found) == sorted(found)
    assert all(one[1] <= following[0] for one, following in pairwise(found))
    for begin, end in found:
        assert end - begin == pytest.approx(length)
        assert begin % step == pytest.approx(0.0, abs=1e-6) or begin % step == pytest.approx(step)
        assert bounds[0] <= begin < end <= bounds[1]
        assert not any(one.start < end and one.end > begin for one in excluded)


def test_segments_are_as_long_as_a_release_and_a_little_more() -> None:
    whole = [(0.0, 28 * DAY)]
    assert segment_length(whole, 6_000.0, 30.0) == 6_120.0
    assert segment_length(whole, 60.0, 30.0) == 1_800.0  # never too short to see the noise of a pod
    assert segment_length(whole, 40_000.0, 30.0) == 7_200.0  # never so long that there are few


def test_three_hours_are_six_segments_whatever_a_release_may_take() -> None:
    free = [(0.0, 10_770.0)]
    for release in (60.0, 1_800.0, 6_000.0):
        length = segment_length(free, release, 30.0)
        assert len(segments_of(free, length, 30.0)) >= LEAST_SEGMENTS


def test_three_days_give_at_least_a_dozen_long_ones() -> None:
    free = [(0.0, 3 * DAY)]
    length = segment_length(free, 6_000.0, 30.0)
    assert length == 6_120.0
    assert len(segments_of(free, length, 30.0)) == 42


def test_four_weeks_are_84_segments_over_all_days_and_hours() -> None:
    found = segments_of([(0.0, 28 * DAY)], 6_120.0, 30.0)
    assert len(found) == MOST_SEGMENTS
    days = Counter(int(begin // DAY) for begin, _ in found)
    assert len(days) >= 26
    assert max(days.values()) <= 6
    hours = Counter(int((begin + end) / 2 % DAY // (6 * 3600.0)) for begin, end in found)
    assert min(hours.values()) >= 19


def test_the_hours_of_the_release_window_give_most_of_them() -> None:
    night = window_hours(22.0, 6.0)
    assert sum(night) == pytest.approx(1.0)
    found = segments_of([(0.0, 28 * DAY)], 3_600.0, 30.0, hours=night)
    inside = [begin for begin, end in found if ((begin + end) / 2 % DAY) / 3600.0 % 24.0 >= 22.0]
    inside += [begin for begin, end in found if ((begin + end) / 2 % DAY) / 3600.0 < 6.0]
    assert 0.65 <= len(inside) / len(found) <= 0.85
    assert len(found) >= 80


def test_a_window_of_the_whole_day_weighs_nothing() -> None:
    assert window_hours(0.0, 0.0) == (1.0,) * 24


def test_a_rollout_is_asked_for_only_where_history_holds_all_of_it() -> None:
    (one,) = rollouts_of(Presence({"a-x": present(0, 50), "a-y": present(50, 100)}), STEP)
    span = around(one, 30.0, (T0, T0 + 100 * 3600))
    assert span is not None
    assert span[0] <= one.at - 570.0
    assert span[1] >= one.end + 2_400.0  # until its pods are old
    assert around(one, 30.0, (T0, one.end + 60.0)) is None


def test_b2_incidents_are_left_out_and_an_alert_that_always_fires_is_not_one() -> None:
    bounds = (T0, T0 + 10 * DAY)
    fired = tuple(T0 + 2 * DAY + STEP * n for n in range(6))
    twice = (*fired, *(T0 + 7 * DAY + STEP * n for n in range(3)))
    always = tuple(T0 + STEP * n for n in range(2_880))
    found = incidents_of(Alerts({"CheckoutErrors": twice, "Watchdog": always}), STEP, bounds)
    assert [one.because for one in found] == ["alert CheckoutErrors fired"] * 2
    assert found[0].start < fired[0] - 600.0
    assert found[0].end > fired[-1]
    assert found[1].start > found[0].end
    assert incidents_of(Alerts({}), STEP, bounds) == ()
