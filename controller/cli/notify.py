"""`nightferry notify`: one notice by one notifier of the configuration, to see that it arrives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controller.outside.settings import NotifierSettings
    from controller.requests.outside import Deliver


def notify(
    test: Annotated[str, typer.Option("--test", metavar="NAME", help="The notifier, by its name.")],
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The controller's own YAML.")],
) -> None:
    """Send a test notice, once and now, and say what became of it."""
    from controller.cli.ends import FAILED, Refusal
    from controller.cli.screen import say, warn
    from controller.configuration import read_configuration
    from controller.loop import SystemClock
    from controller.outside.courier import sender_of
    from policies.load import PolicyRefused

    try:
        notifiers = read_configuration(config).notifiers
    except PolicyRefused as error:
        raise Refusal(*map(str, error.errors)) from None
    clock = SystemClock()
    found = _named(notifiers, test, config)
    outcome = sender_of(found, clock).send(_notice(found, clock.now()))
    if outcome.state == "sent":
        say(f"sent a test notice by {found.key}: {outcome.because}")
        return
    more = "; see that it runs, and that this machine may reach it" if outcome.state == "later" else ""
    warn(f"nightferry: {found.key} was not told: {outcome.because}{more}")
    raise typer.Exit(FAILED)


def _named(notifiers: tuple[NotifierSettings, ...], name: str, config: Path) -> NotifierSettings:
    from controller.cli.ends import Refusal

    found = next((one for one in notifiers if name in (one.name, one.key)), None)
    if found is None:
        known = ", ".join(sorted(one.name for one in notifiers)) or "none"
        raise Refusal(f"no notifier {name} in {config}; its notifiers: {known}")
    return found


def _notice(notifier: NotifierSettings, now: float) -> Deliver:
    from controller.release.instants import rfc3339
    from controller.requests.outside import Deliver

    told = {"event": "test", "at": rfc3339(now), "app": "nightferry", "namespace": "default", "release": "test"}
    told |= {"because": "somebody asked for it by `nightferry notify --test`", "requestedBy": "a person"}
    return Deliver(notifier.key, f"test-{now:.3f}", told)
