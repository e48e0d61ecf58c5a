"""The small pictures of the report: the interval of a gate at a decision, and when a release moved."""

from __future__ import annotations

from collections.abc import Sequence

from controller.morning.value import Gauged, Journey, Onset
from controller.plot import Axis, Kind, xml
from controller.plot.axes import Scale
from controller.plot.xml import Element

WIDTH, HEIGHT = 240.0, 42.0
_MIDDLE = 14.0
_LETTER = 6.0  # width of one, at the size of the labels
_MOST = 50.0  # times; whatever is further away lies at the edge


def scale_of(gates: Sequence[Gauged]) -> Scale:
    """One scale of ratios for all gates of a decision, so that their strips can be compared; 1x is always on it."""
    known = [
        value
        for one in gates
        for value in (one.low, one.ratio, one.high, one.onset.ratio if one.onset is not None else None)
        if value is not None and value > 0.0
    ]
    # The arrow of an end that the data does not bound needs room beyond the dot.
    known += [2.0 * one.ratio for one in gates if one.ratio is not None and one.low is not None and one.high is None]
    low = max(1.0 / _MOST, min([0.8, *known]))
    high = min(_MOST, max([1.25, *known]))
    return Axis("", Kind.RATIO, low, high).fitted(()).placed(14.0, WIDTH - 14.0)


def strip(one: Gauged, scale: Scale, words: str) -> str:
    """The interval of a gate on the scale; `words`, escaped, say the same. An open end has no cap.

    A diamond is the ratio since the harm began, where that was in the middle of the observation.
    """
    low = scale.at(max(one.low or scale.low, 1e-9))
    high = scale.at(one.high) if one.high is not None else scale.end + 8.0
    parts: list[Element] = [xml.line(scale.start, _MIDDLE, scale.end, _MIDDLE, class_="axis")]
    for value, label in _ticks(scale):
        x = scale.at(value)
        parts.append(xml.line(x, 4.0, x, 24.0, class_="one" if value == 1.0 else "tick"))
        parts.append(xml.text(x, 37.0, label, text_anchor="middle"))
    parts.append(xml.line(low, _MIDDLE, high, _MIDDLE, class_="interval"))
    parts.append(xml.line(low, 8.0, low, 20.0, class_="cap"))
    if one.high is not None:
        parts.append(xml.line(high, 8.0, high, 20.0, class_="cap"))
    else:
        tip = [(high - 6.0, 9.0), (high, _MIDDLE), (high - 6.0, 19.0)]
        parts.append(xml.path([tip], class_="open"))
    if one.ratio is not None:
        parts.append(xml.circle(scale.at(max(one.ratio, 1e-9)), _MIDDLE, 4.5, class_="dot"))
    if one.onset is not None and one.onset.ratio is not None:
        x = scale.at(max(one.onset.ratio, 1e-9))
        corners = [(x, _MIDDLE - 6.5), (x + 6.5, _MIDDLE), (x, _MIDDLE + 6.5), (x - 6.5, _MIDDLE)]
        parts.append(xml.path([corners], closed=True, class_="later"))
    return _picture(parts, WIDTH, HEIGHT, words)


def _ticks(scale: Scale) -> list[tuple[float, str]]:
    """1x and the ends, and between them what has room."""
    wanted = [(1.0, "1x")]
    for value, label in scale.ticks(5):
        if all(abs(scale.at(value) - scale.at(known)) > 34.0 for known, _ in wanted):
            wanted.append((value, label))
    return wanted


def course(onset: Onset, labels: tuple[str, str, str], words: str) -> str:
    """The observation from its first window to its last, on an axis of time, filled from when the harm onset.

    labels: the times of its beginning, of the harm's and of its end; those at the ends give way to the one between.
    """
    left, right, edge = 14.0, WIDTH - 14.0, WIDTH
    at = left + (right - left) * (onset.at - onset.first) / (onset.last - onset.first)
    first, middle, last = labels
    half = 0.5 * _LETTER * len(middle)
    place = min(max(at, half), edge - half)
    parts = [
        xml.rectangle(left, 6.0, at - left, 6.0, class_="before"),
        xml.rectangle(at, 6.0, max(right - at, 2.0), 6.0, class_="since"),
        xml.line(at, 2.0, at, 16.0, class_="from"),
        xml.text(place, 27.0, middle, text_anchor="middle", class_="when"),
    ]
    if left + _LETTER * len(first) < place - half - 8.0:
        parts.append(xml.text(left, 27.0, first))
    if place + half + 8.0 < right - _LETTER * len(last):
        parts.append(xml.text(right, 27.0, last, text_anchor="end"))
    return _picture(parts, WIDTH, 32.0, words)


def timeline(one: Journey, start: float, end: float, words: str) -> str:
    """From when to when a release moved, between `start` and `end`; the part after its turn is hatched."""
    length, high = 600.0, 16.0

    def at(time: float) -> float:
        return length * min(max((time - start) / (end - start), 0.0), 1.0)

    begin, stop = at(one.began or start), at(one.ended if one.ended is not None else end)
    turn = min(at(one.turned), stop) if one.turned is not None and one.began is not None else stop
    parts = [xml.rectangle(begin, 3.0, max(turn - begin, 3.0), 10.0, class_=f"bar {one.group}")]
    if stop > turn:
        parts.append(xml.rectangle(turn, 3.0, max(stop - turn, 3.0), 10.0, class_=f"bar going {one.group}"))
    return _picture(parts, length, high, words, stretched=True)


def _picture(parts: Sequence[Element], width: float, height: float, words: str, *, stretched: bool = False) -> str:
    inside = "".join(part.written() for part in parts)
    size = 'class="stretched" preserveAspectRatio="none"' if stretched else f'width="{width:g}" height="{height:g}"'
    return f'<svg viewBox="0 0 {width:g} {height:g}" {size} role="img" aria-label="{words}">{inside}</svg>'
