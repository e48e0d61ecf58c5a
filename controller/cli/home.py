"""The way out of Nightferry: an app goes back to its first Deployment, and the second one is removed.

The controller moves the pods; it never deletes a Deployment. The person who asks does that, with the rights of a
person, and only while the second Deployment is ours, empty and as it was looked at.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.access import Access, Object

_PATIENCE = 60.0  # seconds until the last pods are gone and the claims of the release are taken away


def home(
    app: options.App,
    reason: options.Reason = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Bring an app back to its first Deployment, in batches, and remove the second one."""
    from controller.cli.access import Access, name_of
    from controller.cli.back import at_rest
    from controller.cli.release import asked
    from controller.cli.screen import say
    from controller.cli.waiting import patience, wait_for_end

    seconds = patience(timeout, wait=wait)
    access = Access.open(namespace, kubeconfig, context)
    at_rest(access, app)
    first, second = _slots(access, app)
    if second is None:
        say(f"app {access.namespace}/{app} is at home: {first} is its only Deployment")
        return
    if _pods(second) > 0:
        told = {"reason": reason} if reason else {}
        made = access.create_release(asked(access, app, {"home": True, **told}))
        say(f"release {access.namespace}/{name_of(made)} asked for: home to {first}")
        if not wait:
            say(f"run `nightferry home {app}` again once it has succeeded: then {name_of(second)} is removed")
            return
        code = wait_for_end(access, made, seconds)
        if code:
            raise typer.Exit(code)
    _remove(access, app, name_of(second))


def _slots(access: Access, app: str) -> tuple[str, Object | None]:
    """(the name of the first Deployment, the second one where there is one). Raises Refusal without a legal policy."""
    from controller.cli.ends import Refusal
    from controller.cli.release import known_policy
    from controller.strategies import strategy_of
    from policies.load import PolicyRefused, from_object

    try:
        spec = from_object(known_policy(access, app)).spec
    except PolicyRefused as error:
        raise Refusal(f"policy {app} is refused: {error.errors[0]}") from None
    names = strategy_of(spec).slot_names(spec.target.deployment)
    return names[0], access.deployment(names[1]) if len(names) > 1 else None


def _pods(deployment: Object) -> int:
    """Pods that are ordered or still there."""
    ordered = (deployment.get("spec") or {}).get("replicas")
    return max(1 if ordered is None else int(ordered), int((deployment.get("status") or {}).get("replicas") or 0))


def _remove(access: Access, app: str, name: str) -> None:
    """Deletes the second Deployment once it is empty and nobody's."""
    from controller.cli.access import name_of
    from controller.cli.ends import Refusal
    from controller.cli.screen import say
    from controller.release.names import CLAIM_ANNOTATION

    patience = access.clock.monotonic() + _PATIENCE
    while (found := access.deployment(name)) is not None:
        metadata = found.get("metadata") or {}
        if (metadata.get("labels") or {}).get("app.kubernetes.io/managed-by") != "nightferry":
            raise Refusal(f"Deployment {name} was not made by nightferry: it is left alone")
        free = CLAIM_ANNOTATION not in (metadata.get("annotations") or {})
        if free and _pods(found) == 0:
            access.delete_deployment(found)
            say(f"app {access.namespace}/{app} is at home; {name_of(found)} is removed")
            return
        if access.clock.monotonic() >= patience:
            what = f"still has {_pods(found)} pods" if _pods(found) else "is still claimed by a release"
            raise Refusal(f"Deployment {name} {what}: run `nightferry home {app}` again in a moment")
        access.clock.wait(threading.Event(), 1.0)
