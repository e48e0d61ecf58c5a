"""`nightferry train`: a night as people and as scripts see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import Nightferry

NIGHT: dict[str, Any] = {
    "id": "2026-11-24",
    "opened": "2026-11-23T17:00:00Z",
    "closes": "2026-11-23T21:30:00Z",
    "departed": [
        {
            "release": "payments-2",
            "uid": "p2",
            "policy": "payments",
            "at": "2026-11-23T17:00:10Z",
            "ended": "Succeeded",
        },
        {"release": "checkout-2", "uid": "c2", "policy": "checkout", "at": "2026-11-23T17:20:10Z"},
    ],
    "waiting": [{"release": "search-2", "uid": "s2", "policy": "search", "because": "1 of 1 releases are under way"}],
}
STATUS = {"phase": "Open", "because": "open until Tue 05:30", "counts": "2 left, 1 waiting", "night": NIGHT}


def a_train(api: ApiServer, status: dict[str, Any] | None = None) -> None:
    api.put(
        "releasetrains",
        "nightly",
        {"spec": {"window": {"zone": "Asia/Shanghai"}}, **({"status": status} if status else {})},
    )


def test_a_train_is_a_line_and_with_its_name_a_table_of_who_left_and_who_waits(
    api: ApiServer, nightferry: Nightferry
) -> None:
    a_train(api, STATUS)
    assert nightferry("train").out.splitlines() == [
        "train nightly  Open  night 2026-11-24: 2 left, 1 waiting  open until Tue 05:30"
    ]
    lines = nightferry("train", "nightly").out.splitlines()
    assert lines == [
        "train nightly  Open  night 2026-11-24: 2 left, 1 waiting",
        "  open until Tue 05:30",
        "",
        "CAR       RELEASE     LEFT (Asia/Shanghai)  STANDS",
        "payments  payments-2  01:00:10              Succeeded",
        "checkout  checkout-2  01:20:10              gone",
        "search    search-2    -                     waits",
        "  1 of 1 releases are under way",
    ]


# Eighty columns: why somebody stands still is never cut, and a release that is taken back is not one that arrived.
def test_a_narrow_screen_shows_every_reason_in_full(
    api: ApiServer, nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    because = "the line is stopped: 1 of 2 releases turned back: checkout-2 (GateDegraded), and nobody has looked yet"
    waiting = [{**NIGHT["waiting"][0], "because": because}]
    a_train(api, {**STATUS, "phase": "Stopped", "because": because, "night": {**NIGHT, "waiting": waiting}})
    api.put("releases", "payments-back", {"spec": {"policy": "payments", "rollbackOf": "payments-2"},
                                          "status": {"phase": "Succeeded"}})  # fmt: skip
    monkeypatch.setenv("COLUMNS", "60")
    lines = nightferry("train", "nightly").out.splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()).count(because) == 2
    assert "  payments-back takes it back: Succeeded" in lines


def test_scripts_get_the_status_as_it_is(api: ApiServer, nightferry: Nightferry) -> None:
    a_train(api, STATUS)
    (told,) = json.loads(nightferry("train", "nightly", "-o", "json").out)
    assert told == {"namespace": "shop", "train": "nightly", **STATUS}


def test_a_train_that_nobody_has_looked_at_and_one_that_is_not_there(api: ApiServer, nightferry: Nightferry) -> None:
    assert nightferry("train").out == "no trains in namespace shop\n"
    a_train(api)
    assert "waits for the controller" in nightferry("train", "nightly").out
    assert nightferry("train", "daily").refusal == "no train daily in namespace shop; its trains: nightly"


# By day the train has no night yet, or the last one: what was asked for since then waits, and says for what.
def test_what_is_asked_for_by_day_is_seen_to_wait(api: ApiServer, nightferry: Nightferry) -> None:
    window = {"days": "Mon-Thu", "from": "01:00", "to": "05:30", "zone": "Asia/Shanghai"}
    cars = [{"policy": "payments"}, {"policies": {"team": "discovery"}}]
    api.put(
        "releasetrains", "nightly", {"apiVersion": "nightferry.dev/v1alpha1", "spec": {"window": window, "cars": cars}}
    )
    api.put("releasepolicies", "payments", {})
    api.put("releasepolicies", "search", {"metadata": {"labels": {"team": "discovery"}}})
    assert nightferry("train", "nightly").out.splitlines()[-1] == "nothing has left, and nothing waits"
    held = {"because": "the window is closed; it opens Mon 01:00"}
    api.put("releases", "payments-1", {"spec": {"policy": "payments"}, "status": {"phase": "Superseded"}})
    api.put("releases", "payments-2", {"spec": {"policy": "payments"}, "status": {"phase": "Queued", "held": held}})
    api.put("releases", "search-2", {"spec": {"policy": "search"}})
    api.put("releases", "search-back", {"spec": {"policy": "search", "rollbackOf": "search-1"}})
    api.put("releases", "orders-2", {"spec": {"policy": "orders"}})
    assert nightferry("train", "nightly").out.splitlines()[3:] == [
        "CAR       RELEASE     LEFT (Asia/Shanghai)  STANDS",
        "payments  payments-2  -                     waits",
        "  the window is closed; it opens Mon 01:00",
        "search    search-2    -                     waits",
        "  waits for the controller",
    ]
