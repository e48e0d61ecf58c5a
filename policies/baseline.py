"""Baseline: what the controller has learned of one policy; here only for the cluster's schema.

Nobody writes one by hand. It is read back with its checksum, so a baseline that was edited is learned anew.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from policies.model import Part
from policies.names import ObjectName
from policies.status import Time

LONGEST_PAYLOAD = 102_400


class BaselineSpec(Part):
    """Whose baseline it is."""

    policy: ObjectName = Field(description="The name of the ReleasePolicy, in the same namespace.")


class LearnedStatus(Part):
    """What was learned of one gate."""

    name: str = Field(description="The gate's name.")
    status: str = Field(description="calibrated, noise changed, learned or not learned.")
    message: str | None = Field(default=None, description="What stands behind it, or why it was not learned.")


class LikenessStatus(Part):
    """How the last hour of one gate compared with its history."""

    name: str = Field(description="The gate's name.")
    noise: Literal["same", "changed", "unknown"] = Field(description="same, changed or unknown.")


class PresentStatus(Part):
    """The look at the last hour before a release."""

    release: str = Field(description="The uid of the release it was taken for.")
    checked_at: Time = Field(description="When it was taken.")
    gates: tuple[LikenessStatus, ...] = Field(default=(), strict=False, description="What each gate's noise did.")


class BaselineStatus(Part):
    """What was learned, for people, and all of it in one payload for the controller."""

    learned_at: Time = Field(description="When it was learned.")
    begins: Time = Field(description="Where the history that was looked at begins.")
    ends: Time = Field(description="Where it ends.")
    coverage: str = Field(description="The share of the wanted windows that had data.")
    segments: int = Field(description="Distinct stretches of history behind the gate that has the fewest.")
    excluded: int = Field(description="Stretches left out: rollouts, releases, incidents.")
    status: str = Field(description="calibrated, noise changed, partly learned or not learned.")
    gates: tuple[LearnedStatus, ...] = Field(default=(), strict=False, description="What was learned of each gate.")
    bands: tuple[LearnedStatus, ...] = Field(
        default=(), strict=False, description="What was learned of the usual course of each gate."
    )
    present: PresentStatus | None = Field(default=None, description="The look at the last hour before a release.")
    policy_digest: str = Field(description="The digest of what of the policy the learning depends on.")
    version: int = Field(description="The version of the payload.")
    encoding: Literal["json", "json+gzip+base64"] = Field(description="How the payload is written.")
    checksum: str = Field(description="The SHA-256 of the payload as it stands.")
    payload: Annotated[str, StringConstraints(max_length=LONGEST_PAYLOAD)] = Field(
        description="All that was learned; not for reading."
    )


class Baseline(Part):
    """What was learned from the history of one policy's gates; the controller writes it, learns it anew and owns it."""
