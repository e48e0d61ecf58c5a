"""What docs/nights.md shows is a legal policy, and what it says of the two nights of Berlin is so."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from policies.load import load_text
from policies.openings import opening_of
from policies.schema import ReleasePolicy
from tests.test_docs import blocks

PAGE = (Path(__file__).parents[3] / "docs/nights.md").read_text()


def shown() -> ReleasePolicy:
    policy = load_text(next(each for each in blocks(PAGE, "yaml") if "kind: ReleasePolicy" in each))[0].policy
    assert policy is not None
    return policy


def test_the_policy_of_the_page_is_legal() -> None:
    window = shown().spec.window
    assert window is not None
    assert (window.days.written(), window.on_close) == ("Mon-Thu", "park")


def test_the_nights_of_the_page_are_as_long_as_it_says() -> None:
    window = shown().spec.window
    assert window is not None
    daily = window.model_validate({**window.model_dump(mode="json", by_alias=True), "days": "Mon-Sun", "to": "06:00"})
    nights = [opening_of(daily, day) for day in (date(2027, 10, 30), date(2027, 3, 27))]
    assert [each.length / 3600 for each in nights if each is not None] == [9.0, 7.0]
