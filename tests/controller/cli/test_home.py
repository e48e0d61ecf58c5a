"""The way out: a release home, and then the person's own deletion of what is empty and ours."""

from __future__ import annotations

from typing import Any

import pytest

from controller.record import to_status
from controller.release.names import CLAIM_ANNOTATION
from controller.release.vocabulary import Cause, Phase
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import Nightferry, deployment, ended, has_release, moving

TWIN = ("deployments", "shop", "checkout-twin")
OURS = {"labels": {"app.kubernetes.io/managed-by": "nightferry"}}


def has_twin(app: ApiServer, replicas: int, pods: int | None = None, **metadata: Any) -> None:
    twin = deployment("app")
    twin["spec"]["replicas"] = replicas
    app.put(
        "deployments", "checkout-twin", {**twin, "metadata": {**OURS, **metadata}, "status": {"replicas": pods or 0}}
    )


def has_second_slot(app: ApiServer) -> bool:
    return TWIN in app.objects


def test_an_app_without_a_second_deployment_is_at_home(app: ApiServer, nightferry: Nightferry) -> None:
    assert "is at home: checkout is its only Deployment" in nightferry("home", "checkout").out
    assert app.writes == []


def test_an_app_that_is_served_by_the_second_one_is_brought_home_first(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 10)
    said = nightferry("home", "checkout", "--reason", "we leave")
    assert "home to checkout" in said.out and "run `nightferry home checkout` again" in said.out
    [(method, plural, body)] = app.writes
    assert (method, plural) == ("POST", "releases")
    assert body["spec"] == {"policy": "checkout", "home": True, "reason": "we leave", "requestedBy": "alice"}
    assert has_second_slot(app)


def test_an_empty_second_deployment_is_removed(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 0)
    assert "app shop/checkout is at home; checkout-twin is removed" in nightferry("home", "checkout").out
    assert not has_second_slot(app)


def test_both_in_one_go(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 10)

    def read(key: tuple[str, str, str]) -> None:
        if key[0] == "releases" and key in app.objects:
            end = ended(Phase.SUCCEEDED, Cause.COMPLETED)
            app.change(key, {"status": to_status(end, generation=1, policy_name="checkout")})
            app.change(TWIN, {"spec": {"replicas": 0}})

    app.on_read = read
    assert nightferry("home", "checkout", "--wait").code == 0
    assert not has_second_slot(app)


def test_a_release_home_that_turned_back_removes_nothing(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 10)

    def read(key: tuple[str, str, str]) -> None:
        if key[0] == "releases" and key in app.objects:
            end = ended(Phase.ROLLED_BACK, Cause.ABORTED)
            app.change(key, {"status": to_status(end, generation=1, policy_name="checkout")})

    app.on_read = read
    assert nightferry("home", "checkout", "--wait").code == 3
    assert has_second_slot(app)


def test_nobody_elses_deployment_is_removed(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 0, labels={})
    assert "was not made by nightferry" in nightferry("home", "checkout").refusal
    assert has_second_slot(app)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [({"annotations": {CLAIM_ANNOTATION: "{}"}}, "is still claimed by a release")],
)
def test_one_that_is_not_free_stays(
    app: ApiServer, nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch, metadata: Any, words: str
) -> None:
    monkeypatch.setattr("controller.cli.home._PATIENCE", 0.0)
    has_twin(app, 0, **metadata)
    assert words in nightferry("home", "checkout").refusal
    assert has_second_slot(app)


def test_one_that_somebody_fills_at_the_last_moment_stays(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 0)
    app.before_patch = lambda key: app.change(key, {"spec": {"replicas": 3}}) if key == TWIN else None
    assert nightferry("home", "checkout").code != 0
    assert has_second_slot(app)


def test_not_while_a_release_is_under_way(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 0)
    has_release(app, "checkout-1", moving(1))
    assert "`nightferry abort checkout` turns it back" in nightferry("home", "checkout").refusal
    assert has_second_slot(app)


def test_without_the_right_to_delete_it_says_so(app: ApiServer, nightferry: Nightferry) -> None:
    has_twin(app, 0)
    app.forbid = {"deployments"}
    assert "cannot write resource" in nightferry("home", "checkout").refusal
    assert has_second_slot(app)
