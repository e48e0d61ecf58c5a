"""`nightferry report`: what left, what arrived, what came back and why, as Markdown, JSON or one HTML file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.access import Access
    from controller.morning import Report


class Form(StrEnum):
    """The forms of a report."""

    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


_SUFFIXES = {".md": Form.MARKDOWN, ".json": Form.JSON, ".html": Form.HTML}


def report(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="How far back, such as 12h or 7d.")] = "12h",
    train: Annotated[
        str | None, typer.Option("--train", metavar="NAME", help="The last night of one train, instead of --since.")
    ] = None,
    format: Annotated[
        Form | None,
        typer.Option("--format", help="Default: that of the file, or else markdown; a terminal shows it drawn."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Default: the terminal.")] = None,
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Of the times, such as Europe/Berlin.")] = "UTC",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="The apps of all namespaces.")] = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Tell what happened: what left, what arrived, what was rolled back and why, and what waits for a person."""
    from controller.cli.access import Access
    from controller.cli.ends import Refusal

    if everywhere and namespace is not None:
        raise Refusal("--all-namespaces and --namespace exclude each other")
    if everywhere and train is not None:
        raise Refusal("--all-namespaces and --train exclude each other: a train is of one namespace")
    length = _length(since)
    _known_zone(zone)
    form = form_of(output) if output is not None and format is None else format
    access = Access.open(namespace, kubeconfig, context)
    found = _of_time(access, length, zone, everywhere=everywhere) if train is None else _of_train(access, train, zone)
    if output is not None:
        write_report(found, output, form)
    elif form is not None or not _on_a_screen(found):
        print(written(found, form or Form.MARKDOWN), end="")


def _on_a_screen(found: Report) -> bool:
    """Draw the report as a terminal shows a text -> True, or False where there is no terminal."""
    from rich.markdown import Markdown

    from controller.cli.screen import console, print_plain
    from controller.morning import markdown

    screen = console()
    if screen.is_terminal:
        print_plain(screen, Markdown(markdown(found), hyperlinks=False))
    return screen.is_terminal


def form_of(file: Path) -> Form:
    """The form that a file's name asks for. Raises Refusal for a name that asks for none."""
    from controller.cli.ends import Refusal

    if (form := _SUFFIXES.get(file.suffix.lower())) is None:
        raise Refusal(f"{file}: found no known ending; allowed: {', '.join(_SUFFIXES)}, or --format")
    return form


def written(report: Report, form: Form) -> str:
    """The report as text of that form."""
    from controller.morning import html, markdown, to_json

    if form is Form.JSON:
        return to_json(report) + "\n"
    return html(report) if form is Form.HTML else markdown(report)


def write_report(report: Report, file: Path, form: Form | None = None) -> None:
    """Write a report to a file. Raises Refusal where that cannot be done."""
    from controller.cli.ends import Refusal

    text = written(report, form or form_of(file))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror}") from None


def _of_time(access: Access, length: float, zone: str, *, everywhere: bool) -> Report:
    from controller.morning import report_of

    now = access.clock.now()
    where = "all namespaces" if everywhere else f"namespace {access.namespace}"
    return report_of(
        access.releases(everywhere=everywhere),
        access.trains(everywhere=everywhere),
        since=now - length,
        until=now,
        made=now,
        title=f"Releases of {where}",
        zone=zone,
    )


def _of_train(access: Access, name: str, zone: str) -> Report:
    from controller.cli.ends import Refusal
    from controller.morning import report_of_train

    trains = access.trains()
    train = next((one for one in trains if one["metadata"].get("name") == name), None)
    if train is None:
        known = ", ".join(sorted(str(one["metadata"].get("name")) for one in trains)) or "none"
        raise Refusal(f"no train {name} in namespace {access.namespace}; its trains: {known}")
    found = report_of_train(train, access.releases(), access.clock.now(), zone)
    if found is None:
        raise Refusal(f"train {name} has had no night yet")
    return found


def _length(text: str) -> float:
    from controller.cli.ends import Refusal
    from policies.values import Duration

    try:
        seconds = float(Duration.of(text).seconds)
    except ValueError:
        seconds = 0.0
    if seconds <= 0.0:
        raise Refusal(f"--since: found '{text}'; allowed: a time up to 30d, such as 12h or 7d")
    return seconds


def _known_zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from controller.cli.ends import Refusal

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refusal(f"--zone: found '{name}'; allowed: a time zone such as UTC or Europe/Berlin") from None
