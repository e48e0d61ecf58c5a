"""What fires, what posts have told, what counts against a release: the pure part of alerts, by the rows of faults."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from controller.firing import (
    LEAD,
    MOST_CHARGED,
    MOST_KNOWN,
    Level,
    counting,
    described,
    graver,
    level,
    question,
    remembered,
    with_inbox,
)  # fmt: skip
from controller.inbox import MOST_TOLD, Told, cut, instant, joined, read_inbox, written
from controller.release.instants import stamp
from controller.release.observation import Firing
from controller.release.record import KnownAlert, Record
from controller.requests.outside import FiringAlerts
from policies.alerts import OnAlert

NOW = 1_760_000_000.0
PAGE = OnAlert(match={"service": "checkout", "severity": "page"})
SLOW = OnAlert(match={"service": "checkout"}, then="pause")
LABELS = {"alertname": "CheckoutErrors", "service": "checkout", "severity": "page"}


def an_item(fingerprint: str = "f1", since: float | str = NOW - 20.0, **more: Any) -> dict[str, Any]:
    began = since if isinstance(since, str) else stamp(since)
    return {
        "fingerprint": fingerprint,
        "labels": LABELS,
        "annotations": {"summary": "too many errors"},
        "startsAt": began,
        "endsAt": stamp(NOW + 60.0),
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        **more,
    }


def a_told(fingerprint: str = "f1", since: float = NOW - 20.0, **more: Any) -> Told:
    values: dict[str, Any] = {"labels": LABELS, "heard": NOW - 5.0, "confirmed": True, **more}
    return Told(fingerprint, "CheckoutErrors", since=since, **values)


def a_firing(fingerprint: str = "f1", since: float = NOW - 20.0, **more: Any) -> Firing:
    return Firing(fingerprint, "CheckoutErrors", LABELS, since, "rollBack", **more)


def seen(*items: dict[str, Any], alerts: tuple[OnAlert, ...] = (PAGE,)) -> Level:
    return level(alerts, FiringAlerts(items), NOW)


# ------------------------------------------------------------------------------------------------- the level


def test_the_level_is_asked_for_once_per_set_of_labels() -> None:
    assert question((PAGE, PAGE, SLOW)).matches == (PAGE.labels, SLOW.labels)


def test_what_fires_is_told_in_the_words_of_the_policy() -> None:
    (firing,) = seen(an_item()).active
    assert (firing.name, firing.then, firing.since, firing.summary) == (
        "CheckoutErrors",
        "rollBack",
        NOW - 20.0,
        "too many errors",
    )


def test_a8_another_app_a_missing_label_and_a_part_of_a_value_do_not_match() -> None:
    others: tuple[dict[str, str], ...] = ({"service": "search"}, {"service": "checkout-twin"}, {"service": "check"}, {})
    for labels in others:
        assert seen(an_item(labels={"alertname": "X", "severity": "page", **labels})) == Level()


def test_an_alert_that_matches_twice_means_the_graver_of_both() -> None:
    for alerts in ((PAGE, SLOW), (SLOW, PAGE)):
        assert seen(an_item(), alerts=alerts).active[0].then == "rollBack"


@pytest.mark.parametrize(
    "status",
    [
        {"state": "suppressed", "silencedBy": ["5ae6"], "inhibitedBy": []},
        {"state": "suppressed", "silencedBy": [], "inhibitedBy": ["f9"]},
        {"state": "active", "silencedBy": ["5ae6"], "inhibitedBy": []},
    ],
)
def test_a14_silenced_and_inhibited_alerts_are_evidence_and_do_not_count(status: dict[str, Any]) -> None:
    found = seen(an_item(status=status))
    assert (len(found.active), len(found.muted)) == (0, 1)
    louder = seen(an_item(status=status), alerts=(PAGE.model_copy(update={"even_silenced": True}),))
    assert (len(louder.active), len(louder.muted)) == (1, 0)


@pytest.mark.parametrize(
    ("text", "at", "wrong"),
    [
        ("2025-10-09T08:53:00Z", 1_759_999_980.0, ""),
        ("2025-10-09T10:53:00.123456789+02:00", 1_759_999_980.123456, ""),
        ("2025-10-09T08:53:00", NOW, "names no zone"),
        ("2025-10-09T08:54:20Z", NOW, "60 s ahead"),
        ("2025-10-09T08:53:22Z", NOW, ""),
        ("0001-01-01T00:00:00Z", NOW, "before there was time"),
        ("yesterday", NOW, "is no time"),
        (None, NOW, "is no time"),
    ],
)
def test_a18_a_beginning_that_cannot_be_true_is_the_time_of_receipt(text: object, at: float, wrong: str) -> None:
    found, why = instant(text, NOW)
    assert found == pytest.approx(at, abs=1e-5)
    assert wrong in why and bool(why) is bool(wrong)


# ------------------------------------------------------------------------------------------------- the inbox


def test_a_status_holds_an_inbox_word_for_word() -> None:
    inbox = (a_told(), a_told("f2", ended=NOW - 1.0, confirmed=False, summary="slow"))
    assert read_inbox({"status": {"inbox": written(inbox)}}) == inbox


@pytest.mark.parametrize(
    "status", [None, {}, {"inbox": None}, {"inbox": "x"}, {"inbox": [3, {}, {"labels": {}, "heard": "never"}]}]
)
def test_an_inbox_that_somebody_broke_is_empty(status: object) -> None:
    assert read_inbox({"status": status}) == ()


def test_a1_a2_a3_posts_doubled_and_in_any_order_make_one_inbox() -> None:
    """Firing, its repetition and its end, each twice: whatever comes first, one alert is known, once."""
    news = [
        a_told(confirmed=False),
        a_told(heard=NOW),
        a_told(heard=NOW + 1.0, ended=NOW + 1.0, confirmed=False),
    ]
    for order in itertools.permutations([*news, *news]):
        inbox: tuple[Told, ...] = ()
        for told in order:
            inbox = joined(inbox, [told])
        (known,) = inbox
        firing_first = next(n for n, told in enumerate(order) if told.ended is None)
        ends_later = any(told.ended is not None for told in order[firing_first:])
        assert known.confirmed
        assert (known.ended is not None) is ends_later


def test_a2_an_end_without_a_beginning_is_nothing() -> None:
    assert joined((), [a_told(ended=NOW)]) == ()


def test_a3_an_alert_that_comes_and_goes_is_two_firings_and_the_first_one_counts() -> None:
    inbox = joined((), [a_told(ended=None)])
    inbox = joined(inbox, [a_told(ended=NOW - 4.0), a_told(since=NOW - 2.0), a_told(since=NOW - 2.0, ended=NOW)])
    assert [told.ended is not None for told in inbox] == [True, True]
    assert len(with_inbox(Level(), (PAGE,), inbox).active) == 1


def test_a13_the_inbox_is_bounded_and_keeps_the_latest() -> None:
    inbox: tuple[Told, ...] = ()
    for number in range(1000):
        inbox = joined(inbox, [a_told(f"f{number}", heard=NOW + number)])
    assert len(inbox) == MOST_TOLD
    assert inbox[-1].fingerprint == "f999"


def test_a12_labels_are_kept_within_bounds_and_those_that_matter_whole() -> None:
    labels = {f"l{number}": "x" * 5000 for number in range(100)} | {"service": "y" * 253}
    kept = cut(labels, ["service"])
    assert kept["service"] == "y" * 253
    assert len(kept) == 24 and max(map(len, kept.values())) == 256


def test_a12_what_no_policy_can_ask_for_is_no_burden_to_the_inbox() -> None:
    kept = cut({"alertname": "x" * 900_000, "z" * 900_000: "", "service": "checkout"}, ["alertname", "service"])
    assert kept == {"alertname": "x" * 256, "service": "checkout"}


def test_a5_a_post_that_alertmanager_did_not_confirm_never_counts_by_itself() -> None:
    replayed = a_told(confirmed=False)
    assert with_inbox(Level(), (PAGE,), [replayed]).active == ()
    (firing,) = with_inbox(seen(an_item()), (PAGE,), [replayed]).active
    assert (firing.told, firing.heard) == (True, NOW - 5.0)


def test_a_confirmed_post_counts_although_the_alert_is_over_by_now() -> None:
    assert [each.told for each in with_inbox(Level(), (PAGE,), [a_told(ended=NOW - 1.0)]).active] == [True]


def test_an_alert_that_pauses_has_no_say_once_it_is_over() -> None:
    assert with_inbox(Level(), (SLOW,), [a_told()]).active == ()


def test_a14_a_silence_after_the_post_counts_too() -> None:
    muted = seen(an_item(status={"state": "suppressed", "silencedBy": ["5ae6"], "inhibitedBy": []}))
    assert with_inbox(muted, (PAGE,), [a_told()]).active == ()


# -------------------------------------------------------------------------------------- what counts, and how


@pytest.mark.parametrize(
    ("since", "heard", "counts"),
    [
        (NOW + 10.0, 0.0, True),
        (NOW - 0.5 * LEAD, 0.0, True),
        (NOW - 2.0 * LEAD, 0.0, False),
        (NOW - 2.0 * LEAD, NOW + 5.0, False),
        (NOW - 5.0, NOW - 2.0, False),
        (NOW - 5.0, NOW + 2.0, True),
    ],
)
def test_a5_a7_what_fired_before_the_release_began_does_not_count(since: float, heard: float, counts: bool) -> None:
    record = Record(started=NOW)
    assert bool(counting([a_firing(since=since, heard=heard, told=heard > 0)], record, NOW + 60.0)) is counts


def test_h5_a_clock_that_is_set_back_behind_the_beginning_hides_no_alert() -> None:
    record, now = Record(started=NOW), NOW - 3600.0
    assert counting([a_firing(since=now)], record, now) != ()
    assert counting([a_firing(since=now - 5.0, heard=now - 1.0, told=True)], record, now) != ()
    # By that clock it has fired for long: it may well have been there before the release.
    assert counting([a_firing(since=now - 300.0)], record, now) == ()
    # What only an old post says came before the release, whatever the clock says now.
    assert counting([a_firing(since=now - 5.0, heard=now - 1.0, told=True, over=True)], record, now) == ()
    known = replace(record, alerts=(KnownAlert("f1", "CheckoutErrors", NOW - 10.0, NOW - 1.0, "before"),))
    assert counting([a_firing(since=now)], known, now) == ()


def test_a7_a_firing_that_was_known_at_the_start_does_not_count_and_the_next_one_of_it_does() -> None:
    record = Record(started=NOW, alerts=(KnownAlert("f1", "CheckoutErrors", NOW - 10.0, NOW - 1.0, "before"),))
    assert counting([a_firing(since=NOW - 10.0)], record, NOW + 60.0) == ()
    assert counting([a_firing("f2", since=NOW - 10.0)], record, NOW + 60.0) != ()
    assert counting([a_firing(since=NOW + 30.0)], record, NOW + 60.0) != ()


def test_a1_an_alert_is_charged_once_however_often_it_is_told() -> None:
    record = Record(started=NOW)
    for later in range(5):
        record = remembered(record, [a_firing(since=NOW + 1.0)], "charged", NOW + later)
    assert [(each.fingerprint, each.at) for each in record.alerts] == [("f1", NOW)]


def test_a13_a_storm_is_bounded_in_the_record_and_pushes_out_nothing_that_was_known_before() -> None:
    before = KnownAlert("f0", "Old", NOW - 10.0, NOW - 1.0, "before")
    record = Record(started=NOW, alerts=(before,))
    storm = [a_firing(f"s{number}", since=NOW + 1.0) for number in range(5000)]
    record = remembered(record, storm, "charged", NOW + 2.0)
    assert len(record.alerts) == MOST_KNOWN
    assert record.alerts[0] == before
    assert record.alerts[-1].fingerprint == "s4999"
    assert len(described(storm, NOW)) < 1000


def test_a13_in_a_storm_a_decision_is_charged_to_the_same_few_at_every_tick() -> None:
    """Else the record would be another one, and written, at every tick of a pause."""
    storm = [replace(a_firing(f"p{number}", since=NOW + number), then="pause") for number in range(5000)]
    once = remembered(Record(started=NOW), graver(storm), "charged", NOW)
    assert [each.fingerprint for each in once.alerts] == [f"p{number}" for number in range(MOST_CHARGED)]
    assert remembered(once, graver(storm), "charged", NOW + 15.0) == once
    late = a_firing("f1", since=NOW + 9000.0)
    assert graver([*storm, late]) == (late,)


def test_a_sentence_is_bounded_whatever_an_alert_says() -> None:
    loud = replace(a_firing(), labels={f"l{n}": "x" * 900 for n in range(60)}, summary="y" * 9000)
    assert len(described([loud] * 9, NOW)) < 1200
    assert len(described([replace(a_firing(), name="x" * 9000)] * 9, NOW)) < 1200


def test_y24_a_sentence_is_one_line_whatever_an_alert_says() -> None:
    (found,) = seen(
        an_item(
            labels={**LABELS, "alertname": "Odd\x1b[2J\nName", "path": "a\u2028b"},
            annotations={"description": "too many errors\n  VALUE = 3\r\n  \u202eLABELS = x"},
        )
    ).active
    assert described([found], NOW).isprintable() and found.name.isprintable()
    assert "too many errors   VALUE = 3" in described([found], NOW)
