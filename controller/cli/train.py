"""`nightferry train`: the night of a train as a table that redraws itself, or as JSON."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

        look = _look(access, name)
        if not look.trains:
            say(f"no trains in namespace {access.namespace}")
            return
        screen = console()
        print_plain(screen, _drawn(look, screen.width, one=name is not None))


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


@dataclass(frozen=True, slots=True)
class _Look:
    """The trains; and where it is one, the releases of its namespace, and the policies that ride."""

    trains: Sequence[Object]
    releases: Sequence[Object] = ()
    riders: frozenset[str] = frozenset()


def _look(access: Access, name: str | None) -> _Look:
    trains = _trains(access, name)
    return _Look(trains) if name is None else _Look(trains, access.releases(), _riders(access, trains[0]))


def _riders(access: Access, train: Object) -> frozenset[str]:
    """The policies that ride a train, also by their labels; none of one that is refused."""
    from controller.cli.access import name_of
    from policies.cars import order_of
    from policies.load import PolicyRefused, train_from_object

    try:
        spec = train_from_object(train).spec
    except PolicyRefused:
        return frozenset()
    return frozenset(order_of(spec, {name_of(one): one["metadata"].get("labels") or {} for one in access.policies()}))


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
                look = _look(access, name)
            except Unanswered as error:
                warn(f"nightferry: the cluster does not answer: {error}")
                access.clock.wait(never, 2.0)
                continue
            seen = [(each.get("status"), each["metadata"].get("uid")) for each in look.trains]
            if seen != last:
                last = seen
                if output is Output.JSON:
                    _print_json(access, name)
                else:
                    print_plain(screen, _drawn(look, screen.width, one=name is not None))
            access.clock.wait(never, 2.0)
    with Live(console=screen, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        while True:
            try:
                live.update(_drawn(_look(access, name), screen.width, one=name is not None), refresh=True)
            except Unanswered as error:
                live.update(f"the cluster does not answer: {error}", refresh=True)
            access.clock.wait(never, 1.0)


def _drawn(look: _Look, width: int, *, one: bool) -> Group:
    from rich.console import Group
    from rich.text import Text

    lines = [_heading(each, one=one) for each in look.trains]
    if one:
        return Group(*lines, *_below(_because(look.trains[0]), width), Text(), *_cars(look, width))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def _heading(train: Object, *, one: bool) -> Text:
    from rich.text import Text

    from controller.cli.access import name_of

    status: Object = train.get("status") or {}
    phase = str(status.get("phase") or "Unknown")
    night = (status.get("night") or {}).get("id")
    text = Text(f"train {name_of(train)}  ", style="bold")
    text.append(phase, style=_COLOURS.get(phase, "dim"))
    text.append(f"  night {night}: {status.get('counts')}" if night else "  no night yet", style="not bold")
    if not one:
        text.append(f"  {_because(train)}", style="not bold")
    return text


def _because(train: Object) -> str:
    return str((train.get("status") or {}).get("because") or "waits for the controller")


def _cars(look: _Look, width: int) -> Iterator[Text]:
    """Two lines for each release of the night: those that have left in their order, then those that wait.

    What is asked for by day stands in no night yet; it waits all the same.
    """
    from rich.text import Text

    from controller.cli.screen import PHASE_COLOURS

    train, releases = look.trains[0], look.releases
    night: Object = (train.get("status") or {}).get("night") or {}
    zone = str(((train.get("spec") or {}).get("window") or {}).get("zone") or "UTC")
    known = {str(each["metadata"].get("uid")): each.get("status") or {} for each in releases}
    rows = [(("CAR", "RELEASE", f"LEFT ({zone})", "STANDS"), "")]
    for each in night.get("departed") or ():
        status = known.get(each["uid"], {})
        stands = str(status.get("phase") or each.get("ended") or "gone")
        because = _taken_back(each["release"], releases) or str(status.get("because") or "")
        rows.append(((each["policy"], each["release"], _clock(each["at"], zone), stands), because))
    for each in night.get("waiting") or ():
        rows.append(((each["policy"], each["release"], "-", "waits"), each["because"]))
    listed = {each["uid"] for key in ("departed", "waiting") for each in night.get(key) or ()}
    for each in reversed(releases):
        if each["metadata"].get("uid") not in listed and _waits(each, look.riders):
            rows.append(((each["spec"]["policy"], str(each["metadata"]["name"]), "-", "waits"), _standing(each)))
    if len(rows) == 1:
        yield Text("nothing has left, and nothing waits", style="dim")
        return
    widths = [max(len(cells[place]) for cells, _ in rows) for place in range(4)]
    for number, (cells, because) in enumerate(rows):
        text = Text("  ".join(cell.ljust(size) for cell, size in zip(cells[:3], widths[:3], strict=True)))
        text.append("  " + cells[3], style=PHASE_COLOURS.get(cells[3], ""))
        if not number:
            text.stylize("bold")
        text.truncate(width, overflow="ellipsis")
        yield text
        yield from _below(because, width)


def _waits(release: Object, riders: frozenset[str]) -> bool:
    """Whether a release is to leave with the train: ways back and what is sent off at once ask none."""
    from controller.cli.access import phase
    from controller.release.vocabulary import Phase

    spec: Object = release.get("spec") or {}
    asks = not any(spec.get(key) for key in ("rollbackOf", "restoreOf", "now"))
    return asks and spec.get("policy") in riders and phase(release) == Phase.QUEUED


def _standing(release: Object) -> str:
    status: Object = release.get("status") or {}
    return str((status.get("held") or status).get("because") or "waits for the controller")


def _below(words: str, width: int) -> Iterator[Text]:
    """A sentence in lines that fit, below what it is about."""
    from textwrap import wrap

    from rich.text import Text

    for line in wrap(words, max(width - 2, 20)):
        yield Text(f"  {line}", style="dim")


def _taken_back(release: str, releases: Sequence[Object]) -> str:
    """What becomes of a release that another one takes back, or ""."""
    for each in releases:
        spec: Object = each.get("spec") or {}
        if release in (spec.get("rollbackOf"), spec.get("restoreOf")):
            phase = (each.get("status") or {}).get("phase") or "Queued"
            return f"{each['metadata'].get('name')} takes it back: {phase}"
    return ""


def _clock(stamp: str, zone: str) -> str:
    """A time of the night on the train's own clock."""
    from datetime import datetime
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(ZoneInfo(zone)).strftime("%H:%M:%S")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return stamp
