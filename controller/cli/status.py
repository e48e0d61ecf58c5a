"""`nightferry status`: where every app stands, as a table that redraws itself or as JSON."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from controller.cli.access import Access
    from controller.cli.view import Row


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
    print_plain(console(), _drawn(rows, access.clock.now(), one=one))


def _watch(access: Access, look: object, output: Output, *, one: bool) -> None:
    """Redraws until Ctrl-C; without a terminal it prints whenever something changed."""
    from rich.live import Live
    from rich.text import Text

    from controller.cli.ends import Unanswered
    from controller.cli.screen import console, print_plain, warn

    assert callable(look)
    never = threading.Event()
    screen = console()
    if output is Output.JSON or not screen.is_terminal:
        last: object = None
        while True:
            try:
                rows = look()
            except Unanswered as error:
                warn(f"nightferry: {error}")
                rows = last
            if rows != last:
                last = rows
                if output is Output.JSON:
                    print(_json(rows), flush=True)
                else:
                    print_plain(screen, _drawn(rows, access.clock.now(), one=one))
            access.clock.wait(never, 2.0)
    with Live(console=screen, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        while True:
            try:
                live.update(_drawn(look(), access.clock.now(), one=one), refresh=True)
            except Unanswered as error:
                live.update(Text(f"the cluster does not answer: {error}", style="red"), refresh=True)
            access.clock.wait(never, 1.0)


def _drawn(rows: Sequence[Row], now: float, *, one: bool) -> Group:
    from rich.console import Group

    parts: list[object] = [_table(rows, now)]
    if one and rows:
        parts += _details(rows[0], now)
    return Group(*parts)  # type: ignore[arg-type]


def _table(rows: Sequence[Row], now: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    from controller.cli.screen import PHASE_COLOURS, VERDICT_COLOURS
    from controller.cli.view import ago, batch_text, pods_text

    many = len({row.namespace for row in rows}) > 1
    titles = ["NAMESPACE"] * many + ["APP", "RELEASE", "PHASE", "BATCH", "PODS", "VERDICT", "FOR"]
    lines: list[list[Text]] = []
    for row in rows:
        held = f" ({row.held['reason']})" if row.held else ""
        colour = "yellow" if held else PHASE_COLOURS.get(row.phase or "", "dim")
        lines.append(
            [Text(row.namespace)] * many
            + [
                Text(row.app),
                Text(_short_release(row)),
                Text((row.phase or "-") + held, style=colour),
                Text(batch_text(row)),
                Text(pods_text(row)),
                Text(row.verdict, style=VERDICT_COLOURS.get(row.verdict, "")),
                Text(ago(row.since, now)),
            ]
        )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, title in enumerate(titles):
        # Only the sentence gives way where the screen is narrow.
        table.add_column(title, no_wrap=True, min_width=max(len(title), *(len(line[place]) for line in lines)))
    table.add_column("BECAUSE", overflow="ellipsis", no_wrap=True)
    for row, line in zip(rows, lines, strict=True):
        table.add_row(*line, row.because)
    return table


def _short_release(row: Row) -> str:
    """The part of the release's name that the app's name does not say already."""
    if row.release is None:
        return "-"
    return row.release.removeprefix(f"{row.app}-") if row.release.startswith(f"{row.app}-") else row.release


def _details(row: Row, now: float) -> list[object]:
    from rich.table import Table
    from rich.text import Text

    from controller.cli.screen import VERDICT_COLOURS
    from controller.cli.view import seconds, span

    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("release", row.release or "none")
    facts.add_row("because", row.because)
    if row.held:
        until = seconds(row.held.get("until"))
        when = f"in {span(until - now)}: " if until is not None else ""
        facts.add_row("held", f"{row.held['reason']}; {when}{row.held.get('then') or ''}")
    if row.cause:
        facts.add_row("cause", row.cause)
    parts: list[object] = [Text(), facts]
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
