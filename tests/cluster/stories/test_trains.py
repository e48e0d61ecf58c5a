"""Trains on a real control plane: three apps leave in order, and a line that stops takes its cars back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, REGISTRY, Story

SUCCEEDS_WITHIN = 240
# Few pods and no load beside the app under load: pod health alone is asked there.
BESIDE = ("payments", "search")
SKIP = {"reason": "no load in this story"}
LEAST = 20  # seconds until it opens, so that the wait can be seen


def opens_train(story: Story, **spec: Any) -> float:
    """Three apps, their policies, and a train that opens at the next minute -> when it opens."""
    story.opens()
    story.allows(because="three apps of 4, 2 and 2 pods share the namespace, with a surge of one each", most=11)
    for name in BESIDE:
        story.site.deploy(name, replicas=2, image=f"{REGISTRY}:v1")
        story.applies_policy({"target": {"deployment": name}}, name=name)
    opens = (time.time() + LEAST) // 60 * 60 + 60
    wall = [datetime.fromtimestamp(at, UTC).strftime("%H:%M") for at in (opens, opens + 3600)]
    cars = [{"policy": "payments"}, {"policy": APP, "after": ["payments"]}, {"policy": "search"}]
    manifest = {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleaseTrain",
        "metadata": {"name": "nightly"},
        "spec": {"window": {"from": wall[0], "to": wall[1], "zone": "UTC"}, "cars": cars, **spec},
    }
    story.person.create(trains(story), manifest)
    # Who asks for a release before the controller has heard of the train may see it in Preflight before it waits.
    eventually(lambda: status(story), within=30, what="the controller knows the train")
    return opens


def trains(story: Story) -> str:
    return f"/apis/nightferry.dev/v1alpha1/namespaces/{story.site.name}/releasetrains"


def status(story: Story) -> dict[str, Any]:
    return dict(story.site.api.read(f"{trains(story)}/nightly").get("status") or {})


def left(story: Story) -> list[str]:
    """The policies in the order in which their releases left."""
    return [each["policy"] for each in (status(story).get("night") or {}).get("departed") or ()]


def test_three_cars_wait_for_their_night_and_leave_in_order_through_a_kill(story: Story) -> None:
    opens = opens_train(story, atOnce=2)
    checkout = story.asks_for("v2")
    payments = story.asks_for("v2", policy="payments", skipGates=SKIP)
    search = story.asks_for("v2", policy="search", skipGates=SKIP)
    for release in (checkout, payments, search):
        story.releases.await_hold(release, "AwaitsTrain", within=30)
    assert story.claims() == {} and left(story) == []

    eventually(lambda: left(story), within=opens - time.time() + 60, what="the first car leaves")
    assert time.time() >= opens
    assert story.controller is not None
    story.controller.kill()
    story.starts_controller()
    for release in (payments, search, checkout):
        story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    assert sorted(left(story)) == sorted([APP, *BESIDE]) and left(story)[-1] == APP
    began = {name: story.releases.first(name, "Preflight").seconds for name in (checkout, payments)}
    assert began[checkout] > story.releases.first(payments, "Succeeded").seconds
    entries = story.releases.last(checkout).status["record"]["decisions"]
    assert "with train nightly" in next(each["because"] for each in entries if each["kind"] == "Departed")
    said = story.commands("train", "nightly").stdout
    assert "3 left, 0 waiting" in said and said.count("Succeeded") == 3
    assert story.releases.broken_laws() == []
    assert status(story)["phase"] == "Open"


def test_a_line_that_stops_takes_back_what_had_succeeded(story: Story) -> None:
    opens = opens_train(story, stopTheLine={"rolledBack": 1}, onStop="rollBackAll")
    payments = story.asks_for("v2", policy="payments", skipGates=SKIP)
    checkout = story.asks_for("v2-crash1")
    search = story.asks_for("v2", policy="search", skipGates=SKIP)
    story.releases.await_phase(payments, "Succeeded", within=opens - time.time() + SUCCEEDS_WITHIN)
    end = story.releases.await_phase(checkout, "RolledBack", within=SUCCEEDS_WITHIN)
    assert end.cause == "CrashLoop"
    back = story.releases.await_new({payments, checkout, search}, within=60)
    assert story.releases.last(back).spec["rollbackOf"] == payments
    story.releases.await_phase(back, "Succeeded", within=SUCCEEDS_WITHIN)
    eventually(lambda: status(story)["phase"] == "Stopped", within=60, what="everything is taken back")
    assert left(story) == ["payments", APP]
    held = story.releases.last(search)
    assert held.phase == "Queued" and "the line is stopped" in str(held.status["held"]["because"])
    eventually(lambda: story.serving() == {"v1": 8}, within=60, what="every app serves v1 again")
    assert story.releases.broken_laws() == []
