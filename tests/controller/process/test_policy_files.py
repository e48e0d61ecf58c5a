"""A folder of policy files: what is in it is applied, what leaves it deletes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from controller.policy_files import PolicyFiles, difference
from controller.report import Report
from policies.load import from_object, load_paths, train_from_object
from tests.controller.adapters.builders import connection_to
from tests.controller.apiserver import ApiServer

POLICY = """\
apiVersion: nightferry.dev/v1alpha1
kind: ReleasePolicy
metadata: {{name: {name}}}
spec:
  target: {{deployment: {name}}}
  strategy: {{twin: {{canary: {canary}, batches: 4}}}}
  gates:
    - name: errors
      errorRatio: {{errors: 'http_requests_total{{code=~"5.."}}', requests: http_requests_total}}{more}
"""


def written(folder: Path, name: str, *, canary: int = 1, more: str = "") -> Path:
    """Writes a policy file; its time differs from that of any earlier one."""
    file = folder / f"{name}.yaml"
    file.write_text(POLICY.format(name=name, canary=canary, more=more))
    stat = file.stat()
    written.count += 1  # type: ignore[attr-defined]
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + written.count))  # type: ignore[attr-defined]
    return file


written.count = 0  # type: ignore[attr-defined]


@pytest.fixture
def files(api: ApiServer, tmp_path: Path) -> PolicyFiles:
    return PolicyFiles(tmp_path, "shop", connection_to(api.url), Report())


def canary(api: ApiServer, name: str) -> Any:
    return from_object(api.objects["releasepolicies", "shop", name]).spec.strategy.twin.canary  # type: ignore[union-attr]


def test_policies_are_created_in_the_home_namespace_and_changed_when_the_file_changes(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    written(tmp_path, "checkout")
    written(tmp_path, "search")
    assert files.apply() == 2
    assert str(canary(api, "checkout")) == "1"
    written(tmp_path, "checkout", canary=2)
    assert files.apply() == 1
    assert str(canary(api, "checkout")) == "2"


def test_an_unchanged_folder_asks_the_cluster_nothing(api: ApiServer, files: PolicyFiles, tmp_path: Path) -> None:
    written(tmp_path, "checkout")
    files.apply()
    asked = len(api.asked)
    assert files.apply() == 0
    assert len(api.asked) == asked


def test_a_file_that_says_the_same_in_other_words_writes_nothing(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    file = written(tmp_path, "checkout")
    files.apply()
    file.write_text("# a comment\n" + file.read_text())
    assert files.apply() == 0
    assert api.writes[1:] == []


def test_a_field_that_leaves_the_file_leaves_the_policy(api: ApiServer, files: PolicyFiles, tmp_path: Path) -> None:
    written(tmp_path, "checkout", more="\n      limit: 5%\n  onDegraded: pause")
    files.apply()
    assert api.objects["releasepolicies", "shop", "checkout"]["spec"]["onDegraded"] == "pause"
    written(tmp_path, "checkout")
    files.apply()
    policy = from_object(api.objects["releasepolicies", "shop", "checkout"])
    assert policy.spec.on_degraded == "rollBack"
    assert policy.spec.gates[0].limit is None


def test_a_file_that_disappears_deletes_nothing(api: ApiServer, files: PolicyFiles, tmp_path: Path) -> None:
    file = written(tmp_path, "checkout")
    files.apply()
    file.unlink()
    assert files.apply() == 0
    assert ("releasepolicies", "shop", "checkout") in api.objects
    assert not [one for one in api.asked if one[0] == "DELETE"]


def test_a_bad_file_keeps_the_others_from_nothing(api: ApiServer, files: PolicyFiles, tmp_path: Path) -> None:
    written(tmp_path, "checkout")
    (tmp_path / "a-bad-one.yaml").write_text("kind: ReleasePolicy\nspec: {\n")
    assert files.apply() == 1
    assert ("releasepolicies", "shop", "checkout") in api.objects


def test_a_cluster_that_does_not_answer_is_asked_again(api: ApiServer, files: PolicyFiles, tmp_path: Path) -> None:
    written(tmp_path, "checkout")
    api.down = True
    assert files.apply() == 0
    api.down = False
    assert files.apply() == 1


# ------------------------------------------------------------------------------------------------------ trains

TRAIN = """\
apiVersion: nightferry.dev/v1alpha1
kind: ReleaseTrain
metadata: {{name: nightly}}
spec:
  window: {{from: "22:00", to: "06:00", zone: Europe/Berlin}}
  cars: [{{policy: {car}}}]
  atOnce: {at_once}
"""
TONIGHT = "\n  observe: {onUndecided: rollBack}"


def a_train(folder: Path, *, car: str = "checkout", at_once: int = 1) -> Path:
    file = folder / "a-train.yaml"
    file.write_text(TRAIN.format(car=car, at_once=at_once))
    return file


def test_trains_are_applied_after_the_policies_that_ride_them_and_changed_with_their_file(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    a_train(tmp_path)
    written(tmp_path, "checkout", more=TONIGHT)
    assert files.apply() == 2
    assert [plural for _, plural, _ in api.writes] == ["releasepolicies", "releasetrains"]
    assert train_from_object(api.objects["releasetrains", "shop", "nightly"]).spec.at_once == 1
    a_train(tmp_path, at_once=12)
    assert files.apply() == 1
    assert train_from_object(api.objects["releasetrains", "shop", "nightly"]).spec.at_once == 12
    assert files.apply() == 0


def test_a_train_with_a_fault_says_where_and_keeps_its_policies_from_nothing(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    file = a_train(tmp_path, car="chekout")
    written(tmp_path, "checkout", more=TONIGHT)
    with structlog.testing.capture_logs() as told:
        assert files.apply() == 1
    assert ("releasetrains", "shop", "nightly") not in api.objects
    (refused,) = [each["because"] for each in told if each["event"] == "policy file refused"]
    assert refused.startswith(f"{file}:1:1: error: spec.cars[0].policy: found chekout, and no such policy")
    assert refused.endswith("(did you mean checkout?)")


def test_a_train_that_the_cluster_does_not_take_says_who_must_act_and_is_tried_again(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    file = a_train(tmp_path)
    written(tmp_path, "checkout", more=TONIGHT)
    api.forbid.add("releasetrains")
    with structlog.testing.capture_logs() as told:
        assert files.apply() == 1
    (refused,) = [each for each in told if each["event"] == "train not applied"]
    assert refused["file"] == f"{file}:1"
    assert refused["because"].endswith("; whoever administers the cluster applies manifests/rbac.yaml")
    api.forbid.clear()
    assert files.apply() == 1


def test_labels_by_which_a_train_knows_its_cars_follow_the_file_and_those_of_others_stay(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    file = written(tmp_path, "checkout")
    files.apply()
    api.objects["releasepolicies", "shop", "checkout"]["metadata"]["labels"] = {"theirs": "kept"}
    file.write_text(file.read_text().replace("{name: checkout}\nspec", "{name: checkout, labels: {team: shop}}\nspec"))
    assert files.apply() == 1
    labels = api.objects["releasepolicies", "shop", "checkout"]["metadata"]["labels"]
    assert labels == {"theirs": "kept", "team": "shop"}
    assert str(canary(api, "checkout")) == "1"


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
)


def without_nulls(value: Any) -> Any:
    """As the API server keeps it: a merge patch cannot say null."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def merged(base: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    found = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


@given(st.dictionaries(st.sampled_from("abcd"), _TREES), st.dictionaries(st.sampled_from("abcd"), _TREES))
def test_the_difference_is_the_patch_that_makes_both_the_same(live: dict[str, Any], wanted: dict[str, Any]) -> None:
    live, wanted = without_nulls(live), without_nulls(wanted)
    assert merged(live, difference(live, wanted)) == wanted
    assert difference(wanted, wanted) == {}


def test_a_mounted_config_map_is_read_once_and_its_hidden_copy_not_at_all(
    api: ApiServer, files: PolicyFiles, tmp_path: Path
) -> None:
    """The kubelet mounts `..2026_01/checkout.yaml`, `..data` that links to it, and links from the folder into that."""
    hidden = tmp_path / "..2026_01"
    hidden.mkdir()
    written(hidden, "checkout")
    (tmp_path / "..data").symlink_to(hidden.name)
    (tmp_path / "checkout.yaml").symlink_to("..data/checkout.yaml")
    documents, errors = load_paths([tmp_path])
    assert [document.file for document in documents] == [str(tmp_path / "checkout.yaml")]
    assert errors == []
    assert files.apply() == 1

    newer = tmp_path / "..2026_02"
    newer.mkdir()
    written(newer, "checkout", canary=2)
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to(newer.name)
    assert files.apply() == 1
    assert str(canary(api, "checkout")) == "2"


def test_a_folder_is_left_between_two_policies_when_the_process_stops(files: PolicyFiles, tmp_path: Path) -> None:
    for name in ("checkout", "search", "basket"):
        written(tmp_path, name)
    asked = iter([False, False, True])
    assert files.apply(lambda: next(asked)) == 2
    assert files.apply() == 1
