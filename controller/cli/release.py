"""`nightferry release`: asks for a release of an app, by image, environment or template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.access import Access, Object
    from policies.schema import ReleasePolicy


def release(
    app: options.App,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="[CONTAINER=]IMAGE", help="The new image; once for each container."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="CONTAINER:NAME=VALUE", help="An environment variable; may be repeated."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="FILE", help="A Deployment, or a merge patch of its pod template (YAML)."),
    ] = None,
    config: Annotated[
        bool, typer.Option("--config", help="The ConfigMaps of the policy as they are now, and nothing else.")
    ] = False,
    reason: options.Reason = None,
    skip_gates: Annotated[
        bool, typer.Option("--skip-gates", help="The emergency door: no metric gates; needs --reason.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="The urgent door: no window, freeze or train is waited for; needs --reason.")
    ] = False,
    not_before: Annotated[
        str | None,
        typer.Option("--not-before", metavar="TIME", help="Wait for this time first, such as 2026-11-24T01:00:00Z."),
    ] = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Ask for a release of an app.

    With --wait: exit code 0 succeeded, 3 rolled back, 4 needs a person, 5 still running, 2 refused.
    """
    from controller.cli.access import Access, current, ended, name_of, phase
    from controller.cli.ends import Refusal
    from controller.cli.screen import say
    from controller.cli.waiting import patience, wait_for_end
    from controller.release.vocabulary import Phase

    seconds = patience(timeout, wait=wait)
    if not (image or env or template or config):
        raise Refusal("a release changes something: give --image, --env, --template or --config")
    if skip_gates and not reason:
        raise Refusal("--skip-gates needs --reason: it is recorded and reported")
    if now and not reason:
        raise Refusal("--now needs --reason: it is recorded and reported")
    patch = _template(template) if template is not None else None
    access = Access.open(namespace, kubeconfig, context)
    policy = valid_policy(access, app)
    spec = _spec(access, policy, image or [], env or [], patch)
    if config:
        spec["config"] = "live"
    if reason:
        spec["reason"] = reason
    if skip_gates:
        spec["skipGates"] = {"reason": reason}
    if now:
        spec["now"] = {"reason": reason}
    if not_before is not None:
        spec["notBefore"] = not_before
    manifest = asked(access, app, spec)
    before = current(access.releases(app))
    made = access.create_release(manifest)
    say(f"release {access.namespace}/{name_of(made)} asked for")
    if before is not None and not ended(before):
        waits = phase(before) == Phase.QUEUED
        what = "waits: this one takes its place" if waits else "is under way: it is turned back first"
        say(f"release {name_of(before)} {what}")
    if not now and (told := _waits(policy, manifest, access.clock.now())):
        say(told)
    if wait:
        raise typer.Exit(wait_for_end(access, made, seconds))


def asked(access: Access, app: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The Release object to create, proven against the schema. Raises Refusal."""
    from controller.cli.ends import Refusal
    from controller.release.names import GROUP
    from policies.load import PolicyRefused, release_from_object

    manifest = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Release",
        "metadata": {"generateName": f"{app[:57].rstrip('.')}-", "namespace": access.namespace},
        "spec": {"policy": app, **spec, "requestedBy": access.user},
    }
    try:
        # The server completes the name, so the schema sees the object with one.
        release_from_object({**manifest, "metadata": {"name": "release", "namespace": access.namespace}})
    except PolicyRefused as error:
        raise Refusal(*(f"{one.path}: {one.message}" for one in error.errors)) from None
    return manifest


def known_policy(access: Access, app: str) -> Object:
    """The policy object of an app. Raises Refusal where there is none."""
    from controller.cli.access import name_of
    from controller.cli.ends import Refusal
    from policies.translate import meant

    policy = access.policy(app)
    if policy is None:
        names = sorted(name_of(one) for one in access.policies())
        known = f"its policies: {', '.join(names)}" if names else "it has none: say -n NAMESPACE, or apply one"
        raise Refusal(f"no policy {app} in namespace {access.namespace}; {known}{meant(app, names)}")
    return policy


def valid_policy(access: Access, app: str) -> ReleasePolicy:
    """The policy of an app. Raises Refusal where there is none, or none that could be kept."""
    from controller.cli.ends import Refusal
    from policies.load import PolicyRefused, from_object

    try:
        return from_object(known_policy(access, app))
    except PolicyRefused as error:
        first = error.errors[0]
        raise Refusal(f"policy {app} is not valid: {first.path}: {first.message}") from None


def _waits(policy: ReleasePolicy, manifest: Mapping[str, Any], now: float) -> str:
    """When the release leaves, where that is not at once."""
    from controller.cli.hours import leaves
    from policies.windows import Instant

    asked_for = manifest["spec"].get("notBefore")
    return leaves(policy, Instant.read(asked_for).seconds if asked_for is not None else None, now)


def _spec(
    access: Access, policy: ReleasePolicy, images: Sequence[str], env: Sequence[str], patch: Mapping[str, Any] | None
) -> dict[str, Any]:
    from controller.cli.ends import Refusal

    target = policy.spec.target
    deployment = access.deployment(target.deployment)
    if deployment is None:
        raise Refusal(f"deployment {target.deployment} of policy {policy.name} does not exist in {access.namespace}")
    template = (deployment.get("spec") or {}).get("template") or {}
    spec: dict[str, Any] = {}
    if images:
        spec["images"] = _images(images, target.container, template)
    if env:
        spec["env"] = _env(env, template)
    if patch is not None:
        spec["template"] = patch
    return spec


def _containers(template: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of the containers, and of these and the init containers."""
    pod = template.get("spec") or {}
    main = [str(one.get("name")) for one in pod.get("containers") or ()]
    return main, main + [str(one.get("name")) for one in pod.get("initContainers") or ()]


def _images(given: Sequence[str], default: str | None, template: Mapping[str, Any]) -> dict[str, str]:
    from controller.cli.ends import Refusal

    main, every = _containers(template)
    found: dict[str, str] = {}
    for text in given:
        name, separator, image = text.partition("=")
        if not separator:
            name, image = default or (main[0] if len(main) == 1 else ""), text
        if not name:
            raise Refusal(f"--image {text}: which container? Give CONTAINER=IMAGE, one of: {', '.join(main)}")
        if name not in every:
            raise Refusal(f"--image {text}: no container {name}; the Deployment has: {', '.join(every)}")
        if name in found:
            raise Refusal(f"--image {text}: container {name} is given twice")
        found[name] = image
    return found


def _env(given: Sequence[str], template: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    from controller.cli.ends import Refusal

    _, every = _containers(template)
    found: dict[str, dict[str, str]] = {}
    for text in given:
        place, equals, value = text.partition("=")
        container, colon, name = place.partition(":")
        if not (equals and colon and container and name):
            # The value may be a secret: it is not shown.
            raise Refusal(f"--env {place}: allowed: CONTAINER:NAME=VALUE")
        if container not in every:
            raise Refusal(f"--env {place}: no container {container}; the Deployment has: {', '.join(every)}")
        found.setdefault(container, {})[name] = value
    return found


def _template(file: str) -> dict[str, Any]:
    """The merge patch in a file. A whole Deployment replaces the pod's spec; its labels are merged."""
    from controller.cli.ends import Refusal
    from policies.yaml_tree import MOST_BYTES, YamlReader

    try:
        with Path(file).open("rb") as stream:
            text = stream.read(MOST_BYTES + 1).decode()
    except OSError as error:
        raise Refusal(f"--template {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refusal(f"--template {file}: found bytes that are not UTF-8") from None
    reader = YamlReader(file)
    trees = reader.read(text)
    if reader.errors:
        raise Refusal(*(str(error) for error in reader.errors))
    if len(trees) != 1 or not isinstance(trees[0].data, dict):
        raise Refusal(f"--template {file}: allowed: one document, a Deployment or a pod template")
    data = trees[0].data
    if data.get("kind") in (None, "PodTemplate"):
        return dict(data.get("template") or data) if data.get("kind") else dict(data)
    if data.get("kind") != "Deployment":
        raise Refusal(f"--template {file}: found kind {data.get('kind')}; allowed: Deployment, or a pod template")
    template = (data.get("spec") or {}).get("template") or {}
    pod = template.get("spec") if isinstance(template, dict) else None
    if not isinstance(pod, dict):
        raise Refusal(f"--template {file}: the Deployment has no spec.template.spec")
    kept = {key: value for key, value in (template.get("metadata") or {}).items() if key in ("labels", "annotations")}
    return {**({"metadata": kept} if kept else {}), "spec": {**pod, "$patch": "replace"}}
