"""The morning report against golden files, and what it must never do with the words of others.

After a change of the pages, `NIGHTFERRY_REWRITE=1` writes the golden files anew; the diff is what a review reads.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from analysis.verdict import Verdict
from controller.morning import (
    Report,
    brief,
    html,
    journey,
    markdown,
    payload_of,
    report_from,
    report_of,
    report_of_train,
    to_json,
)
from controller.morning.chart import WIDTH, course, scale_of
from controller.morning.gather import MOST_JOURNEYS
from controller.morning.style import _DARK, _LIGHT
from controller.morning.value import Gauged, Onset
from controller.morning.words import clock, day
from controller.plot.page import DARK_TONES, LIGHT_TONES
from controller.record import to_status
from controller.release.instants import rfc3339
from controller.release.record import GateVerdict, Record
from controller.release.vocabulary import Cause, Phase
from tests.controller.morning.builders import MIDNIGHT, MINUTE, TIMEOUTS, a_night, a_release, arrived, came_back

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "report"
PAGES = [("night.md", markdown), ("night.html", html), ("night.json", to_json), ("night.txt", brief)]
MORNING = MIDNIGHT + 360 * MINUTE
TRAIN: dict[str, Any] = {
    "metadata": {"name": "nightly", "namespace": "shop"},
    "spec": {"window": {"zone": "Europe/Berlin"}},
    "status": {
        "night": {
            "id": "2026-03-01",
            "opened": rfc3339(MIDNIGHT),
            "closes": rfc3339(MIDNIGHT + 300 * MINUTE),
            "over": rfc3339(MIDNIGHT + 200 * MINUTE),
            "departed": [
                {"release": "search-v8", "uid": "uid-search-v8", "policy": "search", "at": rfc3339(MIDNIGHT)},
                {"release": "cart-v3", "uid": "uid-cart-v3", "policy": "cart", "at": rfc3339(MIDNIGHT)},
            ],
            "waiting": [
                {"release": "users-v2", "uid": "uid-users-v2", "policy": "users", "because": "the line is stopped"}
            ],
            "stopped": "2 of 2 releases turned back",
        }
    },
}


def the_report() -> Report:
    made = MORNING + MINUTE
    return report_of(a_night(), [TRAIN], since=MIDNIGHT, until=MORNING, made=made, title="Releases of namespace shop")


@pytest.mark.parametrize(("name", "page"), PAGES)
def test_the_pages_of_a_night(name: str, page: object) -> None:
    assert callable(page)
    text = page(the_report())
    file = GOLDEN / name
    if os.environ.get("NIGHTFERRY_REWRITE") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_everything_that_happened_is_in_one_group() -> None:
    found = {one.release: one.group for one in the_report().journeys}
    assert found == {
        "ads-v1": "person", "mail-v5": "person", "checkout-v42": "back", "map-v6": "way", "users-v2": "waits",
        "search-v8": "arrived", "cart-v3": "back", "cart-back": "back", "blog-v1": "nothing",
    }  # fmt: skip


# Somebody who reads "arrived" believes that it serves; who has restored an app has nothing left to do.
def test_what_was_taken_back_has_not_arrived_and_what_was_restored_needs_nobody() -> None:
    broken = a_release("ads", "ads-v1", began=1.0, ended=2.0, phase=Phase.NEEDS_HUMAN, cause=Cause.ROLLBACK_BLOCKED)
    restore = a_release("ads", "ads-back", began=3.0, ended=4.0, phase=Phase.ROLLED_BACK, cause=Cause.RESTORE,
                        spec={"restoreOf": "ads-v1"})  # fmt: skip
    under_way = a_release("cart", "cart-back", began=3.0, phase=Phase.ROLLING_BACK, spec={"rollbackOf": "cart-v3"})
    night = [arrived("cart", "cart-v3"), under_way, broken, restore]
    found = report_of(night, since=MIDNIGHT, until=MORNING, made=MORNING)
    assert {one.release: (one.group, one.taken_by) for one in found.journeys} == {
        "cart-v3": ("arrived", "cart-back"), "cart-back": ("back", ""),
        "ads-v1": ("back", "ads-back"), "ads-back": ("back", ""),
    }  # fmt: skip
    assert payload_of(found)["title"] == "Releases: 1 arrived, 2 turned back"


def test_the_four_figures_are_those_that_a_person_would_count() -> None:
    found = the_report().figures
    # search arrived; checkout turned back, ads needs a person, cart arrived and was taken back later.
    assert (found.arrived, found.failed) == (1, 3)
    assert found.failure_rate == 0.75
    assert found.lead == 31 * MINUTE
    assert found.restore == pytest.approx(0.5 * (2 + 5) * MINUTE)  # of 2 (checkout) and 5 minutes (cart)
    assert found.days == 0.25


def test_what_made_room_for_something_else_has_not_failed() -> None:
    for cause in (Cause.SUPERSEDED, Cause.WINDOW_CLOSED, Cause.TRAIN_STOPPED):
        made_room = [came_back(cause=cause)]
        assert report_of(made_room, since=MIDNIGHT, until=MORNING, made=MORNING).figures.failure_rate is None


def test_a_release_counts_where_it_ended_and_is_told_while_it_lasts() -> None:
    release = [arrived(asked=10.0, began=11.0, ended=50.0)]

    def at(since: float, until: float) -> tuple[int, int]:
        found = report_of(release, since=MIDNIGHT + since * MINUTE, until=MIDNIGHT + until * MINUTE, made=MORNING)
        return len(found.journeys), found.figures.arrived

    assert at(0, 5) == (0, 0)
    assert at(0, 20) == (1, 0)
    assert at(20, 60) == (1, 1)
    assert at(51, 60) == (0, 0)


def test_the_report_of_a_train_is_about_its_cars_and_what_takes_them_back_on_its_own_clock() -> None:
    found = report_of_train(TRAIN, a_night(), MORNING)
    assert found is not None
    assert {one.release for one in found.journeys} == {"search-v8", "cart-v3", "cart-back", "users-v2"}
    assert (found.since, found.until, found.zone) == (MIDNIGHT, MIDNIGHT + 200 * MINUTE + 1, "Europe/Berlin")
    assert "2026-03-01 01:00 to 2026-03-01 04:20 (Europe/Berlin)" in markdown(found)
    assert report_of_train({"metadata": {"name": "new"}}, [], MORNING) is None


# It was parked when the last night ended: nobody hears of its end but from the report of this night.
def test_the_report_of_a_train_tells_what_its_cars_had_under_way_from_another_night() -> None:
    train = {**TRAIN, "spec": {**TRAIN["spec"], "cars": [{"policy": "mail"}, {"policies": {"team": "search"}}]}}
    parked = arrived("mail", "mail-v4", asked=-1400.0, began=-1380.0, ended=20.0)
    before = arrived("mail", "mail-v3", asked=-3000.0, began=-2900.0, ended=-2800.0)
    other = arrived("blog", "blog-v2", asked=-10.0, began=1.0, ended=20.0)
    found = report_of_train(train, [*a_night(), parked, before, other], MORNING)
    assert found is not None
    assert {one.release for one in found.journeys} - {"search-v8", "cart-v3", "cart-back", "users-v2"} == {
        "mail-v4", "mail-v5",
    }  # fmt: skip


def test_a_report_travels_as_data_and_is_the_same_at_the_other_end() -> None:
    sent = payload_of(the_report())
    assert report_from(json.loads(json.dumps(sent))) == the_report()
    assert sent["title"].startswith("Releases of namespace shop: 1 arrived, 2 turned back, 2 for a person")


def test_a_record_that_cannot_be_read_is_said_and_counts_nowhere() -> None:
    broken = arrived()
    broken["status"]["record"]["version"] = 99
    found = report_of([broken, came_back()], since=MIDNIGHT, until=MORNING, made=MORNING)
    assert [one.release for one in found.journeys] == ["checkout-v42"]
    assert found.unread == ("shop/search-v8: record version 99, this controller knows 1: upgrade the controller again",)
    assert "search-v8" in markdown(found) and "search-v8" in html(found)


def test_y12_in_the_hour_that_comes_twice_a_time_says_which_one_it_is() -> None:
    night = datetime(2026, 10, 25, tzinfo=UTC).timestamp()
    found = report_of([], since=night - 3600.0, until=night + 4 * 3600.0, made=night, zone="Europe/Berlin")
    told = [clock(night + 1800.0 * half, found) for half in range(-1, 5)]
    assert told == ["01:30", "02:00 CEST", "02:30 CEST", "02:00 CET", "02:30 CET", "03:00"]
    assert day(night + 3600.0, found) == "2026-10-25 02:00 CET"


def test_what_finds_no_room_on_the_page_is_counted_and_said() -> None:
    many = [arrived("search", f"search-v{n}", ended=36.0 + n / 100.0) for n in range(MOST_JOURNEYS + 7)]
    found = report_of([*many, came_back()], since=MIDNIGHT, until=MORNING, made=MORNING)
    assert len(found.journeys) == MOST_JOURNEYS and found.journeys[0].release == "checkout-v42"
    assert found.omitted == (("arrived", 8),)
    assert found.figures.arrived == MOST_JOURNEYS + 7
    for page in (markdown, html, brief):
        assert f"{MOST_JOURNEYS + 7} arrived, 1 turned back" in page(found) or page is brief
        assert "not shown here, but counted above: 8 arrived" in page(found)
    assert json.loads(to_json(found))["summary"] == f"{MOST_JOURNEYS + 7} arrived, 1 turned back"
    assert report_from(json.loads(json.dumps(payload_of(found)))) == found


def test_an_empty_night_is_a_page_too() -> None:
    found = report_of([], since=MIDNIGHT, until=MORNING, made=MORNING)
    assert "**no release**" in markdown(found)
    assert "no release" in html(found)
    assert json.loads(to_json(found))["figures"]["failureRate"] is None


HOSTILE = "</style><script>x</script>\"'><img src=x onerror=y>\u202e\u0000 | [a](b) `c` @all\n# heading"


def test_the_words_of_others_are_never_markup() -> None:
    spec = {"images": {"app": HOSTILE}, "reason": HOSTILE, "requestedBy": HOSTILE, "skipGates": {"reason": HOSTILE}}
    release = a_release("x", "x-1", began=1.0, ended=2.0, phase=Phase.ROLLED_BACK, because=HOSTILE, spec=spec)
    found = report_of([release], since=MIDNIGHT, until=MORNING, made=MORNING, title=HOSTILE)
    page, text = html(found), markdown(found)
    assert "<script" not in page and "<img" not in page and "\u202e" not in page and page.count("</style>") == 1
    for line in text.splitlines():
        assert not line.startswith("# heading")
        assert "](b)" not in line.replace("\\]", "") and "@all" not in line and "<" not in line.replace("\\<", "")


class Outline(HTMLParser):
    """Headings, ids and pictures of a page, and whether its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.open: list[str] = []
        self.pictures = 0
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in ("h1", "h2", "h3"):
            self.levels.append(int(tag[1]))
        if "id" in told:
            self.ids.append(told["id"] or "")
        if "aria-labelledby" in told:
            self.named.append(told["aria-labelledby"] or "")
        if tag == "svg":
            self.pictures += 1
            assert told.get("role") == "img" and told.get("aria-label"), "a picture without words"
        self.outside += [str(told[key]) for key in ("src", "href") if key in told]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Shapes of a picture."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_whole_in_order_and_needs_nothing_from_elsewhere() -> None:
    page = html(the_report())
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.levels[0] == 1 and outline.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.named) <= set(outline.ids)
    assert outline.outside == [] and "url(" not in page and "@import" not in page
    assert outline.pictures >= 8
    for start in (n for n in range(len(page)) if page.startswith("<svg", n)):
        ElementTree.fromstring(page[start : page.index("</svg>", start) + 6])


def _light(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255.0 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("page", "tones"), [(_LIGHT, LIGHT_TONES), (_DARK, DARK_TONES)])
def test_words_stand_out_from_their_ground(page: dict[str, str], tones: tuple[str, ...]) -> None:
    for ground in (page["ground"], page["card"]):
        for words in (page["ink"], page["muted"], *tones):
            low, high = sorted((_light(ground), _light(words)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (words, ground)


# ------------------------------------------------------------------------------------- harm that began later


def gauged(evidence: dict[str, Any]) -> Gauged:
    verdict = GateVerdict("timeouts", Verdict.DEGRADED, "because", evidence=evidence)
    record = to_status(Record(verdicts=(verdict,)), generation=1, policy_name="checkout")["record"]
    record["decisions"] = [{"at": 1.0, "kind": "RollBack", "because": "", "phase": "Batch", "stage": 1,
                            "verdicts": record["verdicts"]}]  # fmt: skip
    release = {"metadata": {"name": "x", "namespace": "shop"}, "status": {"phase": "Queued", "record": record}}
    return journey(release).decisions[0].gates[0]


def test_a_gate_says_when_its_harm_began_and_an_older_record_does_not() -> None:
    evidence = dict(TIMEOUTS.evidence)
    onset = gauged(evidence).onset
    assert onset == Onset(MIDNIGHT + 71.5 * MINUTE, MIDNIGHT + 62 * MINUTE, MIDNIGHT + 74.5 * MINUTE, 3.769,
                          "2.33 % of 5,400", "0.619 % of 12,600")  # fmt: skip
    throughput = gauged({**evidence, "measure": "perSecond"}).onset
    assert throughput is not None and throughput.contender == "0.0233/s"
    latency = gauged({**evidence, "boundary": 0.5}).onset
    assert latency is not None and latency.contender == "2.33 % of 5,400 slower than 0.5 s"
    del evidence["onset"]
    assert gauged(evidence) == replace(gauged(dict(TIMEOUTS.evidence)), onset=None)


# An API server drops the null of a ratio; what a hand has changed is not believed, and takes no other release along.
@pytest.mark.parametrize(
    "edited",
    [None, "early", {}, {"at": 5.0}, {"span": [1.0]}, {"rates": [0.1]}, {"rates": [0.1, None]}, {"at": "noon"},
     {"at": MIDNIGHT + 90 * MINUTE}, {"span": [MIDNIGHT + 71.5 * MINUTE] * 2},
     {"span": [-1.0, MIDNIGHT + 75.0 * MINUTE]}, {"span": [0.0, 1e300]}],
)  # fmt: skip
def test_a_beginning_that_cannot_be_is_none(edited: Any) -> None:
    known = TIMEOUTS.evidence["onset"]
    onset = {**known, **edited} if isinstance(edited, dict) and edited else edited
    assert gauged({**TIMEOUTS.evidence, "onset": onset}).onset is None
    without = gauged({**TIMEOUTS.evidence, "onset": {key: known[key] for key in known if key != "ratio"}}).onset
    assert without is not None and without.ratio is None
    assert gauged({"effect": "large"}).ratio is None
    assert gauged({"effect": {"interval": 5, "rates": 0.1, "ratio": 2.0}}).low is None
    endless = gauged({**TIMEOUTS.evidence, "onset": {**known, "requests": [math.inf, 1.0]}}).onset
    assert endless is not None and endless.contender == "2.33 %"


def test_every_form_tells_when_the_harm_began_on_the_clock_of_the_report() -> None:
    found = replace(the_report(), zone="Europe/Berlin")
    words = "since 02:11: 3.77x, 2.33 % of 5,400 against 0.619 % of 12,600"
    assert f"- timeouts {words}" in markdown(found)
    assert f"gate timeouts {words}" in brief(found)
    assert escape(words) in html(found)
    told = json.loads(to_json(found))
    checkout = next(one for one in told["journeys"] if one["release"] == "checkout-v42")
    onset = checkout["decisions"][1]["gates"][1]["onset"]
    assert (onset["first"], onset["at"]) == ("2026-03-01T01:02:00Z", "2026-03-01T01:11:30Z")


def test_a_report_that_an_older_version_has_sent_is_read() -> None:
    sent = json.loads(json.dumps(payload_of(the_report())))
    for told in sent["report"]["journeys"]:
        for decided in told["decisions"]:
            for gate in decided["gates"]:
                del gate["onset"]
    read = report_from(sent)
    assert "whole observation" not in html(read)
    assert len(read.journeys) == len(the_report().journeys)


@pytest.mark.parametrize("labels", [("01:02", "01:11", "01:14"), ("01 Mar 01:02", "01 Mar 01:11", "01 Mar 01:14")])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.5, 0.76, 0.97])
def test_the_beginning_stands_at_its_place_and_no_time_stands_on_another(
    labels: tuple[str, str, str], share: float
) -> None:
    onset = Onset(1000.0 + 600.0 * share, 1000.0, 1600.0, 2.0, "", "")
    picture = ElementTree.fromstring(course(onset, labels, "words"))
    before, since = (float(one.get("width", "")) for one in picture.iter("rect"))
    assert before / (before + since) == pytest.approx(share, abs=0.011)
    extents = []
    for one in picture.iter("text"):
        half, at = 3.0 * len(one.text or ""), float(one.get("x", ""))
        middle = at + {"middle": 0.0, "end": -half}.get(one.get("text-anchor", ""), half)
        extents.append((middle - half, middle + half))
    ordered = sorted(extents)
    assert labels[1] in [one.text for one in picture.iter("text")]
    assert ordered[0][0] >= 0.0 and ordered[-1][1] <= WIDTH
    assert all(left[1] < right[0] for left, right in pairwise(ordered))


def test_a_ratio_since_then_is_on_the_scale_and_an_open_end_has_room() -> None:
    late = gauged(dict(TIMEOUTS.evidence))
    scale = scale_of([late])
    assert scale.low <= 0.971 and scale.high >= 3.769
    assert scale_of([replace(late, onset=None)]).high < 3.0
    opened = scale_of([Gauged("errors", "Degraded", "", ratio=20.5, low=8.2)])
    assert opened.at(20.5) < opened.end - 20.0
