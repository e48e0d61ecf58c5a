"""Release: one attempt to move an app, and the verbs by which people drive it."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from policies.model import Part, Problem
from policies.names import Digest, DnsLabel, EnvName, Image, ObjectName, Text
from policies.windows import Instant


class Reason(Part):
    """Why a person does this."""

    reason: Text = Field(description="Why; recorded and reported.")


class Promote(Part):
    """A person's word that a stage may go on."""

    batch: int = Field(ge=0, le=100, description="The stage that may go on: 0 is the canary, 1 the first batch.")


class ReleaseSpec(Part):
    """What is released, and what people want done with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name]}
                for name in ("images", "template", "env", "config", "adopt", "rollbackOf", "restoreOf", "home")
            ]
        }
    )

    policy: ObjectName = Field(description="The name of the ReleasePolicy, in the same namespace.")
    images: Mapping[DnsLabel, Image] = Field(default={}, description="The new image of each container that changes.")
    template: Mapping[str, Any] | None = Field(
        default=None, description="A strategic merge patch of the pod template: metadata and spec."
    )
    env: Mapping[DnsLabel, Mapping[EnvName, str]] = Field(
        default={}, description="Environment variables to set, by container."
    )
    config: Literal["live"] | None = Field(
        default=None,
        description="live: a change of the ConfigMaps of the policy (spec.config) is a release by itself. A release of "
        "anything else takes them along as they are.",
    )
    adopt: Digest | None = Field(
        default=None,
        description="The version that the Deployment's own template holds already; the controller asks so with "
        "`trigger: template`.",
    )
    rollback_of: ObjectName | None = Field(
        default=None, description="Goes back to what was live before this finished release."
    )
    restore_of: ObjectName | None = Field(
        default=None, description="Brings the app back to the state this release left as the good one."
    )
    home: bool = Field(
        default=False,
        description="true brings an app that is served by its second Deployment back to its first one, in batches, "
        "with the version that it has: the way out of Nightferry.",
    )
    skip_gates: Reason | None = Field(
        default=None,
        description="The emergency door: metric gates are skipped; pod health still counts, and a stage that waits "
        "for a person still does.",
    )
    not_before: Instant | None = Field(
        default=None,
        description="The release waits for this time, and then for its window, such as 2026-11-24T01:00:00Z.",
    )
    now: Reason | None = Field(
        default=None,
        description="The urgent door: leaves at once and goes on at any time, whatever windows, freezes, trains and "
        "`notBefore` say. Gates still count.",
    )
    paused: bool = Field(default=False, description="true holds the release where it is.")
    promote: Promote | None = Field(default=None, description="Lets a stage go on that waits for a person.")
    abort: Reason | None = Field(default=None, description="Turns the release back.")
    lift: Reason | None = Field(
        default=None,
        description="Of a release that has turned back: lets the version that it turned back from be tried again.",
    )
    requested_by: Text | None = Field(default=None, description="Who asked for the release.")
    reason: Text | None = Field(default=None, description="Why the release was asked for.")

    def problems(self) -> Iterator[Problem]:
        changes = [name for name, part in (("images", self.images), ("env", self.env)) if part]
        changes += ["template"] if self.template is not None else []
        changes += ["config"] if self.config is not None else []
        origins = ["/".join(changes)] if changes else []
        origins += ["adopt"] if self.adopt is not None else []
        origins += ["rollbackOf"] if self.rollback_of is not None else []
        origins += ["restoreOf"] if self.restore_of is not None else []
        origins += ["home"] if self.home else []
        allowed = "exactly one of: images, template, env or config; rollbackOf; restoreOf; home"
        if len(origins) != 1:
            yield Problem((), " and ".join(origins) if origins else "a release that changes nothing", allowed)
        if self.template is not None and not self.template:
            yield Problem(("template",), "an empty template", "metadata or spec of a pod template")
        for key in self.template or ():
            if key not in {"metadata", "spec"}:
                yield Problem(("template", key), "a field of no pod template", "metadata, spec")
            elif not isinstance((self.template or {})[key], Mapping):
                yield Problem(("template", key), "", "a mapping")
        for container, variables in self.env.items():
            if not variables:
                yield Problem(("env", container), "no variables", "at least one NAME: value")


class ReleaseMetadata(Part):
    """The name of the release and what people note beside it."""

    name: ObjectName | None = Field(default=None, description="The release's name.")
    generate_name: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[-a-z0-9])?$",
        max_length=58,
        description="The beginning of a name that the cluster completes.",
    )
    namespace: DnsLabel | None = Field(default=None, description="The app's namespace. Default: the current one.")
    labels: Mapping[str, str] = Field(default={}, description="Labels, untouched.")
    annotations: Mapping[str, str] = Field(default={}, description="Annotations, untouched.")

    def problems(self) -> Iterator[Problem]:
        if self.name is None and self.generate_name is None:
            yield Problem((), "no name", "name or generateName")


class Release(Part):
    """One attempt to move an app to a new version, with its whole record in the status."""

    api_version: Literal["nightferry.dev/v1alpha1"] = Field(description="The version of this schema.")
    kind: Literal["Release"] = Field(description="The kind of this object.")
    metadata: ReleaseMetadata = Field(description="The name of the release and what people note beside it.")
    spec: ReleaseSpec = Field(description="What is released, and what people want done with it.")

    @property
    def name(self) -> str:
        """The name, or the beginning of it where the cluster completes the name."""
        return self.metadata.name or self.metadata.generate_name or ""

    @property
    def namespace(self) -> str | None:
        return self.metadata.namespace
