"""Releases that the controller asks for by itself. Their names follow from why: asking twice asks once."""

from __future__ import annotations

from typing import Any

from controller.release.names import GROUP, AppKey
from controller.requests.writes import CreateRelease

_MOST_OF_POLICY = 40  # characters of the policy's name, so that the rest of a release's name finds room


def release_name(policy: str, *parts: str | int) -> str:
    """A name that begins with the policy's and follows from `parts`."""
    return "-".join((policy[:_MOST_OF_POLICY].rstrip("-."), *map(str, parts)))


def own_release(app: AppKey, name: str, *, reason: str, by: str = "nightferry", **asked: Any) -> CreateRelease:
    """The request for it. `asked`: what it wants, as the fields of a Release's spec are called."""
    return CreateRelease(
        app.namespace,
        {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "Release",
            "metadata": {"name": name, "namespace": app.namespace},
            "spec": {"policy": app.policy, **asked, "requestedBy": by, "reason": reason},
        },
    )
