"""`nightferry release`: what is asked is written once and right, and what cannot be meant is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.release.vocabulary import Cause, Phase
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import Nightferry, deployment, ended, has_release, moving


def written(api: ApiServer) -> dict[str, object]:
    """The spec of the one release that was created."""
    [(method, plural, body)] = api.writes
    assert (method, plural) == ("POST", "releases")
    assert body["metadata"] == {"generateName": "checkout-", "namespace": "shop"}
    spec: dict[str, object] = body["spec"]
    assert spec.pop("policy") == "checkout"
    return spec


def test_an_image_goes_to_the_only_container(app: ApiServer, nightferry: Nightferry) -> None:
    said = nightferry("release", "checkout", "--image", "registry.test/app:v42", "--reason", "the new form")
    assert said.code == 0
    assert said.out.startswith("release shop/checkout-")
    assert written(app) == {
        "images": {"app": "registry.test/app:v42"},
        "requestedBy": "alice",
        "reason": "the new form",
    }


def test_an_image_goes_to_the_container_that_the_policy_names(app: ApiServer, nightferry: Nightferry) -> None:
    app.put("deployments", "checkout", deployment("proxy", "app"))
    app.change(("releasepolicies", "shop", "checkout"), {"spec": {"target": {"container": "app"}}})
    assert nightferry("release", "checkout", "--image", "registry.test/app:v42").code == 0
    assert written(app)["images"] == {"app": "registry.test/app:v42"}


def test_images_and_variables_of_several_containers(app: ApiServer, nightferry: Nightferry) -> None:
    app.put("deployments", "checkout", deployment("proxy", "app"))
    said = nightferry(
        *("release", "checkout", "--image", "app=r.test/app:v2", "--image", "proxy=r.test/proxy@sha256:" + "a" * 64),
        *("--env", "app:MODE=fast=1", "--env", "app:EMPTY=", "--env", "proxy:A=b"),
    )
    assert said.code == 0
    spec = written(app)
    assert spec["images"] == {"app": "r.test/app:v2", "proxy": "r.test/proxy@sha256:" + "a" * 64}
    assert spec["env"] == {"app": {"MODE": "fast=1", "EMPTY": ""}, "proxy": {"A": "b"}}


def test_settings_alone_are_a_release(app: ApiServer, nightferry: Nightferry) -> None:
    assert nightferry("release", "checkout", "--config").code == 0
    assert written(app) == {"config": "live", "requestedBy": "alice"}


def test_the_emergency_door_is_written_with_its_reason(app: ApiServer, nightferry: Nightferry) -> None:
    assert nightferry("release", "checkout", "--image", "r.test/app:v2", "--skip-gates", "--reason", "outage").code == 0
    assert written(app)["skipGates"] == {"reason": "outage"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["release", "checkout"], "give --image, --env, --template or --config"),
        (["release", "checkout", "--image", "proxy=r.test/app:v2"], "no container proxy; the Deployment has: app"),
        (["release", "checkout", "--image", "two words"], "spec.images.app: found 'two words'"),
        (["release", "checkout", "--image", "app="], "spec.images.app"),
        (["release", "checkout", "--image", "a=b", "--image", "a=c"], "no container a"),
        (["release", "checkout", "--image", "b", "--image", "c"], "container app is given twice"),
        (["release", "checkout", "--image", "b", "--skip-gates"], "--skip-gates needs --reason"),
        (["release", "checkout", "--image", "b", "--skip-gates", "--reason", "  "], "--skip-gates needs --reason"),
        (["release", "checkout", "--image", "b", "--reason", "x" * 1025], "--reason"),
        (["release", "checkout", "--env", "MODE=fast"], "--env MODE: allowed: CONTAINER:NAME=VALUE"),
        (["release", "checkout", "--env", "web:A=b"], "no container web"),
        (["release", "checkout", "--env", "app:1A=b"], "spec.env.app"),
        (["release", "chekcout", "--image", "b"], "its policies: checkout (did you mean checkout?)"),
        (["release", "checkout", "--image", "b", "--timeout", "5m"], "--timeout needs --wait"),
        (["release", "checkout", "--image", "b", "--wait", "--timeout", "soon"], "--timeout: found 'soon'"),
        (["release", "checkout", "--template", "/nowhere.yaml"], "No such file"),
        (["release", "checkout", "--wrong"], "--wrong"),
        (["release"], "Missing argument 'APP' (see `nightferry release --help`)"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    app: ApiServer, nightferry: Nightferry, arguments: list[str], words: str
) -> None:
    assert words in nightferry(*arguments).refusal
    assert app.writes == []


def test_a_secret_in_a_wrong_variable_is_not_shown(app: ApiServer, nightferry: Nightferry) -> None:
    said = nightferry("release", "checkout", "--env", "nowhere:TOKEN=hunter2")
    assert "hunter2" not in said.refusal


def test_several_containers_without_a_name_are_listed(app: ApiServer, nightferry: Nightferry) -> None:
    app.put("deployments", "checkout", deployment("app", "proxy"))
    assert "which container? Give CONTAINER=IMAGE, one of: app, proxy" in (
        nightferry("release", "checkout", "--image", "r.test/app:v2").refusal
    )
    assert app.writes == []


def test_a_missing_deployment_and_a_refused_policy_are_said_at_once(api: ApiServer, nightferry: Nightferry) -> None:
    policy = {"spec": {"target": {"deployment": "checkout"}, "strategy": {"twin": {}}, "gates": []}}
    api.put("releasepolicies", "checkout", {"apiVersion": "nightferry.dev/v1alpha1", **policy})
    assert "policy checkout is not valid: spec.gates" in nightferry("release", "checkout", "--image", "b").refusal


def test_what_the_server_forbids_is_said_in_its_words(app: ApiServer, nightferry: Nightferry) -> None:
    app.forbid.add("releases")
    assert 'User "alice" cannot write' in nightferry("release", "checkout", "--image", "b").refusal


def test_a_cluster_that_does_not_answer_is_not_a_refusal(app: ApiServer, nightferry: Nightferry) -> None:
    app.down = True
    said = nightferry("release", "checkout", "--image", "b")
    assert said.code == 1
    assert said.err.splitlines() == ["nightferry: the cluster does not answer: the server is asleep"]


def test_without_a_kubeconfig_there_is_one_line(
    nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "nothing"))
    assert "kubeconfig" in nightferry("status").refusal


# -------------------------------------------------------------------------------------------------- templates


def test_a_whole_deployment_replaces_the_pods_spec(app: ApiServer, nightferry: Nightferry, tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: checkout}\n"
        "spec:\n  replicas: 3\n  template:\n    metadata: {labels: {app: checkout, tier: web}, name: x}\n"
        "    spec:\n      containers: [{name: app, image: 'registry.test/app:v7'}]\n"
    )
    assert nightferry("release", "checkout", "--template", str(file)).code == 0
    assert written(app)["template"] == {
        "metadata": {"labels": {"app": "checkout", "tier": "web"}},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:v7"}], "$patch": "replace"},
    }


def test_a_pod_template_is_a_merge_patch(app: ApiServer, nightferry: Nightferry, tmp_path: Path) -> None:
    file = tmp_path / "patch.yaml"
    file.write_text("spec:\n  terminationGracePeriodSeconds: 5\n")
    assert nightferry("release", "checkout", "--template", str(file)).code == 0
    assert written(app)["template"] == {"spec": {"terminationGracePeriodSeconds": 5}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Service\nspec: {}\n", "found kind Service"),
        ("spec: {a: 1}\nspec: {b: 2}\n", "2:1: error"),
        ("- 1\n", "one document"),
        ("kind: Deployment\nspec: {}\n", "no spec.template.spec"),
        ("replicas: 3\n", "spec.template.replicas"),
    ],
)
def test_a_template_that_is_none_is_refused(
    app: ApiServer, nightferry: Nightferry, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(text)
    assert words in nightferry("release", "checkout", "--template", str(file)).refusal
    assert app.writes == []


# ---------------------------------------------------------------------------------------------------- waiting


ENDS = [
    (ended(Phase.SUCCEEDED, Cause.COMPLETED), 0),
    (ended(Phase.ROLLED_BACK, Cause.GATE, "errors 4 %"), 3),
    (ended(Phase.NEEDS_HUMAN, Cause.FIELD_FIGHT, "argocd set it back"), 4),
    (ended(Phase.CANCELLED, Cause.REFUSED, "an HPA scales this app"), 2),
]


@pytest.mark.parametrize(("end", "code"), ENDS, ids=[str(end.phase) for end, _ in ENDS])
def test_the_exit_code_says_which_end_it_was(app: ApiServer, nightferry: Nightferry, end: object, code: int) -> None:
    plays(app, None, moving(0), moving(2), end)
    said = nightferry("release", "checkout", "--image", "b", "--wait")
    assert said.code == code
    lines = said.out.splitlines()
    assert [word in line for line, word in zip(lines[1:4], ("Queued", "Canary", "Batch  2/4"), strict=True)] == [
        True
    ] * 3
    if code:
        assert end.because in said.err  # type: ignore[attr-defined]
        assert len(said.err.splitlines()) == 1
    else:
        assert said.err == ""


def test_a_release_that_outlasts_the_patience_is_still_running(app: ApiServer, nightferry: Nightferry) -> None:
    plays(app, moving(1))
    said = nightferry("release", "checkout", "--image", "b", "--wait", "--timeout", "100ms")
    assert said.code == 5
    assert "is still running" in said.err


def test_a_cluster_that_goes_away_for_a_while_does_not_end_the_waiting(app: ApiServer, nightferry: Nightferry) -> None:
    records = iter([moving(0), moving(0), ended(Phase.SUCCEEDED, Cause.COMPLETED)])

    def read(key: tuple[str, str, str]) -> None:
        if key[0] == "releases":
            app.objects.pop(key, None) if (record := next(records, None)) is None else shows(app, key, record)

    app.on_read = read
    real, calls = app._judge, 0

    def judge(method: str, path: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
        nonlocal calls
        if "/releases/" in path:
            calls += 1
            if calls in (2, 3):
                return 503, {"kind": "Status", "reason": "ServiceUnavailable", "message": "asleep", "code": 503}
        return real(method, path, body)

    app._judge = judge  # type: ignore[method-assign]
    said = nightferry("release", "checkout", "--image", "b", "--wait")
    assert said.code == 0
    assert said.err.splitlines() == ["nightferry: the cluster does not answer (asleep); still waiting"]


def test_a_deleted_release_ends_the_waiting_with_a_person(app: ApiServer, nightferry: Nightferry) -> None:
    def read(key: tuple[str, str, str]) -> None:
        if key[0] == "releases":
            app.objects.pop(key, None)

    app.on_read = read
    said = nightferry("release", "checkout", "--image", "b", "--wait")
    assert said.code == 4
    assert "was deleted" in said.err


def test_a_release_under_way_is_told_that_it_goes_back(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-old", moving(1))
    said = nightferry("release", "checkout", "--image", "b")
    assert "release checkout-old is under way: it is turned back first" in said.out


def test_a_release_that_waits_is_told_that_it_is_replaced(app: ApiServer, nightferry: Nightferry) -> None:
    app.put("releases", "checkout-old", {"spec": {"policy": "checkout"}, "status": {"phase": "Queued"}})
    said = nightferry("release", "checkout", "--image", "b")
    assert "release checkout-old waits: this one takes its place" in said.out


def shows(api: ApiServer, key: tuple[str, str, str], record: object) -> None:
    """Writes the status of a record into a stored release."""
    from controller.record import to_status

    api.change(key, {"status": to_status(record, generation=1, policy_name="checkout")})  # type: ignore[arg-type]


def plays(api: ApiServer, *records: object) -> None:
    """Each read of a release finds the next record; the last one stays."""
    left = list(records)

    def read(key: tuple[str, str, str]) -> None:
        if key[0] == "releases" and key in api.objects:
            record = left.pop(0) if len(left) > 1 else left[0]
            if record is not None:
                shows(api, key, record)

    api.on_read = read
