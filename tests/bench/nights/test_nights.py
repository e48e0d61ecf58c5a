"""The bench of nights: what it runs ends as it must, and what must be zero is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from controller.release.vocabulary import Cause, Phase
from tests.bench.nights.__main__ import dates
from tests.bench.nights.fleet import fleet
from tests.bench.nights.mix import KINDS
from tests.bench.nights.night import Told, night
from tests.bench.nights.tally import false_rollback, faultless, missed, page

SEED = 5
BY_KIND = {kind.name: kind for kind in KINDS}
SPRING = date(2025, 3, 30)  # clocks change in Europe


@pytest.mark.parametrize(("kind", "end"), [("good", Phase.SUCCEEDED), ("crash loop", Phase.ROLLED_BACK)])
def test_a_night_on_which_clocks_change(kind: str, end: Phase) -> None:
    app = next(one for one in fleet(SEED) if one.zone == "Europe/Berlin" and SPRING.weekday() in one.days)
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
    printed = "\n".join(page([fine, bad, wrong, turned, harm], 1, SEED))
    assert "1 of 4 (25.00%" in printed and "app 1 on 2025-03-30, good: Succeeded" in printed


def test_every_change_of_clocks_of_the_fleet_is_among_the_nights() -> None:
    chosen = dates(400, SEED)
    assert len(set(chosen)) == 400
    assert {date(2025, 3, 30), date(2026, 10, 25), date(2027, 4, 4), date(2026, 3, 8)} <= set(chosen)
