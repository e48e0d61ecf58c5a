"""`nightferry train`: the night of a train as a table that redraws itself, or as JSON."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import options
from controller.cli.status import Output

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from controller.cli.access import Access

Object = Mapping[str, Any]
_COLOURS = {"Refused": "bold red", "Stopped": "yellow", "Recalling": "bold yellow", "Open": "green", "Frozen": "cyan"}


def train(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The train; default: all, a line each.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and redraw.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show the night of a train: who has left, who waits and for what, and whether the line is stopped."""
    from controller.cli.access import Access

    access = Access.open(namespace, kubeconfig, context)
    if watch:
        _watch(access, name, output)
    elif output is Output.JSON:
        _print_json(access, name)
    else:
        from controller.cli.screen import console, print_plain, say

        trains = _trains(access, name)
        if not trains:
            say(f"no trains in namespace {access.namespace}")
            return
        screen = console()
        print_plain(screen, _drawn(trains, _phases(access, name), screen.width, one=name is not None))


def _trains(access: Access, name: str | None) -> list[Object]:
    """The trains of the namespace, or the one of this name. Raises Refusal where there is none."""
    from controller.cli.access import name_of
    from controller.cli.ends import Refusal

    found = sorted(access.trains(), key=name_of)
    if name is None:
        return found
    one = [each for each in found if name_of(each) == name]
    if not one:
        known = ", ".join(map(name_of, found)) or "none"
        raise Refusal(f"no train {name} in namespace {access.namespace}; its trains: {known}")
    return one


def _phases(access: Access, name: str | None) -> Mapping[str, Object]:
    """The status of each release by its uid, where one train is looked at."""
    releases = access.releases() if name is not None else []
    return {str(each["metadata"].get("uid")): each.get("status") or {} for each in releases}


def _print_json(access: Access, name: str | None) -> None:
    import json

    from controller.cli.access import name_of

    told = [{"namespace": access.namespace, "train": name_of(one), **(one.get("status") or {})}
            for one in _trains(access, name)]  # fmt: skip
    print(json.dumps(told, indent=2, ensure_ascii=False), flush=True)


def _watch(access: Access, name: str | None, output: Output) -> None:
    """Redraws until Ctrl-C; without a terminal it prints whenever something changed."""
    from rich.live import Live

    from controller.cli.ends import Unanswered
    from controller.cli.screen import console, print_plain, warn

    never, screen = threading.Event(), console()
    last: object = None
    if output is Output.JSON or not screen.is_terminal:
        while True:
            try:
                trains, phases = _trains(access, name), _phases(access, name)
            except Unanswered as error:
                warn(f"nightferry: the cluster does not answer: {error}")
                access.clock.wait(never, 2.0)
                continue
            seen = [(each.get("status"), each["metadata"].get("uid")) for each in trains]
            if seen != last:
                last = seen
                if output is Output.JSON:
                    _print_json(access, name)
                else:
                    print_plain(screen, _drawn(trains, phases, screen.width, one=name is not None))
            access.clock.wait(never, 2.0)
    with Live(console=screen, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        while True:
            try:
                drawn = _drawn(_trains(access, name), _phases(access, name), screen.width, one=name is not None)
                live.update(drawn, refresh=True)
            except Unanswered as error:
                live.update(f"the cluster does not answer: {error}", refresh=True)
            access.clock.wait(never, 1.0)


def _drawn(trains: Sequence[Object], phases: Mapping[str, Object], width: int, *, one: bool) -> Group:
    from rich.console import Group
    from rich.text import Text

    lines = [_heading(each) for each in trains]
    if one:
        lines += [Text(), *_cars(trains[0], phases)]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def _heading(train: Object) -> Text:
    from rich.text import Text

    from controller.cli.access import name_of

    status: Object = train.get("status") or {}
    phase = str(status.get("phase") or "Unknown")
    night = (status.get("night") or {}).get("id")
    text = Text(f"train {name_of(train)}  ", style="bold")
    text.append(phase, style=_COLOURS.get(phase, "dim"))
    text.append(f"  night {night}: {status.get('counts')}" if night else "  no night yet", style="not bold")
    text.append(f"  {status.get('because') or 'waits for the controller'}", style="not bold")
    return text


def _cars(train: Object, phases: Mapping[str, Object]) -> Iterator[Text]:
    """A line for each release of the night: those that have left in their order, then those that wait."""
    from rich.text import Text

    from controller.cli.screen import PHASE_COLOURS

    night: Object = (train.get("status") or {}).get("night") or {}
    lines = [("CAR", "RELEASE", "LEFT", "STANDS", "BECAUSE")]
    for each in night.get("departed") or ():
        status = phases.get(each["uid"], {})
        stands = str(status.get("phase") or each.get("ended") or "gone")
        lines.append((each["policy"], each["release"], each["at"], stands, str(status.get("because") or "")))
    for each in night.get("waiting") or ():
        lines.append((each["policy"], each["release"], "-", "waits", each["because"]))
    if len(lines) == 1:
        yield Text("nothing has left, and nothing waits", style="dim")
        return
    widths = [max(len(line[place]) for line in lines) for place in range(4)]
    for number, line in enumerate(lines):
        text = Text("  ".join(cell.ljust(size) for cell, size in zip(line[:3], widths[:3], strict=True)))
        text.append("  " + line[3].ljust(widths[3]), style=PHASE_COLOURS.get(line[3], ""))
        text.append("  " + line[4])
        if not number:
            text.stylize("bold")
        yield text
