"""The bench of nights: what it runs ends as it must, and what must be zero is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time

import pytest

from controller import begin, drive
from controller.attempt import Attempt, parsed
from controller.release.observation import Night
from controller.release.record import Record
from controller.release.vocabulary import Cause, Phase
from tests.bench.nights import night as nights
from tests.bench.nights.__main__ import dates
from tests.bench.nights.fleet import App, Hours, fleet
from tests.bench.nights.mix import KINDS
from tests.bench.nights.night import NEXT_HOURS, SENT_OFF, STOOD, Told, flaws_of, night
from tests.bench.nights.tally import ZERO, false_rollback, faultless, missed, page

SEED = 5
BY_KIND = {kind.name: kind for kind in KINDS}
SPRING = date(2025, 3, 30)  # clocks change in Europe


@pytest.mark.parametrize(("kind", "end"), [("good", Phase.SUCCEEDED), ("crash loop", Phase.ROLLED_BACK)])
def test_a_night_on_which_clocks_change(kind: str, end: Phase) -> None:
    app = replace(fleet(SEED).alone[1], hours=Hours("Europe/Berlin", frozenset(range(7)), time(0, 30), time(4, 0)))
    told = night(app, SPRING, BY_KIND[kind], SEED)
    assert told is not None
    assert (told.phase, told.flaws) == (end, ())
    assert faultless([told])


def test_what_must_be_zero_is_counted() -> None:
    fine = Told(1, SPRING, "good", Phase.SUCCEEDED, Cause.COMPLETED, False, 0, 30.0)
    bad = replace(fine, flaws=("outside: Batch 2 at +60 s from the closing",))
    wrong = replace(fine, phase=Phase.ROLLED_BACK, cause=Cause.BATCH_DEADLINE)
    turned = replace(fine, phase=Phase.ROLLED_BACK, cause=Cause.GATE)
    harm = replace(fine, kind="errors")
    assert faultless([fine, turned, harm]) and not faultless([bad]) and not faultless([wrong])
    assert false_rollback(turned) and not false_rollback(fine)
    assert missed(harm) and not missed(replace(harm, undone=True))
    printed = "\n".join(page([fine, bad, wrong, turned, harm], [], 1, SEED))
    assert "1 of 4 (25.00%" in printed and "app 1 on 2025-03-30, good: Succeeded" in printed


def test_a_start_outside_of_the_window_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(begin, "departure", lambda *_: None)
    app = replace(fleet(SEED).alone[1], hours=Hours("Europe/Berlin", frozenset(range(7)), time(0, 30), time(4, 0)))
    told = night(app, SPRING, BY_KIND["good"], SEED)
    assert told is not None and told.flaws[0].startswith("outside: Canary 0 ")
    assert not faultless([told])


@pytest.mark.parametrize(("date_of", "how"), [(SPRING, SENT_OFF), (date(2025, 4, 4), NEXT_HOURS)])
def test_a_release_that_is_parked_is_followed(monkeypatch: pytest.MonkeyPatch, date_of: date, how: str) -> None:
    monkeypatch.setattr(nights, "LATE", 1.0)
    told = night(a_parker(), date_of, BY_KIND["good"], SEED)
    assert told is not None
    assert (told.parked, told.phase, told.flaws) == (how, Phase.SUCCEEDED, ())
    assert f"{how + ':':<46}{1:>12}{1:>9}{0:>13}" in list(page([told], [], 1, SEED))


def test_a_release_that_is_parked_and_never_goes_on_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nights, "LATE", 1.0)
    monkeypatch.setattr(nights, "_goes_on", lambda *_, **__: (STOOD, 0.0))
    told = night(a_parker(), SPRING, BY_KIND["good"], SEED)
    assert told is not None and [flaw.partition(":")[0] for flaw in told.flaws] == ["stuck"]
    assert not faultless([told])


def test_a_release_that_is_parked_and_goes_on_before_its_hours_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nights, "LATE", 1.0)
    monkeypatch.setattr(drive, "night", lambda *_: Night())
    told = night(a_parker(), SPRING, BY_KIND["good"], SEED)
    assert told is not None and told.flaws[0].startswith("outside: Batch ")
    assert not faultless([told])


def a_parker() -> App:
    """An app whose releases stand still when its window closes."""
    hours = Hours("Europe/Berlin", frozenset(range(7)), time(1, 0), time(2, 0))
    strategy = {"rolling": {"canary": 1, "batches": 3}}
    return replace(fleet(SEED).alone[1], strategy=strategy, pods=4, load=100.0, hours=hours, on_close="park")


def a_release(name: str, back: str = "") -> Attempt:
    metadata = {"name": name, "uid": name, "creationTimestamp": "2025-03-30T00:00:00Z"}
    return parsed({"metadata": metadata, "spec": {"policy": "checkout", **({"rollbackOf": back} if back else {})}})


COME = Record(phase=Phase.SUCCEEDED, cause=Cause.COMPLETED, because="done")
BACK = replace(COME, origin="rollback")


@pytest.mark.parametrize(
    ("name", "found", "endings"),
    [
        ("ended twice", [(a_release("a"), COME)], [("a", "Succeeded"), ("a", "RolledBack")]),
        ("two ways back for one release", [(a_release("b", "a"), BACK), (a_release("c", "a"), BACK)], []),
        ("stuck", [(a_release("a"), Record(phase=Phase.BATCH, because="a batch"))], []),
        ("unexplained", [(a_release("a"), replace(COME, because=""))], []),
        ("unexplained", [(a_release("a"), replace(COME, cause=None))], []),
        ("without numbers", [(a_release("a"), replace(COME, phase=Phase.ROLLED_BACK, cause=Cause.GATE))], []),
    ],
)
def test_what_is_wrong_with_an_ending_is_counted(
    name: str, found: list[tuple[Attempt, Record]], endings: list[tuple[str, str]]
) -> None:
    assert flaws_of([(a_release("z"), COME)], [("z", "Succeeded")]) == []
    flaws = tuple(flaws_of(found, endings))
    assert [flaw.partition(":")[0] for flaw in flaws] == [name]
    told = Told(1, SPRING, "good", Phase.SUCCEEDED, Cause.COMPLETED, False, 0, 30.0, flaws)
    assert name in ZERO and not faultless([told])
    assert f"{name + ':':<46}     1" in list(page([told], [], 1, SEED))


def test_every_change_of_clocks_of_the_fleet_is_among_the_nights() -> None:
    chosen = dates(400, SEED)
    assert len(set(chosen)) == 400
    assert {date(2025, 3, 30), date(2026, 10, 25), date(2027, 4, 4), date(2026, 3, 8)} <= set(chosen)
