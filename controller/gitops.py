"""Tools that write a field again whenever it differs from their source: who they are, and what makes them stop.

managedFields say who wrote a field last, and not whether it will do so again: a tool that was told to ignore a field
stays there until somebody changes its value. So whoever has told it says so on the object, by an annotation with the
tool's name. A tool that sets the field back all the same ends the release in need of a person, with its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.findings import Finding, Refusal
from controller.release.names import GROUP
from controller.slots import writer_of

IGNORED_BY = f"{GROUP}/ignored-by"

TOOLS = ("argocd", "argocd-application-controller", "argocd-controller", "kustomize-controller", "helm-controller",
         "flux", "fleet-agent", "config-sync", "vela-core")  # fmt: skip


def owned(obj: Mapping[str, Any], fields: Sequence[tuple[str, ...]], *, group: str = "") -> Finding:
    """A refusal where such a tool owns one of the fields (paths such as ("spec", "replicas")) of an object.

    The refusal has the snippet that makes the tool ignore all of them. group: the API group, such as "apps".
    """
    kind, name = obj.get("kind") or "Deployment", (obj.get("metadata") or {}).get("name")
    pointers = ", ".join("/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path) for path in fields)
    told = str(((obj.get("metadata") or {}).get("annotations") or {}).get(IGNORED_BY, "")).replace(",", " ").split()
    for path in fields:
        if (tool := writer_of(obj, *path)) in TOOLS and tool not in told:
            snippet = f"group: {group}, " if group else ""
            return Refusal(
                f"{tool} owns {'.'.join(path)} of {kind} {name} and would set it back in mid-release. Let it ignore "
                f"the field (ignoreDifferences: [{{{snippet}kind: {kind}, name: {name}, jsonPointers: [{pointers}]}}]),"
                f" say so (`kubectl annotate {kind.lower()} {name} {IGNORED_BY}={tool}`), then release again"
            )
    return None
