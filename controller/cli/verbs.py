"""What people ask of a release that is under way: pause, resume, promote, abort. Each is a field of its spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.access import Access, Object

_WAITS = frozenset({"Manual", "Undecided"})


def pause(
    app: options.App,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Hold the app's release where it is; `resume` goes on."""
    from controller.cli.access import Access, name_of, phase
    from controller.cli.ends import Refusal

    access = Access.open(namespace, kubeconfig, context)

    def wanted(release: Object) -> Object | None:
        if phase(release) == "RollingBack":
            raise Refusal(f"release {name_of(release)} is turning back, and a way back is not paused")
        return None if release["spec"].get("paused") else {"paused": True}

    _write(access, app, wanted, "is paused", "was paused already")


def resume(
    app: options.App,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Let a paused release go on."""
    from controller.cli.access import Access, name_of
    from controller.cli.ends import Refusal

    access = Access.open(namespace, kubeconfig, context)

    def wanted(release: Object) -> Object | None:
        if release["spec"].get("paused"):
            return {"paused": False}
        held = (release.get("status") or {}).get("held")
        if held:
            raise Refusal(
                f"release {name_of(release)} is not paused; it is held: {held.get('reason')}: {held.get('because')}"
            )
        return None

    _write(access, app, wanted, "goes on", "was not paused")


def promote(
    app: options.App,
    now: Annotated[
        bool, typer.Option("--now", help="Also where the stage does not wait: the rest of its observation is skipped.")
    ] = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Let the stage that waits for a person go on to the next batch."""
    from controller.cli.access import Access

    access = Access.open(namespace, kubeconfig, context)

    def wanted(release: Object) -> Object | None:
        stage = _waiting_stage(release, now=now)
        return None if (release["spec"].get("promote") or {}).get("batch") == stage else {"promote": {"batch": stage}}

    _write(access, app, wanted, "is promoted", "was promoted already")


def abort(
    app: options.App,
    reason: options.Reason = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Turn the app's release back to the incumbent."""
    from controller.cli.access import Access

    access = Access.open(namespace, kubeconfig, context)
    told = reason or f"asked by {access.user}"

    def wanted(release: Object) -> Object | None:
        turning = (release.get("status") or {}).get("phase") == "RollingBack"
        return None if turning or release["spec"].get("abort") else {"abort": {"reason": told}}

    _write(access, app, wanted, "turns back", "turns back already")


def _waiting_stage(release: Object, *, now: bool) -> int:
    """The stage that may go on. Raises Refusal where none waits for a person, with what to do instead."""
    from controller.cli.access import name_of, phase
    from controller.cli.ends import Refusal

    status = release.get("status") or {}
    name, held = name_of(release), status.get("held") or {}
    if phase(release) not in ("Canary", "Batch"):
        raise Refusal(f"release {name} is in phase {phase(release)}: there is no stage to promote")
    stage = int((status.get("batch") or {}).get("index", 0))
    own = (status.get("batch") or {}).get("name")
    called = f"its stage {own}" if own else "its canary" if stage == 0 else f"its batch {stage}"
    reason = held.get("reason")
    if reason in _WAITS or (now and reason is None):
        return stage
    if reason is None:
        raise Refusal(
            f"release {name} does not wait for a person: {called} is being moved or watched "
            f"({status.get('because')}); `promote --now` skips the rest of it"
        )
    if reason == "PausedByPerson":
        raise Refusal(f"release {name} is paused: `nightferry resume {release['spec']['policy']}` lets it go on")
    raise Refusal(f"release {name} is held for another reason, {reason}: {held.get('because')}")


def _write(access: Access, app: str, wanted: Callable[[Object], Object | None], done: str, idle: str) -> None:
    """Writes the wish into the app's active release and says so in one line."""
    from controller.cli.access import ended, name_of
    from controller.cli.ends import Refusal
    from controller.cli.screen import say

    target = active(access, app)
    changed = False

    def judged(release: Object) -> Object | None:
        nonlocal changed
        if ended(release):
            raise Refusal(over(release, app))
        spec = wanted(release)
        changed = spec is not None
        return spec

    access.patch_release(name_of(target), judged)
    say(f"release {access.namespace}/{name_of(target)} {done if changed else idle}")


def active(access: Access, app: str) -> Object:
    """The app's release that is under way. Raises Refusal where there is none."""
    from controller.cli.access import current, ended
    from controller.cli.ends import Refusal
    from controller.cli.release import known_policy

    found = current(access.releases(app))
    if found is None:
        known_policy(access, app)
        raise Refusal(f"app {app} has no release under way, and never had one")
    if ended(found):
        raise Refusal(over(found, app))
    return found


def over(release: Object, app: str) -> str:
    """The sentence that a release has ended, with what can still be done."""
    from controller.cli.access import name_of, phase

    ways: dict[str, Any] = {"Succeeded": "rollback", "NeedsHuman": "restore"}
    way = ways.get(phase(release))
    hint = f"; `nightferry {way} {app}` brings the version before it back" if way else ""
    return f"app {app} has no release under way: the last one, {name_of(release)}, ended {phase(release)}{hint}"
