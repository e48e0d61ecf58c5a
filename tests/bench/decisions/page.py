"""The tables of docs/statistics.md from a written run: `python -m tests.bench.decisions.page FILE.json [DOC.md]...`.

With a document, what stands between the markers of a section is written anew; without one all is printed.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.decisions.judging import ASSUMED
from tests.bench.decisions.report import BETTER, FALSE_PAUSE, TUNED
from tests.bench.decisions.rivals import RULES
from tests.bench.decisions.rows import FALSE_ROLLBACK, OURS, POWER, Row, number
from tests.bench.decisions.studies import AT_MARGIN, EARLY, MEDIAN, P90, STUDIES

BEGIN, END = "<!-- figures: {} -->", "<!-- end of {} -->"
SIMULATED = {study.group for study in STUDIES}
SHORT = {
    OURS: "learned",
    ASSUMED: "assumed",
    "Flagger, 1 failed check": "Flagger 1",
    "Flagger, 5 failed checks": "Flagger 5",
    "Argo, failureLimit 0": "Argo 0",
    "Argo, failureLimit 3": "Argo 3",
    "Mann-Whitney (PipeCD)": "PipeCD",
    "Fisher per look": "Fisher",
    "mean + 3 sd": "3 sd",
}

Cell = tuple[str, str]
Found = Mapping[tuple[Cell, str, str], Row]


def read(file: Path) -> list[Row]:
    """The rows of a written run; what was not finite then is "never" now."""
    told = json.loads(file.read_text())

    def row(one: Mapping[str, Any]) -> Row:
        value = math.inf if one["value"] is None else one["value"]
        low, high = (math.nan if end is None else end for end in one["interval"])
        named = (one["group"], one["cell"], one["rule"], one["figure"])
        return Row(*named, value, low, high, one["n"], one["goal"] or "")

    return [row(one) for one in told["rows"]]


def sections(rows: Sequence[Row]) -> dict[str, list[str]]:
    """All published tables, by the name of their section."""
    found = {((row.group, row.cell), row.rule, row.figure): row for row in rows}

    def cells(figure: str, *, latency: bool = False) -> list[Cell]:
        mine = [row for row in rows if row.rule == OURS and row.figure == figure and row.group in SIMULATED]
        return list(dict.fromkeys((row.group, row.cell) for row in mine if latency or row.group != "latency"))

    harmful, slow = cells(POWER), [cell for cell in cells(POWER, latency=True) if cell[0] == "latency"]
    rivals = [rule.name for rule in RULES]
    names, tuned = [SHORT.get(name, name) for name in rivals], [TUNED.format(name) for name in rivals]
    return {
        "healthy": _table(
            ["group", "world", "n", "learned [95 %]", "pause", SHORT[ASSUMED], *names],
            [_healthy(found, cell, rivals) for cell in cells(FALSE_ROLLBACK, latency=True)],
        ),
        "margin": _table(
            ["group", "world", "n", "learned [95 %]", SHORT[ASSUMED], *names],
            [_margin(found, cell, rivals) for cell in cells(AT_MARGIN, latency=True)],
        ),
        "caught": _table(
            ["release", "n", "learned [95 %]", "median", "p90", "assumed", "its median"],
            [_caught(found, cell) for cell in harmful],
        ),
        "usual": _table(["release", *names], [_beside(found, cell, rivals) for cell in harmful]),
        "tuned": _table(["release", "learned", *names], [_beside(found, cell, [OURS, *tuned]) for cell in harmful]),
        "latency": _table(
            ["release", "n", "learned [95 %]", "median", "p90", *names],
            [[*_caught(found, cell)[:5], *_beside(found, cell, tuned)[1:]] for cell in slow],
        ),
        "early": _table(
            ["release", "n", "called healthy [95 %]", "median"], [_advanced(found, c) for c in cells(EARLY)]
        ),
        "real": _table(["cell", "rule", "figure", "value [95 %]", "n"], [_plain(row) for row in rows if _is_real(row)]),
        "costs": _table(
            ["what", "figure", "median [least, most]", "goal"],
            [[row.cell, row.figure, _interval(row), row.goal] for row in rows if row.group == "costs"],
        ),
        "lost": _table(
            ["release", "rule, tuned", "theirs", "ours"],
            [line for cell in [*harmful, *slow] for line in _lost(found, cell, rivals)],
        ),
        "goals": _goals(rows),
    }


def _is_real(row: Row) -> bool:
    return row.group not in SIMULATED and row.group not in ("costs", "limit", "rivals")


def _plain(row: Row) -> list[str]:
    return [f"{row.group}: {row.cell}", SHORT.get(row.rule, row.rule), row.figure, _interval(row), str(row.n)]


def _interval(row: Row) -> str:
    return number(row.value) + ("" if math.isnan(row.low) else f" [{number(row.low)}, {number(row.high)}]")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]


def _healthy(found: Found, cell: Cell, rivals: Sequence[str]) -> list[str]:
    ours = found[cell, OURS, FALSE_ROLLBACK]
    pause = found.get((cell, "learned, pause tier", FALSE_PAUSE))
    others = [found.get((cell, rule, FALSE_ROLLBACK)) for rule in (ASSUMED, *rivals)]
    world = cell[1].removesuffix(": healthy")
    return [cell[0], world, str(ours.n), _percent(ours), _value(pause), *(_value(one) for one in others)]


def _margin(found: Found, cell: Cell, rivals: Sequence[str]) -> list[str]:
    ours = found[cell, OURS, AT_MARGIN]
    others = [found.get((cell, rule, AT_MARGIN)) for rule in (ASSUMED, *rivals)]
    return [*cell, str(ours.n), _percent(ours), *(_value(one) for one in others)]


def _caught(found: Found, cell: Cell) -> list[str]:
    ours = found[cell, OURS, POWER]
    delays = [number(found[cell, OURS, figure].value) for figure in (MEDIAN, P90)]
    assumed = found.get((cell, ASSUMED, POWER)), found.get((cell, ASSUMED, MEDIAN))
    told = [_share(assumed[0]), "" if assumed[1] is None else number(assumed[1].value)]
    return [cell[1], str(ours.n), f"{_share(ours)} [{_two(ours.low)}, {_two(ours.high)}]", *delays, *told]


def _beside(found: Found, cell: Cell, rules: Sequence[str]) -> list[str]:
    def told(rule: str) -> str:
        caught, delay = found.get((cell, rule, POWER)), found.get((cell, rule, MEDIAN))
        return "" if caught is None or delay is None else f"{_share(caught)}, {number(delay.value)}"

    return [cell[1], *map(told, rules)]


def _lost(found: Found, cell: Cell, rivals: Sequence[str]) -> list[list[str]]:
    """The rules that catch more than 2 % more of these releases than ours, or catch them sooner, at equal alarms."""
    ours, told = (found[cell, OURS, figure].value for figure in (POWER, MEDIAN)), _beside(found, cell, [OURS])[1]
    caught, delay = ours
    out = []
    for name in rivals:
        rule = TUNED.format(name)
        if (cell, rule, POWER) not in found:
            continue
        theirs = found[cell, rule, POWER].value, found[cell, rule, MEDIAN].value
        if theirs[0] > caught + 0.02 or theirs[1] < delay:
            out.append([f"{cell[0]}, {cell[1]}", SHORT.get(name, name), _beside(found, cell, [rule])[1], told])
    return out


def _advanced(found: Found, cell: Cell) -> list[str]:
    one, delay = found[cell, OURS, EARLY], found[cell, OURS, MEDIAN]
    return [cell[1], str(one.n), f"{_share(one)} [{_two(one.low)}, {_two(one.high)}]", number(delay.value)]


def _goals(rows: Sequence[Row]) -> list[str]:
    wanted = [row for row in rows if row.goal and row.group != "rivals"]
    better = [row for row in rows if row.figure == BETTER]
    lost = [f"{row.cell} ({row.rule})" for row in better if not row.met]
    table = _table(
        ["group", "cell", "figure", "value [95 %]", "n", "goal", "met"],
        [
            [
                row.group,
                row.cell,
                row.figure,
                _interval(row),
                str(row.n),
                row.goal,
                "BROKEN" if row.broken else "yes" if row.met else "**no**",
            ]
            for row in wanted
        ],
    )
    count = f"Rivals with fewer false rollbacks and a shorter median delay than ours, in {len(better)} cells: "
    return [*table, "", count + ("; ".join(lost) if lost else "none") + "."]


def _percent(row: Row) -> str:
    return f"{100 * row.value:.2f} [{100 * row.low:.2f}, {100 * row.high:.2f}]"


def _value(row: Row | None) -> str:
    return "" if row is None else f"{100 * row.value:.1f}"


def _share(row: Row | None) -> str:
    return "" if row is None else _two(row.value)


_two: Callable[[float], str] = "{:.2f}".format


def written(document: str, tables: Mapping[str, Sequence[str]]) -> str:
    """A document with the tables between their markers. Raises ValueError without any marker, or without its end."""
    known = [name for name in tables if BEGIN.format(name) in document]
    if not known:
        raise ValueError(f"the document has no {BEGIN.format('NAME')}")
    for name in known:
        before, _, rest = document.partition(BEGIN.format(name))
        _, found, after = rest.partition(END.format(name))
        if not found:
            raise ValueError(f"the document has no {END.format(name)}")
        document = "\n".join([before + BEGIN.format(name), "", *tables[name], "", END.format(name) + after])
    return document


def main() -> None:
    """Prints the tables, or writes them into documents."""
    flags = argparse.ArgumentParser(prog="python -m tests.bench.decisions.page", description=__doc__)
    flags.add_argument("run", type=Path)
    flags.add_argument("documents", type=Path, nargs="*", metavar="DOC.md")
    asked = flags.parse_args()
    tables = sections(read(asked.run))
    for document in asked.documents:
        document.write_text(written(document.read_text(), tables))
    if not asked.documents:
        print("\n".join(line for name, lines in tables.items() for line in ["", f"#### {name}", "", *lines]))


if __name__ == "__main__":
    main()
