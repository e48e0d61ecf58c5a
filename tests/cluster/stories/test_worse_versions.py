"""A version that is worse, or that does not run at all, is turned back; the incumbents serve all the time."""

from __future__ import annotations

from typing import Any

from tests.cluster.stories.releases import Sighting
from tests.cluster.stories.story import APP, LONGER, POLICY, TWIN, Story

JUDGED_WITHIN = 90
BACK_WITHIN = 40


def verdict(sighting: Sighting, gate: str) -> dict[str, Any]:
    """What one gate said at a sighting."""
    found: dict[str, Any] = next(one for one in sighting.status["verdicts"] if one["gate"] == gate)
    return found


# The first batch is clean; errors appear once the second batch takes load.
# We must stop there and go back, and never touch batch three. The next version is none the worse for it.
def test_errors_from_the_second_batch_on_turn_it_back_and_the_next_release_succeeds(story: Story) -> None:
    strict = {**POLICY["gates"][0], "tolerate": "2x"}
    story.opens(
        replicas=6,
        policy={**LONGER, "strategy": {"twin": {"batches": [3, 4, "100%"]}}, "gates": [strict, POLICY["gates"][1]]},
    )
    release = story.asks_for("v2-errors20-from2")
    turned = story.releases.await_phase(release, "RollingBack", within=JUDGED_WITHIN)
    assert turned.cause == "GateDegraded"
    errors = verdict(turned, "errors")
    assert errors["verdict"] == "Degraded"
    ours, theirs = errors["evidence"]["effect"]["rates"]
    assert ours > 5 * theirs
    reached, threshold = errors["evidence"]["logEvidence"]
    assert reached >= threshold  # rounded, both
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    story.judge_end(release, "RolledBack", tag="v1")
    assert story.releases.highest_stage(release) == 1
    assert max(story.history.replicas_of(TWIN)) == 3
    assert story.history.restarts() == {}
    story.judge()

    story.applies_policy({"strategy": {"twin": {"batches": 1}}})
    better = story.asks_for("v3")
    story.releases.await_phase(better, "Succeeded", within=120)
    story.judge_end(better, "Succeeded", tag="v3")
    assert (story.replicas(TWIN), story.replicas(APP)) == (6, 0)
    story.judge()


def test_latency_twice_as_long_in_the_canary_turns_it_back(story: Story) -> None:
    story.opens(replicas=6, policy={**LONGER, "strategy": {"twin": {"canary": 2}}})
    release = story.asks_for("v2-slow2")
    turned = story.releases.await_phase(release, "RollingBack", within=JUDGED_WITHIN)
    assert turned.cause == "GateDegraded"
    assert turned.stage == 0
    assert verdict(turned, "latency")["verdict"] == "Degraded"
    assert verdict(turned, "errors")["verdict"] != "Degraded"
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    story.judge_end(release, "RolledBack", tag="v1")
    assert story.history.restarts() == {}
    story.judge()


def test_a_contender_that_is_never_ready_ends_at_the_deadline(story: Story) -> None:
    story.opens(policy={"deadline": {"batch": "12s"}})
    release = story.asks_for("v2-neverready")
    turned = story.releases.await_phase(release, "RollingBack", within=JUDGED_WITHIN)
    assert turned.cause == "BatchDeadline"
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    story.judge_end(release, "RolledBack", tag="v1")
    # Not one incumbent gave way to a pod that never served.
    assert story.history.replicas_of(APP) == [4]
    assert story.history.deleted_pods(APP) == []
    story.judge()


# It is never ready in between: whether a pod that is lives until the write that counts on it is its own affair.
def test_a_crash_loop_turns_it_back(story: Story) -> None:
    story.opens()
    release = story.asks_for("v2-crash1-neverready")
    turned = story.releases.await_phase(release, "RollingBack", within=JUDGED_WITHIN)
    assert turned.cause == "CrashLoop"
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    story.judge_end(release, "RolledBack", tag="v1")
    third, seen = story.third_restart()
    assert turned.revision > third
    restoring = story.await_restoring_write(after=third)
    print(f"\ncrash loop seen to first restoring write: {restoring.seconds - seen:.2f} s")
    assert story.history.replicas_of(APP) == [4]
    story.judge()


def test_an_image_that_is_missing_turns_it_back(story: Story) -> None:
    story.opens()
    release = story.asks_for("missing-v2")
    turned = story.releases.await_phase(release, "RollingBack", within=JUDGED_WITHIN)
    assert turned.cause == "ImagePull"
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    story.judge_end(release, "RolledBack", tag="v1")
    assert story.history.replicas_of(APP) == [4]
    story.judge()
