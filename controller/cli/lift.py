"""`lift`: a version that a release turned back from may be tried again, because a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.access import Object


def lift(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="The release that turned back from the version.")],
    reason: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="Why; recorded and reported.", callback=options.on_one_line),
    ],
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Let a version be tried again that a release turned back from for a fault of the version."""
    from controller.cli.access import Access, name_of
    from controller.cli.ends import Refusal
    from controller.cli.explain import release_named
    from controller.cli.screen import say

    if not reason:
        raise Refusal('--reason: found ""; allowed: a text, such as "the database was upgraded"')
    access = Access.open(namespace, kubeconfig, context)
    name = name_of(release_named(access, release))
    changed, digest = False, ""

    def wanted(one: Object) -> Object | None:
        nonlocal changed, digest
        digest = _version(one)
        changed = not (one.get("spec") or {}).get("lift")
        return {"lift": {"reason": reason}} if changed else None

    access.patch_release(name, wanted)
    done = "may be tried again" if changed else "was free to be tried again already"
    say(f"version {digest} of release {access.namespace}/{name} {done}")


def _version(release: Object) -> str:
    """The version that a release keeps in quarantine, lifted or not. Raises Refusal where it keeps none."""
    from controller.attempt import parsed
    from controller.cli.access import name_of, phase
    from controller.cli.ends import Refusal
    from controller.quarantine import speaks_against
    from controller.record import RecordTooNew
    from controller.release.vocabulary import Cause

    try:
        attempt = parsed(release)
    except RecordTooNew as error:
        raise Refusal(str(error)) from None
    if digest := speaks_against(attempt):
        return digest
    record, name = attempt.record, name_of(release)
    if record.cause is Cause.QUARANTINED:
        raise Refusal(f"release {name} is not the one to lift: {record.because}")
    if not record.ended:
        raise Refusal(f"release {name} is in phase {phase(release)}: it keeps no version from being tried")
    why = (
        f"turned back for {record.turned}, which says nothing of the version" if record.turned else "did not turn back"
    )
    raise Refusal(f"release {name} keeps no version from being tried: it ended {record.phase} and {why}")
