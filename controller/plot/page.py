"""A picture: panels below each other, with a title, in the colours of a light or a dark page."""

from __future__ import annotations

from collections.abc import Sequence

from controller.plot import xml
from controller.plot.panel import LEFT, Panel
from controller.plot.xml import Element, Value

WIDTH = 860.0
PANEL_HEIGHT = 306.0
HEAD = 56.0
FOOT = 14.0

_LIGHT = ("#ffffff", "#1f2328", "#59636e", "#e6e9ed", "#8c959f")
_DARK = ("#0d1117", "#e6edf3", "#9198a1", "#262c34", "#656d76")
# Told apart by people who see red and green alike; each dark enough on white, or light enough on black.
LIGHT_TONES = ("#0b63c5", "#b35900", "#00725c", "#b42318", "#7a3fc0", "#57606a")
DARK_TONES = ("#6cb6ff", "#ffb066", "#4fd1b5", "#ff8f85", "#c8a3ff", "#a6b0bb")


def figure(title: str, panels: Sequence[Panel], *, note: str = "") -> str:
    """The picture as the text of an SVG file. Raises ValueError without a panel."""
    if not panels:
        raise ValueError("a picture without a panel")
    height = HEAD + PANEL_HEIGHT * len(panels) + FOOT
    told = "; ".join(panel.title for panel in panels)
    parts = [
        Element("title", {"id": "t"}, text=title),
        Element("desc", {"id": "d"}, text=f"{note or title}: {told}"),
        Element("style", text=_style()),
        xml.rectangle(0.0, 0.0, WIDTH, height, class_="page"),
        xml.text(LEFT, 26.0, title, class_="head"),
        *([xml.text(LEFT, 44.0, note, class_="muted")] if note else []),
        *(panel.drawn(HEAD + PANEL_HEIGHT * place, WIDTH, PANEL_HEIGHT) for place, panel in enumerate(panels)),
    ]
    root: dict[str, Value] = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {WIDTH:g} {height:g}",
        "width": WIDTH,
        "height": height,
        "role": "img",
        "aria-labelledby": "t d",
    }
    return Element("svg", root, tuple(parts)).written() + "\n"


def _style() -> str:
    fixed = (
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:11px}"
        ".head{font-size:17px;font-weight:600}.title{font-size:13px;font-weight:600}.label{font-size:11px}"
        ".direct{font-weight:600}.grid{stroke-width:1}.axis{stroke-width:1}"
        ".line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
        ".line.faint{stroke-width:.9;opacity:.4}.dashed{stroke-dasharray:5 4}"
        ".band{stroke:none;opacity:.17}.level{stroke-width:1.4;stroke-dasharray:7 4}"
        ".moment{stroke-width:1;stroke-dasharray:2 3}.whisker{stroke-width:1.2}.leader{stroke-width:1}.span{opacity:.7}"
    )
    dark = _colours(_DARK, DARK_TONES)
    return f"{fixed}{_colours(_LIGHT, LIGHT_TONES)}@media (prefers-color-scheme:dark){{{dark}}}"


def _colours(page: tuple[str, ...], tones: tuple[str, ...]) -> str:
    ground, ink, muted, grid, axis = page
    rules = (
        f".page{{fill:{ground}}}.head,.title,.label{{fill:{ink}}}.muted,.tick{{fill:{muted}}}"
        f".grid{{stroke:{grid}}}.axis,.moment,.leader{{stroke:{axis}}}.span{{fill:{grid}}}"
    )
    for number, tone in enumerate(tones):
        shape = f".tone{number}"
        rules += (
            f".line{shape},.level{shape},.whisker{shape}{{stroke:{tone}}}"
            f".band{shape},.dot{shape},.direct{shape}{{fill:{tone}}}"
        )
    return rules
