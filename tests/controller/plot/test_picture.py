"""Pictures are read back as XML: every point inside its frame, every label there, nothing fetched from elsewhere."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from controller.plot import Axis, Band, Dots, Kind, Level, Line, Mark, Moment, Panel, Span, figure
from controller.plot.page import HEAD, PANEL_HEIGHT, WIDTH
from controller.plot.panel import BOTTOM, LEFT, RIGHT, TOP

SVG = "{http://www.w3.org/2000/svg}"


def a_panel(*marks: Mark, x: Axis | None = None, y: Axis | None = None) -> Panel:
    return Panel("errors", "a note", x or Axis("time (min)"), y or Axis("share of requests"), marks)


def read(*panels: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(figure("checkout", panels, note="made for a test"))


def words(root: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{SVG}text")]


def points(root: ElementTree.Element) -> Iterator[tuple[float, float]]:
    for one in root.iter(f"{SVG}path"):
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", one.attrib["d"]):
            yield float(x), float(y)
    for one in root.iter(f"{SVG}circle"):
        yield float(one.attrib["cx"]), float(one.attrib["cy"])


def inside(root: ElementTree.Element, panels: int = 1) -> bool:
    tops = [HEAD + PANEL_HEIGHT * place for place in range(panels)]
    return all(
        LEFT - 0.01 <= x <= WIDTH - RIGHT + 0.01
        and any(top + TOP - 0.01 <= y <= top + PANEL_HEIGHT - BOTTOM + 0.01 for top in tops)
        for x, y in points(root)
    )


def test_every_mark_is_drawn_and_told() -> None:
    root = read(
        a_panel(
            Line("measured", ((0.0, 0.1), (1.0, 0.4), (2.0, None), (3.0, 0.2))),
            Band("usual range", ((0.0, 0.05, 0.3), (3.0, 0.1, 0.5)), 2),
            Dots("found", ((1.0, 0.3, 0.2, 0.4),), 1),
            Level("limit 50 %", 0.5),
            Moment("3 pods", 1.5),
            Span("rollout", 2.0, 2.5),
        )
    )
    shown = words(root)
    for label in ("checkout", "made for a test", "errors", "a note", "time (min)", "share of requests"):
        assert label in shown
    for label in ("measured", "usual range", "found", "limit 50 %", "3 pods", "rollout"):
        assert label in shown
    assert inside(root)
    shapes = [one.attrib.get("class", "") for one in root.iter()]
    for shape in ("line tone0", "band tone2", "whisker tone1", "dot tone1", "level tone3", "moment", "span"):
        assert shape in shapes


def test_a_hole_breaks_the_line() -> None:
    [line] = [
        one
        for one in read(a_panel(Line("", ((0, 1), (1, 2), (2, None), (3, 1), (4, 2))))).iter(f"{SVG}path")
        if "line" in one.attrib["class"]
    ]
    assert line.attrib["d"].count("M") == 2


def test_a_point_between_two_holes_is_still_seen() -> None:
    root = read(a_panel(Line("one", ((0, None), (1, 2), (2, None), (3, 4), (4, 5)))))
    assert len(list(root.iter(f"{SVG}circle"))) == 1


def test_higher_values_lie_higher() -> None:
    root = read(a_panel(Dots("", ((0.0, 1.0, 1.0, 1.0), (1.0, 2.0, 2.0, 2.0)))))
    low, high = (float(one.attrib["cy"]) for one in root.iter(f"{SVG}circle"))
    assert high < low


def test_values_beyond_an_end_that_was_given_stay_in_the_frame() -> None:
    root = read(a_panel(Line("up", ((0, 0.5), (1, 7.0))), y=Axis("share", low=0.0, high=1.0)))
    assert inside(root)


@pytest.mark.parametrize(
    ("axis", "values", "told"),
    [
        (Axis("r", Kind.RATIO), (1.0, 10.0), ["1x", "2x", "10x"]),
        (Axis("p", Kind.SHARE), (0.2, 0.4), ["0 %", "25 %", "50 %", "75 %", "100 %"]),
        (Axis("e", Kind.PERCENT, low=0.0), (0.001, 0.004), ["0 %", "0.1 %", "0.4 %"]),
        (Axis("b", Kind.LOG), (1e3, 1e6), ["1,000", "1M"]),
        (Axis("n", Kind.NUMBER), (-3.0, 12.0), ["0", "10"]),
    ],
)
def test_ticks_read_in_the_unit_of_the_axis(axis: Axis, values: tuple[float, float], told: list[str]) -> None:
    found = [name for _, name in axis.fitted(values).ticks()]
    assert set(told) <= set(found), found


def test_time_ticks_are_round_and_in_utc() -> None:
    day = 86_400.0 * 20_000
    assert [name for _, name in Axis("t", Kind.TIME).fitted((day, day + 4 * 3600)).ticks()] == [
        "00:00",
        "01:00",
        "02:00",
        "03:00",
        "04:00",
    ]
    assert Axis("t", Kind.TIME).fitted((day, day + 28 * 86_400)).ticks(6)[:2] == [
        (day + 6 * 86_400.0, "10 Oct"),
        (day + 13 * 86_400.0, "17 Oct"),
    ]


@settings(deadline=None)
@given(
    some.lists(some.tuples(some.floats(-1e12, 1e12), some.none() | some.floats(-1e12, 1e12)), max_size=30),
    some.sampled_from(list(Kind)),
    some.sampled_from(list(Kind)),
)
def test_whatever_the_numbers_the_picture_is_one_and_stays_in_its_frame(
    given_points: list[tuple[float, float | None]], across: Kind, up: Kind
) -> None:
    if across is Kind.TIME or up is Kind.TIME:
        given_points = [(abs(x) % 4e9, None if y is None else abs(y) % 4e9) for x, y in given_points]
    panel = a_panel(
        Line("measured", tuple(sorted(given_points, key=lambda point: point[0]))), x=Axis("x", across), y=Axis("y", up)
    )
    root = read(panel, panel)
    assert inside(root, 2)
    assert root.attrib["viewBox"].split()[2:] == [root.attrib["width"], root.attrib["height"]]


@settings(deadline=None)
@given(some.lists(some.floats(0.0, 1.0), min_size=2, max_size=12))
def test_direct_labels_never_lie_on_each_other(ends: list[float]) -> None:
    lines = [Line(f"line {n}", ((0.0, 0.5), (1.0, end))) for n, end in enumerate(ends)]
    root = read(a_panel(*lines, y=Axis("share", Kind.SHARE)))
    places = sorted(
        float(one.attrib["y"]) for one in root.iter(f"{SVG}text") if one.attrib["class"].startswith("direct")
    )
    assert len(places) == len(ends)
    assert all(after - before >= 13.9 for before, after in itertools.pairwise(places))


def test_a_single_point_is_told_beside_it_and_not_over_another() -> None:
    dots = [Dots(f"dot {n}", ((1.0 + 0.01 * n, 0.5, 0.5, 0.5),)) for n in range(4)]
    root = read(a_panel(*dots, Line("", ((0.0, 0.0), (2.0, 1.0)))))
    labels = [one for one in root.iter(f"{SVG}text") if (one.text or "").startswith("dot")]
    assert all(float(one.attrib["x"]) < WIDTH - RIGHT for one in labels)
    places = sorted(float(one.attrib["y"]) for one in labels)
    assert all(after - before >= 13.9 for before, after in itertools.pairwise(places))


def test_what_people_named_cannot_break_the_picture() -> None:
    name = '<script>alert("x")</script> & \x00\x1b[31m\u202e'
    root = read(a_panel(Line(name, ((0, 1), (1, 2))), Span(name, 0, 1)))
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>alert" in one for one in words(root))


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = figure("t", [a_panel(Line("", ((0, 1), (1, 2))))])
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    for word in ("<script", "@import", "@font-face", "href", "url(", "<image", "onload"):
        assert word not in text


def test_a_dark_page_has_colours_of_its_own() -> None:
    text = figure("t", [a_panel(Line("", ((0, 1), (1, 2))))])
    light, dark = text.split("@media (prefers-color-scheme:dark)")
    for shape in (".page{", ".line.tone0", ".muted", ".grid{"):
        assert shape in light
        assert shape in dark


@pytest.mark.parametrize("tones", ["LIGHT_TONES", "DARK_TONES"])
def test_colours_stand_out_from_their_page(tones: str) -> None:
    """At least 4.5 to 1, what WCAG asks of text."""
    from controller.plot import page as module

    page = (module._LIGHT if tones == "LIGHT_TONES" else module._DARK)[0]
    colours = [*getattr(module, tones), *(module._LIGHT if tones == "LIGHT_TONES" else module._DARK)[1:3]]
    for colour in colours:
        assert contrast(page, colour) >= 4.5, colour


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_picture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="without a panel"):
        figure("t", [])
