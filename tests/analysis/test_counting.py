"""Counters become exact counts per pod and window: what voids a pod-window, and what absence means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.counting import count_buckets, count_events, count_rate
from analysis.samples import REST, CounterSeries, Frame, Groups, Histogram, Tally
from analysis.verdict import Absence, NoData
from tests.analysis.builders import START, WINDOW, counter, instant

PODS = Groups(("new",), ("old",))


def frame(groups: Groups = PODS, spans: tuple[tuple[float, float], ...] = ((START, instant(100)),)) -> Frame:
    return Frame(groups, spans, WINDOW)


def tally(requests: list[CounterSeries], errors: list[CounterSeries], where: Frame | None = None) -> Tally:
    counted = count_events(requests, errors, where or frame())
    assert isinstance(counted, Tally), counted
    return counted


def row(counted: Tally, pod: str) -> list[tuple[float, float] | None]:
    """(requests, errors) per window of one pod, None where void."""
    at = counted.pods.index(pod)
    zipped = zip(counted.exposure[at], counted.events[at], counted.seen[at], strict=True)
    return [(float(n), float(x)) if seen else None for n, x, seen in zipped]


OLD = counter("old", [0, 100, 200, 300, 400])
OLD_ERRORS = counter("old", [0, 1, 2, 3, 4])


def test_counts_are_differences_of_neighbouring_instants() -> None:
    counted = tally(
        [counter("new", [50, 150, 260]), counter("old", [7, 8, 10])],
        [counter("new", [5, 5, 9]), counter("old", [1, 1, 1])],
    )
    assert row(counted, "new") == [(100, 0), (110, 4)]
    assert row(counted, "old") == [(1, 0), (2, 0)]
    assert counted.ends.tolist() == [instant(1), instant(2)]


def test_a_drop_voids_the_window_in_which_it_happened_and_only_that_one() -> None:
    counted = tally([counter("new", [100, 200, 30, 130]), OLD], [counter("new", [4, 5, 1, 2]), OLD_ERRORS])
    assert row(counted, "new")[:3] == [(100, 1), None, (100, 1)]
    assert None not in row(counted, "old")


def test_a_drop_of_the_errors_alone_is_a_restart_too() -> None:
    counted = tally([counter("new", [100, 200, 300]), OLD], [counter("new", [9, 9, 2]), OLD_ERRORS])
    assert row(counted, "new")[:2] == [(100, 0), None]


def test_a_drop_across_a_hole_is_seen() -> None:
    counted = tally([counter("new", [500, None, 100, 200]), OLD], [OLD_ERRORS])
    assert row(counted, "new")[:3] == [None, None, (100, 0)]


def test_a_known_restart_voids_its_window_even_when_the_counter_overtook_its_old_value() -> None:
    groups = replace(PODS, restarts={"new": (instant(1) + 4.0,)})
    counted = tally([counter("new", [10, 20, 500, 600]), OLD], [OLD_ERRORS], frame(groups))
    assert row(counted, "new")[:3] == [(10, 0), None, (100, 0)]


def test_a_restart_exactly_at_an_instant_belongs_to_the_window_that_ends_there() -> None:
    groups = replace(PODS, restarts={"new": (instant(2),), "old": (START - 500.0, instant(400))})
    counted = tally([counter("new", [10, 20, 500, 600]), OLD], [OLD_ERRORS], frame(groups))
    assert row(counted, "new")[:3] == [(10, 0), None, (100, 0)]
    assert None not in row(counted, "old")


def test_no_error_series_where_requests_were_scraped_means_no_errors() -> None:
    counted = tally([counter("new", [0, 100, 200]), OLD], [])
    assert row(counted, "new")[:2] == [(100, 0), (100, 0)]


def test_a_late_error_series_counts_its_whole_first_value() -> None:
    counted = tally([counter("new", [0, 100, 200, 300]), OLD], [counter("new", [None, None, 7, 9]), OLD_ERRORS])
    assert row(counted, "new")[:3] == [(100, 0), (100, 7), (100, 2)]


def test_the_same_rule_holds_for_the_incumbent() -> None:
    counted = tally([counter("new", [0, 100, 200]), OLD], [counter("old", [None, 6, 6, 6, 6])])
    assert row(counted, "old") == [(100, 6), (100, 0), (100, 0), (100, 0)]


def test_a_first_error_value_of_a_pod_not_scraped_before_is_not_counted() -> None:
    counted = tally([counter("new", [None, 100, 200]), OLD], [counter("new", [None, 7, 9]), OLD_ERRORS])
    assert row(counted, "new")[:2] == [None, (100, 2)]


def test_an_error_series_that_was_there_and_vanished_is_a_hole_not_a_zero() -> None:
    counted = tally([counter("new", [0, 100, 200, 300, 400]), OLD], [counter("new", [3, None, 9, 9, 9]), OLD_ERRORS])
    assert row(counted, "new") == [None, None, (100, 0), (100, 0)]


def test_after_a_restart_the_error_series_may_be_absent_again() -> None:
    counted = tally(
        [counter("new", [900, 1000, 50, 150, 250]), OLD], [counter("new", [3, 4, None, None, 2]), OLD_ERRORS]
    )
    assert row(counted, "new") == [(100, 1), None, (100, 0), (100, 2)]


def test_missing_requests_are_no_data_although_errors_are_there() -> None:
    counted = tally([counter("new", [0, None, 200]), OLD], [counter("new", [0, 1, 2]), OLD_ERRORS])
    assert row(counted, "new")[:2] == [None, None]
    assert counted.freshness.last_contender_end is None
    assert counted.freshness.silent == ("new",)


def test_windows_partly_outside_a_settled_span_do_not_count() -> None:
    spans = ((instant(0) + 1.0, instant(2)), (instant(3), instant(4)))
    counted = tally([counter("new", [0, 1, 3, 6, 10]), OLD], [], frame(spans=spans))
    assert row(counted, "new") == [(2, 0), (4, 0)]
    assert counted.ends.tolist() == [instant(2), instant(4)]


def test_soak_is_counted_in_windows_with_samples_never_in_wall_time() -> None:
    counted = tally([counter("new", [0, 9, None, None, 30, 40]), counter("old", [0, 1, 2, 3, 4, 5])], [])
    assert counted.freshness.contender_windows == 2
    assert counted.freshness.last_contender_end == instant(5)
    assert counted.freshness.voided == 3


def test_only_windows_in_which_both_sides_served_are_shared() -> None:
    counted = tally([counter("new", [0, 10, 20, 20]), counter("old", [0, 10, None, 30])], [])
    assert counted.shared().ends.tolist() == [instant(1)]


def test_pods_of_neither_group_are_not_ours_to_judge() -> None:
    stranger = CounterSeries("stranger", None, (START, START), (float("nan"), -1.0))
    counted = tally([counter("new", [0, 10]), OLD, stranger, stranger], [stranger])
    assert counted.pods == ("new", "old")


def test_a_pod_on_both_sides_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="disjoint"):
        Groups(("a",), ("a",))


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (CounterSeries("new", None, (START,), (float("nan"),)), NoData.NON_FINITE),
        (CounterSeries("new", None, (START,), (float("inf"),)), NoData.NON_FINITE),
        (CounterSeries("new", None, (float("inf"),), (1.0,)), NoData.NON_FINITE),
        (CounterSeries("new", None, (START,), (-1.0,)), NoData.NEGATIVE),
        (CounterSeries("new", None, (START, START), (1.0, 2.0)), NoData.DUPLICATE),
        (CounterSeries("new", None, (START + WINDOW, START), (1.0, 2.0)), NoData.DUPLICATE),
        (CounterSeries("new", None, (START, START + 40.0), (1.0, 2.0)), NoData.MISALIGNED),
        (CounterSeries("new", None, (START, 1e300), (1.0, 2.0)), NoData.MISALIGNED),
        (CounterSeries("new", None, (START,), ()), NoData.MALFORMED),
        (CounterSeries("new", "0.5", (START,), (1.0,)), NoData.WRONG_TYPE),
        (CounterSeries("new", "soon", (START,), (1.0,)), NoData.MALFORMED),
    ],
)
def test_one_unusable_series_makes_the_answer_unusable(series: CounterSeries, reason: NoData) -> None:
    found = count_events([series, OLD], [OLD_ERRORS], frame())
    assert isinstance(found, Absence)
    assert found.reason is reason
    assert "new" in found.detail


def test_the_same_pod_twice_is_a_duplicate_not_a_choice() -> None:
    found = count_events([counter("new", [0, 1]), counter("new", [0, 2]), OLD], [], frame())
    assert isinstance(found, Absence)
    assert found.reason is NoData.DUPLICATE


@pytest.mark.parametrize(
    ("requests", "spans", "reason"),
    [
        ([], ((START, instant(9)),), NoData.NO_SERIES),
        ([counter("new", [])], ((START, instant(9)),), NoData.NO_SERIES),
        ([counter("new", [1])], ((START, instant(9)),), NoData.NO_WINDOW),
        ([counter("new", [1, 2])], (), NoData.NO_WINDOW),
        ([counter("new", [1, 2])], ((START, instant(1) - 5.0),), NoData.NO_WINDOW),
    ],
)
def test_absence_is_a_value(
    requests: list[CounterSeries], spans: tuple[tuple[float, float], ...], reason: NoData
) -> None:
    found = count_events(requests, [], frame(spans=spans))
    assert isinstance(found, Absence)
    assert found.reason is reason


def test_errors_without_any_request_series_are_no_data() -> None:
    found = count_events([], [counter("new", [0, 5])], frame())
    assert isinstance(found, Absence)
    assert found.reason is NoData.NO_SERIES


# --- histograms ---------------------------------------------------------------------------------------------------


def buckets(pod: str, **values: list[float | None]) -> list[CounterSeries]:
    """Buckets by name: b01 is le 0.1, b05 is le 0.5, inf is le +Inf."""
    names = {"b01": "0.1", "b05": "0.5", "inf": "+Inf"}
    return [counter(pod, many, names[name]) for name, many in values.items()]


OLD_BUCKETS = buckets("old", b01=[0, 8, 16], b05=[0, 9, 18], inf=[0, 10, 20])


def histogram(series: list[CounterSeries]) -> Histogram:
    counted = count_buckets(series, frame())
    assert isinstance(counted, Histogram), counted
    return counted


def test_buckets_are_differenced_and_turned_into_slower_than() -> None:
    counted = histogram(buckets("new", b01=[5, 9, 12], b05=[6, 12, 18], inf=[7, 15, 23]) + OLD_BUCKETS)
    assert counted.boundaries.tolist() == [0.1, 0.5]
    assert counted.tally.exposure.tolist() == [[8, 8], [10, 10]]
    assert counted.slower[:, 0].tolist() == [[4, 5], [2, 2]]
    assert counted.slower[:, 1].tolist() == [[2, 2], [1, 1]]


def test_buckets_of_one_scrape_are_made_monotone_over_le() -> None:
    counted = histogram(buckets("new", b01=[0, 10], b05=[0, 8], inf=[0, 9]) + OLD_BUCKETS)
    assert counted.slower[:, 0, 0].tolist() == [0, 0]
    assert counted.tally.exposure[0, 0] == 10


def test_a_drop_or_a_hole_in_any_bucket_voids_the_pod_window() -> None:
    counted = histogram(buckets("new", b01=[5, 4, 8], b05=[5, 9, None], inf=[5, 15, 25]) + OLD_BUCKETS)
    assert not counted.tally.seen[0].any()
    assert np.all(counted.slower[:, 0] == 0.0)
    assert counted.tally.seen[1].all()


def test_bounds_written_differently_are_the_same_bound() -> None:
    new = [counter("new", [0, 4], "1e-1"), counter("new", [0, 5], "0.50"), counter("new", [0, 6], "+Inf")]
    assert histogram(new + OLD_BUCKETS).boundaries.tolist() == [0.1, 0.5]


def test_only_bounds_that_all_pods_have_are_compared() -> None:
    counted = histogram(buckets("new", b05=[0, 5], inf=[0, 6]) + OLD_BUCKETS)
    assert counted.boundaries.tolist() == [0.5]


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ([counter("new", [0, 5], "7"), counter("new", [0, 6], "+Inf")], NoData.BUCKETS_DIFFER),
        ([counter("new", [0, 5], "0.1")], NoData.MALFORMED),
        ([counter("new", [0, 5], "+Inf"), counter("new", [0, 5], "inf")], NoData.DUPLICATE),
        ([counter("new", [0, 5], "nan"), counter("new", [0, 5], "+Inf")], NoData.MALFORMED),
        ([counter("new", [0, 5], None)], NoData.WRONG_TYPE),
    ],
)
def test_unusable_histograms_have_a_reason(new: list[CounterSeries], reason: NoData) -> None:
    found = count_buckets(new + OLD_BUCKETS, frame())
    assert isinstance(found, Absence)
    assert found.reason is reason


# --- strata ---------------------------------------------------------------------------------------------------------


def route(pod: str, name: str | None, values: list[float | None]) -> CounterSeries:
    return replace(counter(pod, values), stratum=name)


def in_stratum(counted: Tally, name: str, pod: str) -> list[tuple[float, float]]:
    """(requests, errors) per window of one pod on one route."""
    assert counted.strata is not None
    at, where = counted.pods.index(pod), counted.strata.names.index(name)
    zipped = zip(counted.strata.exposure[where, at], counted.strata.events[where, at], strict=True)
    return [(float(n), float(x)) for n, x in zipped]


SPLIT = [
    route("new", "/a", [0, 10, 20, 30]),
    route("new", "/b", [5, 5, 9, 9]),
    route("old", "/a", [0, 100, 200, 300]),
]
SPLIT_ERRORS = [route("new", "/b", [None, None, 3, 4]), route("old", "/a", [0, 1, 2, 3])]


def test_strata_add_up_to_the_counts_of_their_pod() -> None:
    counted = tally(SPLIT, SPLIT_ERRORS)
    assert row(counted, "new") == [(10, 0), (14, 3), (10, 1)]
    assert in_stratum(counted, "/a", "new") == [(10, 0), (10, 0), (10, 0)]
    assert in_stratum(counted, "/b", "new") == [(0, 0), (4, 3), (0, 1)]
    assert counted.strata is not None
    assert counted.strata.exposure.sum(axis=0).tolist() == counted.exposure.tolist()
    assert counted.strata.events.sum(axis=0).tolist() == counted.events.tolist()


def test_a_route_that_appears_late_counts_its_whole_first_value_where_the_pod_was_scraped() -> None:
    late = [route("new", "/a", [0, 10, 20]), route("new", "/b", [None, None, 6]), OLD]
    counted = tally(late, [])
    assert row(counted, "new")[:2] == [(10, 0), (16, 0)]


def test_a_route_that_vanished_while_others_go_on_is_a_hole() -> None:
    gone = [route("new", "/a", [0, 10, 20, 30]), route("new", "/b", [0, 5, None, 9]), OLD]
    assert row(tally(gone, []), "new")[:3] == [(15, 0), None, None]


def test_a_drop_on_one_route_voids_the_window_of_the_pod_on_all() -> None:
    dropped = [route("new", "/a", [90, 100, 10, 20]), route("new", "/b", [0, 5, 10, 15]), OLD]
    counted = tally(dropped, [])
    assert row(counted, "new")[:3] == [(15, 0), None, (15, 0)]
    assert in_stratum(counted, "/b", "new")[:3] == [(5, 0), (0, 0), (5, 0)]


def test_of_many_routes_the_ten_largest_are_told_apart_and_the_rest_is_one() -> None:
    many = [route("new", f"/r{i:02}", [0, 100 - i]) for i in range(13)] + [route("old", "/r00", [0, 5])]
    counted = tally(many, [route("new", "/r12", [0, 2])])
    assert counted.strata is not None
    assert counted.strata.names == (*(f"/r{i:02}" for i in range(10)), REST)
    assert in_stratum(counted, REST, "new") == [(90 + 89 + 88, 2)]
    named = count_events(many, [], frame(), ["/r12", "/never", REST])
    assert isinstance(named, Tally) and named.strata is not None
    assert named.strata.names == ("/r12", "/never", REST)
    assert named.strata.exposure[:, 0, 0].tolist() == [88, 0, sum(100 - i for i in range(12))]


def test_a_counter_without_the_label_is_a_stratum_of_no_name() -> None:
    counted = tally([route("new", "/a", [0, 4]), route("new", None, [0, 3]), OLD], [])
    assert row(counted, "new")[0] == (7, 0)
    assert in_stratum(counted, "", "new")[0] == (3, 0)


def test_the_same_route_of_a_pod_twice_is_a_duplicate() -> None:
    found = count_events([*SPLIT, route("new", "/a", [0, 1])], [], frame())
    assert isinstance(found, Absence)
    assert found.reason is NoData.DUPLICATE
    assert "/a" in found.detail


def test_buckets_split_by_a_label_are_refused() -> None:
    found = count_buckets([replace(counter("new", [0, 1], "+Inf"), stratum="/a")], frame())
    assert isinstance(found, Absence)
    assert found.reason is NoData.WRONG_TYPE


def test_fewer_windows_or_pods_are_so_for_strata_too() -> None:
    counted = tally(SPLIT, SPLIT_ERRORS)
    fewer = counted.keep_windows(np.array([True, False, True])).without("old")
    assert fewer.strata is not None
    assert fewer.strata.exposure.sum(axis=0).tolist() == fewer.exposure.tolist() == [[10, 10]]


# --- one counter alone ----------------------------------------------------------------------------------------------


def rate(series: list[CounterSeries], where: Frame | None = None) -> Tally:
    counted = count_rate(series, where or frame())
    assert isinstance(counted, Tally), counted
    return counted


def test_the_exposure_of_a_counter_alone_is_the_windows_that_were_seen() -> None:
    counted = rate([counter("new", [0, 0, 9, None, 30, 40]), OLD])
    assert row(counted, "new") == [(1, 0), (1, 9), None, None, (1, 10)]


def test_a_reset_or_a_restart_voids_a_window_of_a_counter_alone() -> None:
    groups = replace(PODS, restarts={"old": (instant(2) + 1.0,)})
    counted = rate([counter("new", [100, 30, 50, 70, 90]), OLD], frame(groups))
    assert row(counted, "new") == [None, (1, 20), (1, 20), (1, 20)]
    assert row(counted, "old") == [(1, 100), (1, 100), None, (1, 100)]


def test_a_counter_alone_is_summed_over_its_labels() -> None:
    counted = rate([route("new", "/a", [0, 10, 20]), route("new", "/b", [None, 4, 8]), OLD])
    assert row(counted, "new")[:2] == [(1, 14), (1, 14)]
    assert counted.strata is None


def test_no_counter_is_no_data() -> None:
    found = count_rate([], frame())
    assert isinstance(found, Absence)
    assert found.reason is NoData.NO_SERIES
