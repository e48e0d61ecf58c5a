"""`nightferry status`: where every app stands, as a table that redraws itself or as JSON."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import options

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.text import Text

    from controller.cli.access import Access
    from controller.cli.view import Row


_LEAST = 40  # characters of a sentence that are worth a column


class Output(StrEnum):
    """The forms of the answer."""

    TABLE = "table"
    JSON = "json"


def status(
    app: Annotated[str | None, typer.Argument(metavar="[APP]", help="One app; default: all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and redraw.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
    history: Annotated[bool, typer.Option("--history", help="All releases that are kept, the newest first.")] = False,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="The apps of all namespaces.")] = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show where every app stands: phase, batch, pods, verdicts, and why."""
    from controller.cli.access import Access
    from controller.cli.ends import Refusal

    if everywhere and namespace is not None:
        raise Refusal("--all-namespaces and --namespace exclude each other")
    access = Access.open(namespace, kubeconfig, context)

    def look() -> list[Row]:
        return _rows(access, app, history=history, everywhere=everywhere)

    if watch:
        _watch(access, look, output, one=app is not None)
    elif output is Output.JSON:
        print(_json(look()))
    else:
        _print(look(), access, one=app is not None, everywhere=everywhere)


def _rows(access: Access, app: str | None, *, history: bool, everywhere: bool) -> list[Row]:
    from controller.cli.access import name_of
    from controller.cli.ends import Refusal
    from controller.cli.view import row_of, rows_of

    releases = access.releases(app, everywhere=everywhere)
    policies = [one for one in access.policies(everywhere=everywhere) if app is None or name_of(one) == app]
    if app is not None and not releases and not policies:
        known = ", ".join(sorted({name_of(one) for one in access.policies(everywhere=everywhere)})) or "none"
        where = "the cluster" if everywhere else f"namespace {access.namespace}"
        raise Refusal(f"no app {app} in {where}; its apps: {known}")
    return [row_of(one) for one in releases] if history else rows_of(policies, releases)


def _json(rows: Sequence[Row]) -> str:
    import json

    return json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False)


def _print(rows: Sequence[Row], access: Access, *, one: bool, everywhere: bool) -> None:
    from controller.cli.screen import console, print_plain, say

    if not rows:
        where = "the cluster" if everywhere else f"namespace {access.namespace}"
        say(f"no policies and no releases in {where}")
        return
    screen = console()
    print_plain(screen, _drawn(rows, access.clock.now(), screen.width, one=one))


def _watch(access: Access, look: Callable[[], list[Row]], output: Output, *, one: bool) -> None:
    """Redraws until Ctrl-C; without a terminal it prints whenever something changed."""
    from rich.live import Live
    from rich.text import Text

    from controller.cli.ends import Unanswered
    from controller.cli.screen import console, print_plain, warn

    never = threading.Event()
    screen = console()
    if output is Output.JSON or not screen.is_terminal:
        last: list[Row] | None = None
        while True:
            try:
                rows = look()
            except Unanswered as error:
                warn(f"nightferry: the cluster does not answer: {error}")
                access.clock.wait(never, 2.0)
                continue
            if rows != last:
                last = rows
                if output is Output.JSON:
                    print(_json(rows), flush=True)
                else:
                    print_plain(screen, _drawn(rows, access.clock.now(), screen.width, one=one))
            access.clock.wait(never, 2.0)
    with Live(console=screen, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        while True:
            try:
                live.update(_drawn(look(), access.clock.now(), screen.width, one=one), refresh=True)
            except Unanswered as error:
                live.update(Text(f"the cluster does not answer: {error}", style="red"), refresh=True)
            access.clock.wait(never, 1.0)


def _drawn(rows: Sequence[Row], now: float, width: int, *, one: bool) -> Group:
    from rich.console import Group

    parts: list[RenderableType] = list(_table(rows, now, width))
    if one and rows:
        parts += _details(rows[0], now)
    return Group(*parts)


def _table(rows: Sequence[Row], now: float, width: int) -> Iterator[Text]:
    """A line per app; the sentence stands at its end, or below it where the screen is narrow."""
    from rich.text import Text

    from controller.cli.screen import PHASE_COLOURS, VERDICT_COLOURS
    from controller.cli.view import NO_RELEASE, ago, batch_text, pods_text

    many = len({row.namespace for row in rows}) > 1
    lines = [[Text(t) for t in ["NAMESPACE"] * many + ["APP", "RELEASE", "PHASE", "BATCH", "PODS", "VERDICT", "FOR"]]]
    for row in rows:
        held = f" ({row.held['reason']})" if row.held else " (watched)" if row.watched else ""
        colour = "yellow" if row.held else PHASE_COLOURS.get(row.phase or "", "dim")
        cells = [
            Text(row.app),
            Text(_short_release(row)),
            Text((row.phase or "-") + held, style=colour),
            Text(batch_text(row)),
            Text(pods_text(row)),
            Text(row.verdict, style=VERDICT_COLOURS.get(row.verdict, "")),
            Text(ago(row.since, now)),
        ]
        lines.append([Text(row.namespace)] * many + cells)
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    beside = width - sum(widths) - 2 * len(widths) >= _LEAST
    entries: list[Row | None] = [None, *rows]
    for line, entry in zip(lines, entries, strict=True):
        shown = Text("  ").join(_padded(cell, size) for cell, size in zip(line, widths, strict=True))
        if beside:
            shown.append("  " + ("BECAUSE" if entry is None else entry.because))
        if entry is None:
            shown.stylize("bold")
        shown.truncate(width, overflow="ellipsis")
        yield shown
        if not beside and entry is not None and entry.because != NO_RELEASE:
            below = Text(f"  {entry.because}", style="dim")
            below.truncate(width, overflow="ellipsis")
            yield below


def _padded(cell: Text, size: int) -> Text:
    cell = cell.copy()
    cell.pad_right(size - len(cell))
    return cell


def _short_release(row: Row) -> str:
    """The part of the release's name that the app's name does not say already."""
    if row.release is None:
        return "-"
    return row.release.removeprefix(f"{row.app}-") if row.release.startswith(f"{row.app}-") else row.release


def _watch_text(watch: Mapping[str, Any], now: float) -> str:
    """How long the watch lasts, or what it came to."""
    from controller.cli.view import seconds, span

    if watch.get("release"):
        return f"{watch.get('because')}; release {watch['release']} brings the version before it back"
    if watch.get("over"):
        return f"over: {watch['over']}"
    until = seconds(watch.get("until"))
    left = f" for {span(until - now)} more" if until is not None and until > now else ""
    return f"watching until {watch.get('until')}{left}: a broken limit, its history or an alert turns back"


def _details(row: Row, now: float) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    from controller.cli.screen import VERDICT_COLOURS
    from controller.cli.view import ago, seconds, span

    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("release", row.release or "none")
    facts.add_row("because", row.because)
    if row.held:
        until = seconds(row.held.get("until"))
        when = f"in {span(until - now)}: " if until is not None else ""
        facts.add_row("held", f"{row.held['reason']}; {when}{row.held.get('then') or ''}")
    if row.at is not None and row.verdicts and not row.ended:
        facts.add_row(
            "numbers", f"of {ago(row.at, now)} ago; written again when they change a decision, or each minute"
        )
    if row.watch is not None:
        facts.add_row("watch", _watch_text(row.watch, now))
    if row.cause:
        facts.add_row("cause", row.cause)
    parts: list[RenderableType] = [Text(), facts]
    if row.verdicts:
        gates = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        gates.add_column("GATE", no_wrap=True)
        gates.add_column("VERDICT", no_wrap=True)
        gates.add_column("BECAUSE", overflow="fold")
        for one in row.verdicts:
            name = one["gate"] + ("" if one.get("required", True) else " (watched only)")
            gates.add_row(name, Text(one["verdict"], style=VERDICT_COLOURS.get(one["verdict"], "")), one["because"])
        parts += [Text(), gates]
    return parts
