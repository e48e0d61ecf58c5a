"""One panel: what is drawn inside a frame, from far to near, and where its labels find room."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from controller.plot import xml
from controller.plot.axes import Axis, Kind, Scale
from controller.plot.xml import Element

Point = tuple[float, float | None]

LEFT, RIGHT, TOP, BOTTOM = 76.0, 144.0, 58.0, 48.0  # pixels around the frame; direct labels stand on the right
_LETTER = 6.2  # width of a letter of small text, on average
_LINE_HEIGHT = 14.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; a y of None is a hole. `tone` 0 to 5 is a colour, `faint` for one among many."""

    label: str
    points: tuple[Point, ...]
    tone: int = 0
    dashed: bool = False
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """The area between two lines over the same x: (x, low, high); a hole where either is None."""

    label: str
    points: tuple[tuple[float, float | None, float | None], ...]
    tone: int = 0


@dataclass(frozen=True, slots=True)
class Dots:
    """Points with an interval: (x, y, low, high). A single point is told beside it, several at the right edge."""

    label: str
    points: tuple[tuple[float, float, float, float], ...]
    tone: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """A value of y that matters, such as a threshold; told at the right edge."""

    label: str
    y: float
    tone: int = 3


@dataclass(frozen=True, slots=True)
class Moment:
    """A value of x that matters, such as a stage that begins; told at the top."""

    label: str
    x: float


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of x that is left out, or meant for something else."""

    label: str
    begin: float
    end: float


Mark = Line | Band | Dots | Level | Moment | Span


@dataclass(frozen=True, slots=True)
class Panel:
    """A frame with two axes and what is inside. `note` is one line below the title."""

    title: str
    note: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]

    def drawn(self, top: float, width: float, height: float) -> Element:
        """The panel between `top` and `top + height` of a picture of this width (pixels)."""
        across = self.x.fitted(self._xs()).placed(LEFT, width - RIGHT)
        up = self.y.fitted(self._ys()).placed(top + height - BOTTOM, top + TOP)
        marks = sorted(self.marks, key=lambda mark: _DEPTH[type(mark)])
        parts = [*self._frame(across, up, top, width)]
        for mark in marks:
            parts += _drawn(mark, across, up)
        parts += _headings(marks, across, up)
        parts += _beside(marks, across, up)
        parts += _labels(marks, across, up)
        return xml.group(*parts, class_="panel")

    def _xs(self) -> Iterator[float]:
        for mark in self.marks:
            match mark:
                case Line() | Band() | Dots():
                    yield from (point[0] for point in mark.points)
                case Span():
                    yield from (mark.begin, mark.end)
                case Moment():
                    yield mark.x
                case Level():
                    pass

    def _ys(self) -> Iterator[float]:
        for mark in self.marks:
            match mark:
                case Line():
                    yield from (y for _, y in mark.points if y is not None)
                case Band():
                    yield from (y for _, low, high in mark.points for y in (low, high) if y is not None)
                case Dots():
                    yield from (y for _, *ys in mark.points for y in ys)
                case Level():
                    yield mark.y
                case Moment() | Span():
                    pass

    def _frame(self, across: Scale, up: Scale, top: float, width: float) -> Iterator[Element]:
        bottom = up.start
        yield xml.text(LEFT, top + 16.0, self.title, class_="title")
        yield xml.text(LEFT, top + 32.0, self.note, class_="muted")
        for value, words in up.ticks():
            y = up.at(value)
            yield xml.line(LEFT, y, width - RIGHT, y, class_="grid")
            yield xml.text(LEFT - 8.0, y + 4.0, words, class_="tick", text_anchor="end")
        for value, words in across.ticks(8 if self.x.kind is not Kind.TIME else 6):
            x = across.at(value)
            yield xml.line(x, bottom, x, bottom + 5.0, class_="axis")
            yield xml.text(x, bottom + 18.0, words, class_="tick", text_anchor="middle")
        yield xml.line(LEFT, bottom, width - RIGHT, bottom, class_="axis")
        middle, centre = 0.5 * (LEFT + width - RIGHT), 0.5 * (up.start + up.end)
        yield xml.text(middle, bottom + 36.0, self.x.label, class_="label", text_anchor="middle")
        turned = f"rotate(-90 16 {centre:.1f})"
        yield xml.text(16.0, centre, self.y.label, class_="label", text_anchor="middle", transform=turned)


_DEPTH: dict[type[Mark], int] = {Span: 0, Band: 1, Level: 2, Moment: 3, Line: 4, Dots: 5}


def _drawn(mark: Mark, across: Scale, up: Scale) -> Iterator[Element]:
    match mark:
        case Line():
            runs = [[(across.at(x), up.at(y)) for x, y in run] for run in _runs(mark.points)]
            shape = f"line tone{mark.tone}" + (" dashed" if mark.dashed else "") + (" faint" if mark.faint else "")
            yield xml.path([run for run in runs if len(run) > 1], class_=shape)
            yield from (xml.circle(*run[0], 1.6, class_=f"dot tone{mark.tone}") for run in runs if len(run) == 1)
        case Band():
            yield xml.path(_outlines(mark, across, up), closed=True, class_=f"band tone{mark.tone}")
        case Dots():
            for x, y, low, high in mark.points:
                at = across.at(x)
                yield xml.line(at, up.at(low), at, up.at(high), class_=f"whisker tone{mark.tone}")
                yield xml.circle(at, up.at(y), 3.2, class_=f"dot tone{mark.tone}")
        case Level():
            y = up.at(mark.y)
            yield xml.line(across.start, y, across.end, y, class_=f"level tone{mark.tone}")
        case Moment():
            x = across.at(mark.x)
            yield xml.line(x, up.start, x, up.end, class_="moment")
        case Span():
            left, right = across.at(mark.begin), across.at(mark.end)
            yield xml.rectangle(left, up.end, max(right - left, 1.0), up.start - up.end, class_="span")


def _runs(points: Iterable[Point]) -> list[list[tuple[float, float]]]:
    """The stretches without a hole."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or not math.isfinite(y):
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]


def _outlines(band: Band, across: Scale, up: Scale) -> list[list[tuple[float, float]]]:
    outlines: list[list[tuple[float, float]]] = []
    low: list[tuple[float, float]] = []
    high: list[tuple[float, float]] = []
    for x, below, above in (*band.points, (0.0, None, None)):
        if below is None or above is None or not (math.isfinite(below) and math.isfinite(above)):
            if low:
                outlines.append(high + low[::-1])
            low, high = [], []
        else:
            low.append((across.at(x), up.at(below)))
            high.append((across.at(x), up.at(above)))
    return outlines


def _headings(marks: list[Mark], across: Scale, up: Scale) -> Iterator[Element]:
    """Labels of moments and spans above the frame, from left to right; one without room is left out."""
    told = sorted((_middle(mark, across), mark.label) for mark in marks if isinstance(mark, Moment | Span))
    free = 0.0
    for middle, words in told:
        half = 0.5 * _LETTER * len(words)
        x = min(max(middle, across.start + half), max(across.end - half, across.start + half))
        if words and x - half >= free:
            yield xml.text(x, up.end - 5.0, words, class_="muted", text_anchor="middle")
            free = x + half + _LETTER


def _beside(marks: list[Mark], across: Scale, up: Scale) -> Iterator[Element]:
    """Labels of single points, next to them, each below those that stand there already."""
    taken: list[tuple[float, float, float]] = []
    singles = [mark for mark in marks if isinstance(mark, Dots) and len(mark.points) == 1 and mark.label]
    for mark in sorted(singles, key=lambda one: one.points[0][0]):
        x, y = across.at(mark.points[0][0]), up.at(mark.points[0][1])
        width = 1.15 * _LETTER * len(mark.label)
        left = x + 7.0 if x + 7.0 + width <= across.end else x - 7.0 - width
        y = max(y - 4.0, up.end + 10.0)
        while any(left < end and left + width > begin and abs(y - at) < _LINE_HEIGHT for begin, end, at in taken):
            y += _LINE_HEIGHT
        taken.append((left, left + width, y))
        yield xml.text(left, y, mark.label, class_=f"direct tone{mark.tone}")


def _middle(mark: Moment | Span, across: Scale) -> float:
    return across.at(mark.x) if isinstance(mark, Moment) else 0.5 * (across.at(mark.begin) + across.at(mark.end))


@dataclass(frozen=True, slots=True)
class _Label:
    """A direct label: where its mark ends, where it stands, and how it looks."""

    end: float
    lines: tuple[str, ...]
    shape: str
    y: float = 0.0

    @property
    def room(self) -> float:
        return _LINE_HEIGHT + 12.0 * (len(self.lines) - 1)


def _labels(marks: list[Mark], across: Scale, up: Scale) -> Iterator[Element]:
    """Direct labels on the right, each as near to the end of its line as the others allow."""
    wanted = [_Label(end, _wrapped(words, 20), shape) for end, words, shape in _ends(marks, up)]
    for label in _spread(wanted, up.end, up.start):
        if abs(label.y - label.end) > 5.0:
            yield xml.line(across.end + 1.0, label.end, across.end + 7.0, label.y, class_="leader")
        for number, words in enumerate(label.lines):
            yield xml.text(across.end + 10.0, label.y + 4.0 + 12.0 * number, words, class_=label.shape)


def _ends(marks: list[Mark], up: Scale) -> Iterator[tuple[float, str, str]]:
    """(y on paper, words, look) of every mark that is told at the right edge."""
    for mark in marks:
        if isinstance(mark, Moment | Span) or not mark.label or (isinstance(mark, Dots) and len(mark.points) == 1):
            continue
        match mark:
            case Line() | Dots():
                ys = [point[1] for point in mark.points if point[1] is not None]
            case Band():
                ys = [0.5 * (a + b) for _, a, b in mark.points if a is not None and b is not None]
            case Level():
                ys = [mark.y]
        if ys:
            yield up.at(ys[-1]), mark.label, f"direct tone{mark.tone}"


def _spread(wanted: list[_Label], top: float, bottom: float) -> list[_Label]:
    """The same labels, moved apart from each other and, while there is room, kept inside the frame."""
    labels = sorted(wanted, key=lambda label: label.end)
    free = top
    down: list[_Label] = []
    for label in labels:
        down.append(replace(label, y=max(label.end, free)))
        free = down[-1].y + label.room
    free = bottom + _LINE_HEIGHT
    back: list[_Label] = []
    for label in reversed(down):
        back.append(replace(label, y=min(label.y, free - label.room)))
        free = back[-1].y
    return back[::-1]


def _wrapped(words: str, width: int) -> tuple[str, ...]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return tuple(lines)
