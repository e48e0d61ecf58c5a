"""SVG elements as values, written as text that every XML parser takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

Value = str | float | int


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its name, attributes, and either text or children."""

    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    children: tuple[Element, ...] = ()
    text: str = ""

    def written(self, indent: int = 0) -> str:
        """The element as text, one line each. Raises ValueError for a number that has no place on paper."""
        pad = "  " * indent
        given = "".join(f" {key}={quoteattr(_written(value))}" for key, value in self.attributes.items())
        if self.text:
            return f"{pad}<{self.name}{given}>{escape(_printable(self.text))}</{self.name}>"
        if not self.children:
            return f"{pad}<{self.name}{given}/>"
        inside = "\n".join(child.written(indent + 1) for child in self.children)
        return f"{pad}<{self.name}{given}>\n{inside}\n{pad}</{self.name}>"


def group(*children: Element, **attributes: Value) -> Element:
    """Elements that belong together."""
    return Element("g", _named(attributes), tuple(children))


def text(x: float, y: float, words: str, **attributes: Value) -> Element:
    """Words at a place; `y` is their base line."""
    return Element("text", {"x": x, "y": y, **_named(attributes)}, text=words)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Value) -> Element:
    """A straight line."""
    return Element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, **_named(attributes)})


def rectangle(x: float, y: float, width: float, height: float, **attributes: Value) -> Element:
    """A rectangle."""
    return Element("rect", {"x": x, "y": y, "width": width, "height": height, **_named(attributes)})


def circle(x: float, y: float, radius: float, **attributes: Value) -> Element:
    """A circle."""
    return Element("circle", {"cx": x, "cy": y, "r": radius, **_named(attributes)})


def path(runs: Iterable[Iterable[tuple[float, float]]], *, closed: bool = False, **attributes: Value) -> Element:
    """Polygons or lines through points, one for each run."""
    drawn = []
    for run in runs:
        points = [f"{_written(x)} {_written(y)}" for x, y in run]
        if points:
            drawn.append("M" + " L".join(points) + ("Z" if closed else ""))
    return Element("path", {"d": " ".join(drawn), **_named(attributes)})


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """`class_` and `text_anchor` as SVG spells them."""
    return {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}


def _written(value: Value) -> str:
    if isinstance(value, str):
        return _printable(value)
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in a picture")
    return f"{value:.2f}".rstrip("0").rstrip(".") if value != round(value) else str(round(value))


def _printable(words: str) -> str:
    """Without the characters that XML cannot carry."""
    return "".join(char if char.isprintable() else " " for char in words)
