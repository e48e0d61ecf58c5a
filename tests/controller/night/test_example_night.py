"""The night that is shipped to be copied: its files fit each other, and its cars leave, and come back, as it says."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from controller.configuration import configuration_from_text
from controller.night.platform import policies_of, seats_of, train_of
from controller.simulation.scenario import simulate
from policies.load import load_text
from policies.schema import ReleasePolicy
from tests.controller.night.trains import Course, Yard

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests"
NIGHT = MANIFESTS / "examples" / "night"
APPS = ("payments", "checkout", "search")
FOLDER = "/etc/nightferry/"
BAD_CHECKOUT = """\
# Errors begin in the second batch; batch three must never start.
release checkout v41 -> v42, 10 pods
load 200/s
errors 0.30%
at Batch 2: errors contender=3.00%
----
Degraded -> RollingBack
never Batch 3
"""


def objects(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def shipped() -> dict[str, ReleasePolicy]:
    """The policies by name."""
    found = [one.policy for one in load_text((NIGHT / "apps.yaml").read_text())]
    return {policy.metadata.name: policy for policy in found if policy is not None}


def test_every_car_of_the_train_may_ride_it() -> None:
    train, *policies = objects(NIGHT / "apps.yaml")
    seats, problem = seats_of(train_of(train), (), policies_of(policies))
    assert problem == ""
    assert [(seat.policy, seat.lacks) for seat in seats] == [(app, "") for app in APPS]


def test_whoever_is_told_and_whatever_fires_is_known_to_the_controller() -> None:
    configured, secret = objects(NIGHT / "controller.yaml")
    text = configured["data"]["configuration.yaml"]
    found = configuration_from_text(text)
    (spec,) = (train_of(one).spec for one in objects(NIGHT / "apps.yaml") if one["kind"] == "ReleaseTrain")
    assert spec is not None
    routes = [route.notifier for policy in shipped().values() for route in policy.spec.notify or ()]
    routes += [route.notifier for route in spec.report]
    assert set(routes) == {one.key for one in found.notifiers}
    assert {word.strip("},") for word in text.split() if word.startswith(FOLDER)} == {
        f"{FOLDER}{key}" for key in secret["stringData"]
    }
    assert found.settings.hears and found.alerts.listen is not None
    (_, _, _, service, example) = objects(MANIFESTS / "alertmanager.yaml")
    assert service["spec"]["ports"][0]["targetPort"] == found.alerts.listen[1]
    rules = yaml.safe_load(example["data"]["rules.yml"])["groups"][0]["rules"]
    assert found.alerts.watchdog == (("alertname", "Watchdog"),)
    assert "Watchdog" in {rule["alert"] for rule in rules}
    (match,) = (dict(each.match) for each in shipped()["checkout"].spec.alerts or ())
    assert match in [rule.get("labels") for rule in rules]


# The Deployment shows both objects in the folder that the configuration names.
def test_the_controllers_folder_has_the_configuration_and_the_secrets() -> None:
    *_, deployment = objects(MANIFESTS / "deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    kinds = [(kind, part["name"]) for source in volume["projected"]["sources"] for kind, part in source.items()]
    assert kinds == [(one["kind"][0].lower() + one["kind"][1:], one["metadata"]["name"])
                     for one in objects(NIGHT / "controller.yaml")]  # fmt: skip
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"] + "/") == (volume["name"], FOLDER)


def test_the_cars_leave_in_order_and_the_morning_is_told() -> None:
    yard = Yard(random.Random(1), now=datetime(2026, 11, 23, 20, 50, tzinfo=UTC).timestamp())  # 21:50 in Berlin
    for one in objects(NIGHT / "apps.yaml"):
        yard._create(one)
    for app in APPS:
        yard.ask(app, f"{app}-2", Course("RolledBack") if app == "search" else None)
    yard.run(540)
    assert yard.departures == []
    yard.run(3600)
    assert [each.policy for _, each in yard.departures] == ["payments", "search", "checkout"]
    assert {yard.phase(f"{app}-2") for app in APPS} == {"Succeeded", "RolledBack"}
    yard.run(8 * 3600, step=60.0)
    assert yard.night is not None and set(yard.night.reported) == {"webhook/release-room", "email/night-shift"}


def test_a_version_that_fails_is_turned_back() -> None:
    checkout = shipped()["checkout"]
    by_day = checkout.spec.model_copy(update={"window": None, "alerts": None})
    story = simulate(checkout.model_copy(update={"spec": by_day}), BAD_CHECKOUT, "night.txt", seed=1)
    assert story.outcome == "RolledBack"
