"""The ways back after a release has ended: `rollback` to the version before, `restore` where a person was needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.access import Access, Object


def rollback(
    app: options.App,
    reason: options.Reason = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """After a success: bring the version before it back, as a release of its own. Asks no gate."""
    from controller.cli.access import Access, name_of, phase
    from controller.cli.ends import Refusal
    from controller.cli.waiting import patience

    seconds = patience(timeout, wait=wait)
    access = Access.open(namespace, kubeconfig, context)
    releases = at_rest(access, app)
    good = next((one for one in releases if phase(one) == "Succeeded"), None)
    if good is None:
        _known(access, app)
        raise Refusal(f"app {app} has no release that succeeded: there is no version to go back to")
    _ask(access, app, {"rollbackOf": name_of(good)}, reason, wait=wait, seconds=seconds, restore=False)


def restore(
    app: options.App,
    reason: options.Reason = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Bring the incumbent back to its full size where a release ended in need of a person."""
    from controller.cli.access import Access
    from controller.cli.ends import Refusal
    from controller.cli.waiting import patience

    seconds = patience(timeout, wait=wait)
    access = Access.open(namespace, kubeconfig, context)
    releases = at_rest(access, app)
    of = _stranded(releases) or _claimed(access, app, releases)
    if of is None:
        _known(access, app)
        raise Refusal(f"nothing to restore: no release of {app} waits for a person or left its mark on a Deployment")
    _ask(access, app, {"restoreOf": of}, reason, wait=wait, seconds=seconds, restore=True)


def at_rest(access: Access, app: str) -> list[Object]:
    """The app's releases, newest first; refuses while one of them is under way."""
    from controller.cli.access import current, ended, name_of, phase
    from controller.cli.ends import Refusal

    releases = access.releases(app)
    latest = current(releases)
    if latest is not None and not ended(latest):
        raise Refusal(
            f"release {name_of(latest)} is under way ({phase(latest)}); `nightferry abort {app}` turns it back"
        )
    return releases


def _stranded(releases: list[Object]) -> str | None:
    """The newest release that needs a person and was not restored since."""
    from controller.cli.access import name_of, phase

    for one in releases:
        if phase(one) == "NeedsHuman":
            restored = any(
                (other.get("spec") or {}).get("restoreOf") == name_of(one) and phase(other) == "RolledBack"
                for other in releases
            )
            return None if restored else name_of(one)
    return None


def _claimed(access: Access, app: str, releases: list[Object]) -> str | None:
    """The release whose claim is left on one of the app's Deployments, even if its record is gone."""
    from controller.cli.access import phase
    from controller.release.names import CLAIM_ANNOTATION
    from controller.slots import read_claim
    from controller.strategies import strategy_of
    from policies.load import PolicyRefused, from_object

    settled = {one["metadata"].get("uid") for one in releases if phase(one) in ("Succeeded", "RolledBack")}
    obj = access.policy(app)
    if obj is None:
        return None
    try:
        policy = from_object(obj)
    except PolicyRefused:
        return None
    for name in strategy_of(policy.spec).slot_names(policy.spec.target.deployment):
        annotations = ((access.deployment(name) or {}).get("metadata") or {}).get("annotations") or {}
        claim = read_claim(annotations.get(CLAIM_ANNOTATION))
        # The claim of a release that ended well is about to be taken away; it strands nobody.
        if claim is not None and claim.uid not in settled:
            return claim.release
    return None


def _known(access: Access, app: str) -> None:
    from controller.cli.release import known_policy

    known_policy(access, app)


def _ask(
    access: Access,
    app: str,
    spec: dict[str, Any],
    reason: str | None,
    *,
    wait: bool,
    seconds: float | None,
    restore: bool,
) -> None:
    from controller.cli.access import name_of
    from controller.cli.release import asked
    from controller.cli.screen import say
    from controller.cli.waiting import wait_for_end

    _known(access, app)
    told = {"reason": reason} if reason else {}
    made = access.create_release(asked(access, app, {**spec, **told}))
    of = next(iter(spec.values()))
    say(f"release {access.namespace}/{name_of(made)} asked for: {'restore' if restore else 'rollback'} of {of}")
    if wait:
        raise typer.Exit(wait_for_end(access, made, seconds, restore=restore))
