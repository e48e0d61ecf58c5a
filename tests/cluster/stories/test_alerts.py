"""Alerts on real parts: a rule of a real Prometheus, a real Alertmanager, its post, and the rollback that follows.

What a release is turned back for here no gate can see: the new version leaks memory, and nothing but the alert looks.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from controller.inbox import read_inbox
from tests.cluster.bed.alertmanager import Alertmanager, stamp
from tests.cluster.bed.identities import ALERT_SENDER, STRANGER
from tests.cluster.bed.processes import free_port
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import CONFIGURATION
from tests.cluster.stories.story import APP, LONGER, TWIN, Story

MANIFEST = ROOT / "manifests" / "alertmanager.yaml"
NAME = "CheckoutLeaks"
ABOUT = {"service": APP, "severity": "page"}
WATCHED = {**LONGER, "alerts": [{"match": ABOUT}]}
BY_HAND = {**WATCHED, "strategy": {"twin": {"advance": {"canary": "manual"}}}}
HEARING = """\
alerts:
  alertmanagers: [{{name: main, url: "ALERTMANAGER", timeout: 8s}}BESIDE]
  listen: 127.0.0.1:PORT
"""
DEAD = ', {{name: dead, url: "http://127.0.0.1:1"}}'  # the other one of a pair
SELDOM = 20.0  # seconds between ticks, where a post is to come between two of them
WATCHDOG = "  watchdog: {{alertname: Watchdog}}\n"
Hops = Mapping[str, float]


@dataclass
class Alerts:
    """The alerting of a story: its Alertmanager, and the listener of its controller."""

    story: Story
    alertmanager: Alertmanager
    port: int

    def starts_controller(self, watchdog: str = "", *, tick: str = "1s", beside: str = "") -> None:
        hearing = (
            HEARING.replace("BESIDE", beside)
            .replace("ALERTMANAGER", self.alertmanager.url)
            .replace("PORT", str(self.port))
        )
        template = CONFIGURATION.replace("tick: 1s", f"tick: {tick}") + hearing + watchdog
        controller = self.story.starts_controller(template=template)
        eventually(lambda: controller.lines("listening for alerts"), within=20, what="it listens for alerts")

    def post(self, body: bytes, token: str | None = ALERT_SENDER.token) -> tuple[int, str]:
        """A post to the controller -> its answer."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        url = f"http://127.0.0.1:{self.port}/alerts"
        answer = urllib3.request("POST", url, body=body, headers=headers, retries=False, timeout=60.0)
        return answer.status, answer.data.decode().strip()

    @property
    def inbox(self) -> list[str]:
        """The names of the alerts that the policy's inbox holds."""
        path = f"/apis/nightferry.dev/v1alpha1/namespaces/{self.story.site.name}/releasepolicies/{APP}"
        return [told.name for told in read_inbox(self.story.bed.admin.read(path))]

    def counted(self, metric: str) -> float:
        assert self.story.controller is not None
        _, page = self.story.controller.read_page("/metrics")
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(metric))


@contextmanager
def alerts_of(story: Story, *, webhook: str | None = None) -> Iterator[Alerts]:
    # Other workers of the run apply it too; a Service cannot be put in place of itself, and no packet goes through it.
    wanted = [one for one in yaml.safe_load_all(MANIFEST.read_text()) if one["kind"] != "Service"]
    story.scratch.mkdir(parents=True, exist_ok=True)
    shipped = story.scratch / "alertmanager.yaml"
    shipped.write_text(yaml.safe_dump_all(wanted))
    story.bed.apply_manifests(shipped)
    port = free_port()
    alertmanager = Alertmanager(
        story.bed.programs.alertmanager,
        story.scratch / "alertmanager",
        webhook=webhook or f"http://127.0.0.1:{port}/alerts",
        token=ALERT_SENDER.token,
    )
    alertmanager.start()
    try:
        yield Alerts(story, alertmanager, port)
    finally:
        alertmanager.stop()


@pytest.fixture
def alerts(story: Story) -> Iterator[Alerts]:
    with alerts_of(story) as found:
        yield found


def rules(folder: Path, alertmanager: Alertmanager, namespace: str) -> dict[str, Any]:
    """The parts of a Prometheus configuration that make it an alerting one."""
    leaks = {
        "alert": NAME,
        "expr": f'max(process_resident_memory_bytes{{namespace="{namespace}"}}) > 400e6',
        "labels": ABOUT,
        "annotations": {"summary": "{{ $value | humanize1024 }}B of memory"},
    }
    dog = {"alert": "Watchdog", "expr": "vector(1)"}
    folder.mkdir(exist_ok=True)
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "story", "rules": [leaks, dog]}]}))
    targets = [f"127.0.0.1:{alertmanager.port}"]
    return {
        "rule_files": [str(folder / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": targets}]}]},
    }


def an_alert(name: str = NAME, began: float | None = None, ended: float | None = None, **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, **ABOUT, **labels},
        "annotations": {"summary": "said by the story"},
        "startsAt": stamp(time.time() - 0.5 if began is None else began),
        **({"endsAt": stamp(ended)} if ended is not None else {}),
    }


def a_post(*alerts: Mapping[str, Any], status: str = "firing") -> bytes:
    """What Alertmanager posts about alerts that its API has shown."""
    told = [{**alert, "status": status, "endsAt": "0001-01-01T00:00:00Z"} for alert in alerts]
    return json.dumps({"version": "4", "status": status, "alerts": told, "truncatedAlerts": 0}).encode()


def await_pause(story: Story) -> None:
    """Waits until a tick was seen that no other one follows: for most of SELDOM nobody reads the level now.

    A tick that wrote something asks for another one a second later.
    """
    known = story.ticks
    since: float | None = None

    def pauses() -> bool:
        nonlocal known, since
        if (ticks := story.ticks) != known:
            known, since = ticks, time.monotonic()
        return since is not None and time.monotonic() - since >= 3.0

    eventually(pauses, within=2.0 * SELDOM, what="a tick is followed by no other one")


def record(story: Story, release: str) -> dict[str, Any]:
    found: dict[str, Any] = story.bed.admin.read(story.release_path(release))["status"]["record"]
    return found


def hops(story: Story, release: str) -> Hops:
    """Seconds of each hop from the rule to the restored app, as the record has them."""
    found = record(story, release)
    charged = min((each for each in found["alerts"] if each["part"] == "charged"), key=lambda each: each["since"])
    turned = next(each["at"] for each in found["decisions"] if each["kind"] == "RollBack")
    restored = next(each["at"] for each in found["decisions"] if each["kind"] == "RolledBack")
    told = {"rule to decision": turned - charged["since"], "decision to restored": restored - turned}
    if charged["heard"]:
        told |= {"rule to post": charged["heard"] - charged["since"], "post to decision": turned - charged["heard"]}
    print(f"FIGURES {release}: " + ", ".join(f"{name} {seconds:.2f}s" for name, seconds in told.items()))
    return told


def judge_turned(story: Story, release: str) -> None:
    end = story.releases.await_phase(release, "RolledBack", within=90)
    assert end.cause == "Alert"
    assert NAME in end.because
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()


# ------------------------------------------------------------------------------------------------- the stories


def test_a_rule_of_prometheus_turns_a_release_back_by_alertmanagers_post(story: Story, alerts: Alerts) -> None:
    more = rules(story.scratch / "rules", alerts.alertmanager, story.site.name)
    with story.bed.own_prometheus(story.site.name, more) as prometheus:
        story.opens(policy=BY_HAND, controlled=False)
        eventually(lambda: alerts.alertmanager.firing(alertname="Watchdog"), within=30, what="the watchdog fires")
        alerts.starts_controller(WATCHDOG, tick=f"{SELDOM:g}s")
        release = story.asks_for("v2")
        story.releases.await_hold(release, "Manual", within=120)
        # It leaks between two ticks: Alertmanager's post comes long before the next one reads the level.
        (pod,) = story.site.ready_pods(TWIN)
        await_pause(story)
        story.site.order_behaviour(pod, "leak200")
        judge_turned(story, release)
        told = hops(story, release)
        assert {"rule to post", "post to decision"} <= told.keys()
        sentence = story.releases.last(release).because
        assert f"of {release}, begun" in sentence and "gates:" in sentence and "B of memory" in sentence
        assert story.releases.highest_stage(release) < 2
        assert alerts.counted('nightferry_alert_posts_total{outcome="kept"}') >= 1
        assert alerts.counted('nightferry_alert_to_rollback_seconds_count{hop="post"}') == 1
        assert prometheus.is_running


def test_a0_a11_with_a_dead_webhook_the_level_read_alone_turns_it_back(story: Story) -> None:
    with alerts_of(story, webhook=f"http://127.0.0.1:{free_port()}/alerts") as alerts, ExitStack() as ends:
        more = rules(story.scratch / "rules", alerts.alertmanager, story.site.name)
        ends.enter_context(story.bed.own_prometheus(story.site.name, more))
        story.opens(policy=WATCHED, controlled=False)
        alerts.starts_controller(beside=DEAD)
        release = story.asks_for("v2-leak30")
        judge_turned(story, release)
        told = hops(story, release)
        assert "rule to post" not in told
        assert alerts.inbox == []
        # The other one of the pair was dead all the time: nothing stood still for it, and it is told.
        reads = "nightferry_alertmanager_reads_total"
        assert alerts.counted(f'{reads}{{alertmanager="main",outcome="answered"}}') > 0
        assert alerts.counted(f'{reads}{{alertmanager="dead",outcome="silent"}}') > 1
        assert alerts.counted(f'{reads}{{alertmanager="dead",outcome="answered"}}') == 0
        assert story.controller is not None
        told_of = [line["alertmanager"] for line in story.controller.lines("alertmanager not heard")]
        assert told_of.count("dead") == 1


def test_a4_a5_a12_a15_posts_that_are_none_leave_nothing_behind_and_move_nothing(story: Story, alerts: Alerts) -> None:
    story.opens(policy=BY_HAND, controlled=False)
    alerts.starts_controller()
    release = story.asks_for("v2")
    story.releases.await_hold(release, "Manual", within=90)
    body = a_post({**an_alert(), "fingerprint": "0123456789abcdef"})
    assert alerts.post(body, token=None)[0] == 401
    assert alerts.post(body, token="never-issued")[0] == 401
    status, text = alerts.post(body, token=STRANGER.token)
    assert (status, text) == (403, "mallory may not create alerts.nightferry.dev: bind nightferry-alert-sender")
    assert alerts.post(b"x" * (1024 * 1024 + 1))[0] == 413
    assert alerts.post(body[:-20])[0] == 400
    assert alerts.post(body.replace(b'"4"', b'"5"')) == (400, "version: found '5', and this receiver knows 4")
    # A5: an authentic post of an alert that does not fire, as somebody may have recorded it, is answered and ignored.
    for _ in range(3):
        assert alerts.post(body)[0] == 200
    # A8: an alert that concerns another app.
    assert alerts.post(a_post({**an_alert(service="search"), "fingerprint": "fedcba9876543210"}))[0] == 200
    assert alerts.inbox == []
    assert alerts.counted('nightferry_alerts_total{outcome="ignored"}') == 3
    assert alerts.counted('nightferry_alerts_total{outcome="unmatched"}') == 1
    assert alerts.counted('nightferry_alert_posts_total{outcome="stranger"}') == 2
    story.patches_release(release, {"promote": {"batch": 0}})
    story.releases.await_phase(release, "Succeeded", within=120)
    story.judge()


def test_a1_a2_a3_doubled_and_reordered_posts_of_one_alert_are_one_rollback(story: Story, alerts: Alerts) -> None:
    story.opens(policy=BY_HAND, controlled=False)
    alerts.starts_controller()
    release = story.asks_for("v2")
    story.releases.await_hold(release, "Manual", within=90)
    firing = an_alert()
    resolved = a_post({**firing, "fingerprint": "0123456789abcdef"}, status="resolved")
    assert alerts.post(resolved)[0] == 200  # first of all its end
    assert alerts.inbox == []
    alerts.alertmanager.fires([firing])
    (shown,) = eventually(lambda: alerts.alertmanager.firing(alertname=NAME), within=5, what="it fires")
    again = a_post({key: shown[key] for key in ("labels", "annotations", "startsAt", "fingerprint")})
    for body in (again, again, again.replace(b'"firing"', b'"resolved"'), again):
        assert alerts.post(body)[0] == 200
    judge_turned(story, release)
    found = record(story, release)
    assert len([each for each in found["alerts"] if each["part"] == "charged"]) == 1
    assert [each["kind"] for each in found["decisions"]].count("RollBack") == 1
    hops(story, release)


def test_a19_an_alert_that_was_answered_survives_a_kill_at_once(story: Story) -> None:
    """Its post is answered with 200, the controller is killed, the alert is over: who comes next turns back."""
    with alerts_of(story, webhook=f"http://127.0.0.1:{free_port()}/alerts") as alerts:
        story.opens(policy=BY_HAND, controlled=False)
        alerts.starts_controller(tick=f"{SELDOM:g}s")
        release = story.asks_for("v2")
        story.releases.await_hold(release, "Manual", within=120)
        await_pause(story)
        firing = an_alert()
        alerts.alertmanager.fires([firing])
        (shown,) = eventually(lambda: alerts.alertmanager.firing(alertname=NAME), within=5, what="it fires")
        body = a_post({key: shown[key] for key in ("labels", "annotations", "startsAt", "fingerprint")})
        assert story.controller is not None
        assert alerts.post(body)[0] == 200
        story.controller.kill()
        alerts.alertmanager.fires([{**firing, "endsAt": stamp(time.time())}])
        eventually(lambda: not alerts.alertmanager.firing(alertname=NAME), within=10, what="it is over")
        assert alerts.inbox == [NAME]
        story.controller.start()
        judge_turned(story, release)
        hops(story, release)


def test_a7_a14_what_fires_before_the_start_refuses_it_and_a_silence_is_honoured(story: Story, alerts: Alerts) -> None:
    story.opens(policy=WATCHED, controlled=False)
    alerts.starts_controller()
    alerts.alertmanager.fires([an_alert(ended=time.time() + 3600.0)])
    eventually(lambda: alerts.alertmanager.firing(alertname=NAME), within=5, what="it fires")
    release = story.asks_for("v2")
    end = story.releases.await_phase(release, "Cancelled", within=30)
    assert end.cause == "AlertAlreadyFiring"
    assert NAME in end.because and "alreadyFiring: ignore" in end.because
    alerts.alertmanager.silences(alertname=NAME)
    again = story.asks_for("v2")
    story.releases.await_phase(again, "Succeeded", within=150)
    assert [each["part"] for each in record(story, again)["alerts"]] == ["before"]
    story.judge()


def test_a20_without_its_watchdog_nothing_begins_and_nothing_goes_on(story: Story, alerts: Alerts) -> None:
    story.opens(policy=BY_HAND, controlled=False)
    alerts.starts_controller(WATCHDOG)
    # Else it is blind for want of series first, and says so.
    counted = f'max_over_time(http_requests_total{{namespace="{story.site.name}", code="200"}}[3s])'
    eventually(lambda: len(story.bed.query(counted)) >= 4, within=30, what="its pods have been scraped")
    release = story.asks_for("v2")
    story.releases.await_hold(release, "PreflightBlind", within=30, saying="watchdog alert")
    dog = {"labels": {"alertname": "Watchdog"}, "endsAt": stamp(time.time() + 3600.0)}
    alerts.alertmanager.fires([dog])
    story.releases.await_hold(release, "Manual", within=90)
    alerts.alertmanager.fires([{**dog, "endsAt": stamp(time.time())}])
    story.releases.await_hold(release, "Blind", within=30, saying="watchdog alert")
    alerts.alertmanager.fires([dog])
    story.patches_release(release, {"promote": {"batch": 0}})
    story.releases.await_phase(release, "Succeeded", within=120)
    story.judge()


def writes_the_example(folder: Path) -> None:
    """The files of the manifests' example, into a folder."""
    (example,) = [one for one in yaml.safe_load_all(MANIFEST.read_text()) if one["kind"] == "ConfigMap"]
    for name, text in example["data"].items():
        (folder / name).write_text(text)


def test_a11_that_one_of_a_pair_does_not_answer_is_what_the_shipped_rule_tells(story: Story, tmp_path: Path) -> None:
    """A read every 15 s, of Alertmanagers that answer, die in the sixth minute, stammer, or hear of no rules."""
    writes_the_example(tmp_path)
    series = {
        ("good", "answered"): "0+1x80",
        ("good", "silent"): "0x80",
        ("dies", "answered"): "0+1x20 20x60",
        ("dies", "silent"): "0x20 1+1x59",
        ("stammers", "answered"): "0+1x80",
        ("stammers", "silent"): "0+1x80",
        ("deaf", "answered"): "0x80",
        ("deaf", "deaf"): "0+1x80",
        # Nobody has asked it since its last read, which it did not answer: no release is under way.
        ("idle", "answered"): "0x80",
        ("idle", "silent"): "7x80",
    }
    told = [
        {
            "series": f'nightferry_alertmanager_reads_total{{alertmanager="{name}", outcome="{outcome}"}}',
            "values": values,
        }
        for (name, outcome), values in series.items()
    ]

    def fires(minute: int, *names: str) -> dict[str, Any]:
        says = "Alertmanager {} gives the controller no answer: its log says why"
        found = [
            {
                "exp_labels": {"alertmanager": name, "severity": "ticket"},
                "exp_annotations": {"summary": says.format(name)},
            }
            for name in names
        ]
        return {"eval_time": f"{minute}m", "alertname": "NightferryAlertmanagerNotHeard", "exp_alerts": found}

    rules_told = [fires(4, "deaf"), fires(9, "deaf"), fires(12, "deaf", "dies"), fires(18, "deaf", "dies")]
    asked = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "30s",
        "tests": [{"interval": "15s", "input_series": told, "alert_rule_test": rules_told}],
    }
    (tmp_path / "asked.yml").write_text(yaml.safe_dump(asked))
    command = [str(story.bed.programs.promtool), "test", "rules", str(tmp_path / "asked.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_in_the_manifests_is_one_that_alertmanager_and_prometheus_take(
    story: Story, tmp_path: Path
) -> None:
    writes_the_example(tmp_path)
    amtool = story.bed.programs.alertmanager.with_name("amtool")
    for command in (
        [str(amtool), "check-config", str(tmp_path / "alertmanager.yml")],
        [str(story.bed.programs.promtool), "check", "rules", str(tmp_path / "rules.yml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
