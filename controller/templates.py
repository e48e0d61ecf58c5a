"""Pod templates: the contender's template, made from the incumbent's and the changes that a release asks for.

`merge` is the strategic merge patch of Kubernetes for pod templates: maps merge, null deletes, lists of named things
merge by their key, other lists are replaced; an element with `$patch: delete` goes. Merge keys are those of the
Kubernetes API conventions (core/v1 `patchMergeKey`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}


class TemplateRefused(ValueError):
    """The release asks for a change that this app's template cannot take; the message says what to do."""


def merge(base: Any, patch: Any, field: str = "") -> Any:
    """`base` with the strategic merge patch `patch` applied; neither argument is changed."""
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        if patch.get("$patch") == "replace":
            return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
        merged = {key: copy.deepcopy(value) for key, value in base.items()}
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = merge(merged.get(key), value, key)
        return merged
    if isinstance(base, list) and isinstance(patch, list) and field in MERGE_KEYS:
        return _merge_named(base, patch, field, MERGE_KEYS[field])
    if isinstance(patch, Mapping):
        return merge({}, patch, field)
    return copy.deepcopy(patch)


def _merge_named(base: list[Any], patch: list[Any], field: str, key: str) -> list[Any]:
    merged = copy.deepcopy(base)
    for element in patch:
        if not isinstance(element, Mapping) or key not in element:
            raise TemplateRefused(f"template: an element of {field} has no {key!r}; name the one it changes")
        at = next((n for n, old in enumerate(merged) if old.get(key) == element[key]), None)
        if element.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(merge({}, element, field))
        else:
            merged[at] = merge(merged[at], element, field)
    return merged


def changed(
    template: Mapping[str, Any],
    *,
    images: Mapping[str, str],
    env: Mapping[str, Mapping[str, str]],
    patch: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The live template with a release's changes.

    Raises TemplateRefused where a change names a container that the template does not have.
    """
    result: dict[str, Any] = merge(template, patch or {})
    spec = result.get("spec") or {}
    named = {c.get("name"): c for c in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]}
    for container in [*images, *env]:
        if container not in named:
            raise TemplateRefused(
                f"container {container!r} is not in the pod template; it has {', '.join(sorted(map(str, named)))}"
            )
    for container, image in images.items():
        named[container]["image"] = image
    for container, variables in env.items():
        named[container]["env"] = _with_variables(named[container].get("env") or (), variables)
    return result


def _with_variables(before: Iterable[Mapping[str, Any]], variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each variable in the place where it stood: one below it may refer to it as $(NAME), and only to those above."""
    wanted = {name: {"name": name, "value": value} for name, value in variables.items()}
    kept = [dict(wanted.get(str(old.get("name")), old)) for old in before]
    names = {each.get("name") for each in kept}
    return kept + [each for name, each in wanted.items() if name not in names]


def images(template: Mapping[str, Any]) -> dict[str, str]:
    """Container name -> image, init containers included."""
    spec = template.get("spec") or {}
    both = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return {str(container.get("name")): str(container.get("image", "")) for container in both}
