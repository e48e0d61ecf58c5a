"""People are told what the record says, by mail and by webhook, also when the controller is killed in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import CONFIGURATION
from tests.cluster.stories.story import APP, Story
from tests.controller.adapters.mailbox import Inbox, mail_server
from tests.controller.adapters.server import Answer, Asked, Line, plain, serving

ON = ["started", "rollingBack", "rolledBack"]
NOTIFY = [{"webhook": "release-room", "events": [*ON]}, {"email": "night-shift", "events": [*ON]}]
NOTIFIERS = """\
notifiers:
  - {{{{name: release-room, webhook: {{{{url: "{url}/in"}}}}}}}}
  - name: night-shift
    email: {{{{smtp: "127.0.0.1:{port}", tls: none, from: ferry@shop.example, to: [shift@shop.example]}}}}
"""


def test_a_rollback_is_told_as_the_record_says_although_the_controller_is_killed_in_between(story: Story) -> None:
    back = threading.Event()

    def answer(asked: Asked, line: Line) -> None:
        """The room is closed until the controller was killed."""
        chosen: Answer = plain(b"", 204 if back.is_set() else 503)
        chosen(asked, line)

    inbox = Inbox()
    with serving(answer) as server, mail_server(inbox) as mail:
        story.opens(image="v1-slowstart3", policy={"notify": NOTIFY}, controlled=False)
        notifiers = NOTIFIERS.format(url=server.url, port=mail.port)
        controller = story.starts_controller(template=CONFIGURATION + notifiers)
        release = story.asks_for("v2")
        story.releases.await_stage(release, 1, within=90)
        story.patches_release(release, {"abort": {"reason": "wrong branch"}})
        controller.restart_when(lambda: story.releases.reached(release, "RollingBack"), within=10, what="it has turned")
        back.set()
        story.releases.await_phase(release, "RolledBack", within=60)
        eventually(lambda: not waiting(story, release), within=60, what="everything is told")
    record = record_of(story, release)
    said = {
        event: next(each["because"] for each in record["decisions"] if each["kind"] == kind)
        for event, kind in (("started", "Advance"), ("rollingBack", "RollBack"), ("rolledBack", "RolledBack"))
    }
    posts = {asked.json["id"]: asked.json for asked in server.asked}
    assert sorted((one["event"], one["because"]) for one in posts.values()) == sorted(said.items())
    assert {(one["app"], one["release"], one["namespace"]) for one in posts.values()} == {
        (APP, release, story.site.name)
    }
    mails = {str(one["Message-ID"]): one for one in inbox.mails}
    assert len(mails) == len(said)
    for because in said.values():
        assert any(" ".join(because.split()) in str(one.get_content()) for one in mails.values())
    assert all(notice["done"] and not notice.get("failed") for notice in record["notices"])
    told = json.loads(story.commands("report", "--since", "1h", "--format", "json").stdout)
    (journey,) = told["journeys"]
    assert (journey["release"], journey["group"], journey["because"]) == (release, "back", said["rolledBack"])
    assert told["figures"]["failed"] == 1
    for told_of in (
        f'nightferry_delivery_changes{{app="{APP}",namespace="{story.site.name}",outcome="failed"}} 1.0',
        'nightferry_notices_waiting{notifier="webhook/release-room"} 0.0',
    ):
        eventually(lambda line=told_of: line in controller.read_page("/metrics")[1], within=15, what=told_of)  # type: ignore[misc]
    story.judge_end(release, "RolledBack", tag="v1-slowstart3")
    story.judge()


def record_of(story: Story, release: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = story.site.api.read(story.release_path(release))["status"]["record"]
    return found


def waiting(story: Story, release: str) -> bool:
    return any(not notice["done"] for notice in record_of(story, release)["notices"])
