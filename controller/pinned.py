"""The policy that a release began under: written into its record, and what holds of it after later edits."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from controller.release.record import Record
from policies.load import PolicyRefused, digest, from_object, tighten, to_object
from policies.schema import ReleasePolicy


def pin(record: Record, policy: ReleasePolicy) -> Record:
    """The record with this policy pinned."""
    return replace(
        record,
        policy=json.dumps(to_object(policy), sort_keys=True, separators=(",", ":")),
        policy_digest=digest(policy),
    )


@lru_cache(maxsize=256)
def pinned(text: str) -> ReleasePolicy:
    """The policy in a record; every tick of a release reads the same text.

    Raises ValueError for text that is no JSON, PolicyRefused for JSON that is no policy.
    """
    return from_object(json.loads(text))


def kept_policy(record: Record) -> ReleasePolicy | None:
    """The policy that a record has pinned; None where there is none, or somebody edited it into one that is none."""
    try:
        return pinned(record.policy) if record.policy else None
    except (ValueError, PolicyRefused):
        return None


def effective_policy(record: Record, current: ReleasePolicy | None) -> ReleasePolicy:
    """The policy that the release began under, tightened by later edits and never loosened."""
    began = pinned(record.policy)
    if current is None or digest(current) == record.policy_digest:
        return began
    return tighten(began, current)
