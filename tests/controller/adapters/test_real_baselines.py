"""Baseline objects on a real API server: accepted, guarded, read back, and gone with their policy."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest

from analysis.learned import LearnedCounts, LearnedLevels, NotLearned
from controller.baseline import MAX_OBJECT, Baseline, learning_digest, restored, to_object
from controller.cluster.baselines import Baselines, Copies
from controller.cluster.cache import Cache, Kind
from controller.cluster.connection import Connection
from controller.cluster.shell import Cluster
from controller.learning.learner import Learner
from controller.release.names import AppKey
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadBaseline
from controller.settings import Settings
from tests.cluster.bed.api import ApiError
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.controller.adapters.builders import RealClock
from tests.controller.learning.builders import COUNTS, DAY, NOW, WINDOW, Past, Store, a_baseline
from tests.policies.builders import a_policy, a_policy_object

pytestmark = pytest.mark.cluster

GROUP = "/apis/nightferry.dev/v1alpha1"
SHORT: dict[str, Any] = {"strategy": {"twin": {"batches": 2}}, "observe": {"atLeast": "2m", "atMost": "10m"}}


@pytest.fixture
def shelf(connection: Connection, cache: Cache) -> Baselines:
    # A release can do without baselines, so the copy counts as complete before they are listed.
    eventually(lambda: cache.trouble(Kind.BASELINE, 90.0) is None, within=15, what="the baselines are listed")
    return Baselines(connection, cache, bound=90.0)


@pytest.fixture
def policy(site: Site, cache: Cache) -> Any:
    """A policy of the namespace, in the watch cache."""
    obj = a_policy_object(**SHORT)
    obj["metadata"] = {"name": "checkout"}
    stored = site.apply(obj)
    eventually(lambda: any(_uid(one) == _uid(stored) for one in Copies(cache).policies()), within=10, what="the policy")
    return stored


def _uid(obj: Any) -> str:
    return str(obj["metadata"]["uid"])


def path(site: Site, plural: str = "baselines", name: str = "checkout") -> str:
    return f"{GROUP}/namespaces/{site.name}/{plural}/{name}"


def manifest(site: Site, policy: Any, baseline: Baseline, version: str = "") -> dict[str, Any]:
    return to_object(baseline, namespace=site.name, name="checkout", policy_uid=_uid(policy), resource_version=version)


def ours(**fields: Any) -> Baseline:
    return a_baseline(a_policy(**SHORT), learned_at=NOW, **fields)


def believed(obj: Any) -> Baseline | NotLearned:
    return restored(obj, digest=learning_digest(a_policy(**SHORT), WINDOW), now=NOW)


def version_of(obj: Any) -> str:
    assert not isinstance(obj, Failure), obj
    return str(obj["metadata"]["resourceVersion"])


def test_a_baseline_is_kept_whole_and_read_back_the_same(site: Site, policy: Any, shelf: Baselines) -> None:
    before = ours()
    kept = shelf.keep(manifest(site, policy, before))
    assert believed(kept) == believed(manifest(site, policy, before))
    found = shelf.read(site.name, "checkout")
    assert isinstance(found, dict)
    assert isinstance(believed(found), Baseline)
    # Nothing that was written is missing from the cluster's schema: the API server would have dropped it.
    written = {key: value for key, value in manifest(site, policy, before)["status"].items() if value is not None}
    assert found["status"] == json.loads(json.dumps(written))
    eventually(lambda: isinstance(shelf.glance(site.name, "checkout"), dict), within=10, what="the copy has it")


def test_k1_of_two_writes_on_one_version_the_second_is_refused(site: Site, policy: Any, shelf: Baselines) -> None:
    first = shelf.keep(manifest(site, policy, ours()))
    again = shelf.keep(manifest(site, policy, ours()))
    assert isinstance(again, Failure)
    assert again.kind is FailureKind.EXISTS
    version = version_of(first)
    second = shelf.keep(manifest(site, policy, ours(coverage=0.5), version))
    assert version_of(second) != version
    stale = shelf.keep(manifest(site, policy, ours(coverage=0.1), version))
    assert isinstance(stale, Failure)
    assert stale.kind is FailureKind.CONFLICT
    found = believed(shelf.read(site.name, "checkout"))
    assert isinstance(found, Baseline)
    assert found.coverage == 0.5


def test_a_patch_takes_the_last_look_and_gates_that_are_gone_away(site: Site, policy: Any, shelf: Baselines) -> None:
    first = shelf.keep(manifest(site, policy, ours()))
    second = shelf.keep(manifest(site, policy, ours(present=None, gates={"errors": COUNTS}), version_of(first)))
    assert not isinstance(second, Failure)
    assert "present" not in second["status"]
    assert [one["name"] for one in second["status"]["gates"]] == ["errors"]
    found = believed(second)
    assert isinstance(found, Baseline)
    assert found.present is None
    assert set(found.gates) == {"errors"}


def test_the_largest_baseline_is_accepted_by_the_server(site: Site, policy: Any, shelf: Baselines) -> None:
    rng = np.random.default_rng(1)
    gates = {
        f"gauge-{n}": LearnedLevels(
            tuple(rng.standard_normal(200).tolist()), 0.1, 0.0, COUNTS.calibration, COUNTS.standing
        )
        for n in range(32)
    }
    kept = shelf.keep(manifest(site, policy, ours(gates=gates)))
    assert not isinstance(kept, Failure), kept
    assert len(json.dumps(kept["status"])) <= MAX_OBJECT
    assert isinstance(believed(kept), Baseline)


def test_a_baseline_goes_with_its_policy(bed: Bed, site: Site, policy: Any, shelf: Baselines) -> None:
    shelf.keep(manifest(site, policy, ours()))
    site.api.delete(path(site, "releasepolicies"))
    eventually(lambda: shelf.read(site.name, "checkout") is None, within=60, what="the baseline is collected")


def test_people_see_in_a_table_when_it_was_learned_and_how_good_it_is(
    bed: Bed, site: Site, policy: Any, shelf: Baselines
) -> None:
    shelf.keep(manifest(site, policy, ours()))
    crd = bed.admin.read("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/baselines.nightferry.dev")
    columns = [one["name"] for one in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert columns == ["Learned", "Segments", "Coverage", "Status", "Age"]
    conditions = {one["type"]: one["status"] for one in crd["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_a_tick_reads_it_from_the_copy(site: Site, policy: Any, shelf: Baselines, cluster: Cluster) -> None:
    absent = cluster.perform(ReadBaseline(site.name, "checkout"))
    assert isinstance(absent, Failure)
    assert absent.kind is FailureKind.ABSENT
    shelf.keep(manifest(site, policy, ours()))

    def there() -> bool:
        found = cluster.perform(ReadBaseline(site.name, "checkout"))
        return isinstance(found, dict) and isinstance(believed(found), Baseline)

    eventually(there, within=10, what="the tick sees it")


class FixedClock(RealClock):
    """What is learned hangs on where the clock stands, so it stands still; waits take their time."""

    def now(self) -> float:
        return NOW


class Ear:
    def __init__(self) -> None:
        self.outcomes: list[tuple[AppKey, str]] = []

    def learned(self, app: AppKey, what: str, outcome: str, took: float, because: str) -> None:
        self.outcomes.append((app, outcome))

    def learner_crashed(self, app: AppKey, error: Exception) -> None:
        raise error


def test_b8_a_baseline_that_was_edited_by_hand_is_learned_anew(
    site: Site, policy: Any, shelf: Baselines, cache: Cache
) -> None:
    ear = Ear()
    store = Store(begin=NOW - 7 * DAY, replica_sets={"checkout-6c7d8f9b54": (NOW - 7 * DAY, math.inf)})

    class Here(Copies):
        """The policies of this test's namespace only: other tests share the cluster."""

        def policies(self) -> Any:
            return [one for one in super().policies() if one["metadata"]["namespace"] == site.name]

    learner = Learner(Here(cache), shelf, lambda _: Past(store), Settings(), FixedClock(), ear)

    def learned() -> bool:
        learner.turn()
        found = shelf.read(site.name, "checkout")
        baseline = believed(found) if isinstance(found, dict) else None
        return isinstance(baseline, Baseline) and isinstance(baseline.gates["errors"], LearnedCounts)

    eventually(learned, within=30, what="the first baseline")
    found = shelf.read(site.name, "checkout")
    assert isinstance(found, dict)
    broken = copy.deepcopy(found["status"]["payload"]).replace("0.", "1.", 1)
    site.api.patch(path(site), {"status": {"payload": broken}}, content_type="application/merge-patch+json")
    edited = believed(shelf.read(site.name, "checkout"))
    assert isinstance(edited, NotLearned)
    assert edited.reason == "Corrupt"
    eventually(learned, within=90, what="the baseline is learned anew")
    assert [outcome for _, outcome in ear.outcomes] == ["kept", "kept"]


def test_a_payload_that_is_too_long_for_the_kind_is_refused_by_the_server(site: Site, policy: Any) -> None:
    obj = manifest(site, policy, ours())
    obj["status"] = {key: value for key, value in obj["status"].items() if value is not None}
    obj["status"]["payload"] = "x" * (MAX_OBJECT + 1)
    with pytest.raises(ApiError):
        site.api.create(path(site, name="")[:-1], obj)
