"""Trains on a real control plane: apps leave in order, a line that stops takes its cars back, and a night is told."""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from analysis.figures import times
from tests.cluster.bed.api import MERGE
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import CONFIGURATION
from tests.cluster.stories.story import APP, REGISTRY, Story
from tests.controller.adapters.mailbox import Inbox, mail_server
from tests.controller.adapters.server import Answer, Asked, Line, Server, plain, serving

SUCCEEDS_WITHIN = 240
# Few pods and no load beside the app under load: pod health alone is asked there.
BESIDE = ("payments", "search")
SHORT: Any = {"strategy": {"twin": {"batches": 1}}}
SKIP = {"reason": "no load in this story"}
LEAST = 30  # seconds until it opens, so that the wait can be seen
NOTIFIERS = """\
notifiers:
  - {{{{name: morning-room, webhook: {{{{url: "{url}/in"}}}}}}}}
  - name: shift
    email: {{{{smtp: "127.0.0.1:{port}", tls: none, from: ferry@shop.example, to: [shift@shop.example]}}}}
"""
REPORT = [{"webhook": "morning-room"}, {"email": "shift"}]


def opens_train(story: Story, *, ahead: bool, notifiers: str = "", **spec: Any) -> float:
    """Three apps, their policies, and a train of one hour -> when it opens: at the next minute, or a while ago."""
    story.opens(policy=SHORT, controlled=False)
    story.starts_controller(template=CONFIGURATION + notifiers)
    story.allows(because="three apps of 4, 2 and 2 pods share the namespace, with a surge of one each", most=11)
    for name in BESIDE:
        story.site.deploy(name, replicas=2, image=f"{REGISTRY}:v1")
        story.applies_policy({"target": {"deployment": name}, **SHORT}, name=name)
    opens = (time.time() + LEAST) // 60 * 60 + 60 if ahead else time.time() // 60 * 60 - 60
    cars = [{"policy": "payments"}, {"policy": APP, "after": ["payments"]}, {"policy": "search"}]
    manifest = {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleaseTrain",
        "metadata": {"name": "nightly"},
        "spec": {"window": {"from": wall(opens), "to": wall(opens + 3600), "zone": "UTC"}, "cars": cars, **spec},
    }
    story.person.create(trains(story), manifest)
    return opens


def wall(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def trains(story: Story) -> str:
    return f"/apis/nightferry.dev/v1alpha1/namespaces/{story.site.name}/releasetrains"


def status(story: Story) -> dict[str, Any]:
    return dict(story.site.api.read(f"{trains(story)}/nightly").get("status") or {})


def left(story: Story) -> list[str]:
    """The policies in the order in which their releases left."""
    return [each["policy"] for each in (status(story).get("night") or {}).get("departed") or ()]


def test_three_cars_wait_for_their_night_and_leave_in_order_through_a_kill(story: Story) -> None:
    opens = opens_train(story, ahead=True, atOnce=2)
    checkout = story.asks_for("v2")
    payments = story.asks_for("v2", policy="payments", skipGates=SKIP)
    search = story.asks_for("v2", policy="search", skipGates=SKIP)
    for release in (checkout, payments, search):
        story.releases.await_hold(release, "AwaitsTrain", within=30)
    claims, gone = story.claims(), left(story)
    if time.time() < opens:  # all of it was seen before the train opened
        assert (claims, gone) == ({}, [])

    eventually(lambda: left(story), within=opens - time.time() + 60, what="the first car leaves")
    assert time.time() >= opens
    assert story.controller is not None
    story.controller.kill()
    story.controller.start()
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


# Payments arrives, errors turn checkout back, the line stops, payments is taken back, and search waits for another
# night. The night ends, and the controller is killed before the room takes the report.
def test_a_line_that_stops_takes_back_what_had_succeeded_and_the_night_is_told(story: Story) -> None:
    with people(story) as (room, closed, inbox, notifiers):
        stops: Any = {"stopTheLine": {"rolledBack": 1}, "onStop": "rollBackAll", "report": REPORT}
        opened = opens_train(story, ahead=False, notifiers=notifiers, **stops)
        payments = story.asks_for("v2", policy="payments", skipGates=SKIP)
        checkout = story.asks_for("v2-errors30")
        search = story.asks_for("v2", policy="search", skipGates=SKIP)
        story.releases.await_phase(payments, "Succeeded", within=SUCCEEDS_WITHIN)
        end = story.releases.await_phase(checkout, "RolledBack", within=SUCCEEDS_WITHIN)
        assert end.cause == "GateDegraded"
        back = story.releases.await_new({payments, checkout, search}, within=60)
        assert story.releases.last(back).spec["rollbackOf"] == payments
        story.releases.await_phase(back, "Succeeded", within=SUCCEEDS_WITHIN)
        eventually(lambda: status(story)["phase"] == "Stopped", within=60, what="everything is taken back")
        assert left(story) == ["payments", APP]
        held = story.releases.await_hold(search, "AwaitsTrain", within=30, saying="the line is stopped")
        assert held.phase == "Queued"

        assert room.asked == [] and inbox.mails == []
        ends = {"spec": {"window": {"to": wall(opened + 60)}}}
        story.person.patch(f"{trains(story)}/nightly", ends, content_type=MERGE)
        eventually(lambda: room.asked, within=30, what="the room is told, and is closed")
        assert story.controller is not None
        story.controller.kill()
        closed.clear()
        already = len(room.asked)
        story.controller.start()
        eventually(lambda: len(night(story).get("reported") or ()) == 2, within=60, what="the night is told")
    (post,) = (asked.json for asked in room.asked[already:])
    assert {asked.json["id"] for asked in room.asked} == {post["id"]}, "the tries before the kill were of this report"
    assert len({str(mail["Message-ID"]) for mail in inbox.mails}) == 1
    judge_report(story, post, inbox.mails[-1], turned=[payments, checkout, back], waits=search)
    eventually(lambda: story.serving() == {"v1": 8}, within=60, what="every app serves v1 again")
    assert story.releases.broken_laws() == []


@contextmanager
def people(story: Story) -> Iterator[tuple[Server, threading.Event, Inbox, str]]:
    """A chat room that takes nothing while it is closed, a mail server, and how the controller reaches them."""
    closed = threading.Event()
    closed.set()

    def answer(asked: Asked, line: Line) -> None:
        chosen: Answer = plain(b"", 503 if closed.is_set() else 204)
        chosen(asked, line)

    inbox = Inbox()
    with serving(answer) as room, mail_server(inbox) as mail:
        yield room, closed, inbox, NOTIFIERS.format(url=room.url, port=mail.port)
        if story.controller is not None:
            story.controller.stop()


def night(story: Story) -> dict[str, Any]:
    return dict(status(story).get("night") or {})


def judge_report(story: Story, post: dict[str, Any], mail: EmailMessage, *, turned: list[str], waits: str) -> None:
    """The report in the room, the one in the mail and what the commands print are one, in the words of the records.

    turned: the release that was taken back, the one that turned back, and the one that took the first one back.
    """
    told = post["report"]
    for one in told["journeys"]:
        # Who waits is told something else once the night is over; who has ended is not.
        assert one["group"] == "waits" or one["because"] == story.releases.last(one["release"]).because
    assert outcomes(told) == {
        turned[0]: ("back", "Succeeded"),
        turned[1]: ("back", "RolledBack"),
        turned[2]: ("back", "Succeeded"),
        waits: ("waits", "Queued"),
    }
    assert post["title"].endswith(": 2 turned back, 1 waiting")
    (ride,) = told["trains"]
    assert [release for release, _ in ride["departed"]] == turned[:2]
    assert [release for release, _ in ride["waiting"]] == [waits]
    assert ride["stopped"] == night(story)["stopped"] and turned[1] in ride["stopped"]
    assert (told["figures"]["arrived"], told["figures"]["failed"]) == (0, 2)

    (gates,) = (
        each["gates"]
        for one in told["journeys"]
        for each in one["decisions"]
        if one["release"] == turned[1] and each["kind"] == "RollBack"
    )
    errors = next(one for one in gates if one["gate"] == "errors")
    assert errors["verdict"] == "Degraded" and errors["low"] > 1.5

    text = str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert text.splitlines() == post["text"].splitlines()
    (page,) = (str(part.get_content()) for part in mail.iter_attachments())
    assert "<svg" in page
    assert [mark for mark in ("<script", "<link", "src=", "url(", "@import") if mark in page] == [], (
        "nothing from elsewhere"
    )
    for one in told["journeys"]:
        assert html.escape(one["because"]) in page
    # On the page no line ends between a number and its percent sign.
    shown = page.replace("&nbsp;", " ")
    for number in (times(errors["low"]), errors["contender"], errors["incumbent"]):
        assert number in shown and number in text, number

    printed = json.loads(story.commands("report", "--since", "1h", "--format", "json").stdout)
    assert outcomes(printed) == outcomes(told)
    assert printed["figures"]["failed"] == told["figures"]["failed"]
    said = story.commands("train", "nightly").stdout
    assert f"night {night(story)['id']}: 2 left, 1 waiting" in said
    for release, stands in ((turned[0], "Succeeded"), (turned[1], "RolledBack"), (waits, "waits")):
        assert any(release in line and stands in line for line in said.splitlines())


def outcomes(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["release"]: (one["group"], one["outcome"]) for one in report["journeys"]}
