"""Proves the test bed itself: what the release stories take for granted is shown here once."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.bed.api import ApiError, Object
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.identities import CONTROLLER, STRANGER
from tests.cluster.bed.prometheus import Prometheus, query
from tests.cluster.bed.shared import ROOT, joined
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.cluster.bed.writers import writer

SCRAPED_WITHIN = 20.0


def waiting_reasons(site: Site) -> set[str]:
    """The reasons for which containers of the site wait right now."""
    statuses = [one for pod in site.pods() for one in pod["status"].get("containerStatuses", [])]
    return {str(one["state"]["waiting"]["reason"]) for one in statuses if "waiting" in one["state"]}


def await_scraped(bed: Bed, site: Site, pods: int) -> None:
    up = f'up{{namespace="{site.name}"}} == 1'
    eventually(lambda: len(bed.query(up)) == pods, within=SCRAPED_WITHIN, what=f"{pods} pods are scraped")


class TestPods:
    def test_a_deployment_becomes_ready_and_fills_the_endpoints(self, site: Site) -> None:
        site.deploy(replicas=4)
        assert len(site.endpoints()) == 4
        assert all(address.startswith("198.18.") for address in site.endpoints())

    def test_a_crash_loop_backs_off_and_its_restarts_grow(self, site: Site) -> None:
        site.deploy(image="registry.test/checkout:v2-crash0.2", replicas=1, wait=False)
        eventually(lambda: "CrashLoopBackOff" in waiting_reasons(site), within=15, what="the kubelet backs off")

        def status() -> dict[str, Any]:
            found: dict[str, Any] = site.pods()[0]["status"]["containerStatuses"][0]
            return found

        seen = status()["restartCount"]
        eventually(lambda: status()["restartCount"] >= seen + 2, within=20, what="restartCount grows")
        assert status()["lastState"]["terminated"]["exitCode"] == 1

    def test_a_pod_that_is_never_ready_stays_out_of_the_endpoints(self, site: Site) -> None:
        # The healthy Deployment shows that the Service works; the other one has the Service's label too.
        site.deploy(replicas=2)
        sick = site.api.read(site.path("deployments", "checkout"))
        selector = {"app": "checkout", "slot": "sick"}
        template = sick["spec"]["template"]
        template["metadata"]["labels"] = selector
        template["spec"]["containers"][0]["image"] = "registry.test/checkout:v2-neverready"
        spec = {"replicas": 1, "selector": {"matchLabels": selector}, "template": template}
        site.api.create(site.path("deployments"), {"metadata": {"name": "sick"}, "spec": spec})

        def is_running() -> bool:
            return any(pod["status"].get("phase") == "Running" for pod in site.pods("sick"))

        eventually(is_running, within=15, what="the sick pod runs")
        with site.load(rate=50) as load:
            eventually(lambda: load.totals().answered >= 100, within=10, what="the service answers")
        assert site.ready_pods("sick") == []
        assert len(site.endpoints()) == 2
        assert set(load.totals().by_pod) == set(site.ready_pods("checkout"))

    def test_an_image_that_is_missing_is_never_pulled(self, site: Site) -> None:
        site.deploy(image="registry.test/missing:v2", replicas=1, wait=False)
        eventually(lambda: "ImagePullBackOff" in waiting_reasons(site), within=15, what="the pull backs off")
        assert site.pods()[0]["status"]["phase"] == "Pending"

    def test_a_killed_container_is_restarted_in_the_same_pod(self, site: Site) -> None:
        site.deploy(replicas=1)
        name = site.ready_pods()[0]
        site.kill_container(name)

        def is_back() -> bool:
            status = site.pods()[0]["status"]["containerStatuses"][0]
            return bool(status["restartCount"] == 1 and status["ready"])

        eventually(is_back, within=15, what="the pod is ready again")
        assert site.ready_pods() == [name]

    def test_a_slow_start_is_not_ready_before_its_time(self, site: Site) -> None:
        site.deploy(image="registry.test/checkout:v2-slowstart8", replicas=1)
        status = site.pods()[0]["status"]
        (ready,) = [one["lastTransitionTime"] for one in status["conditions"] if one["type"] == "Ready"]
        (started,) = [one["state"]["running"]["startedAt"] for one in status["containerStatuses"]]
        assert datetime.fromisoformat(ready) - datetime.fromisoformat(started) >= timedelta(seconds=8)

    def test_a_pod_without_a_fitting_node_waits_and_a_drained_one_moves(self, site: Site) -> None:
        nodes, selector = site.create_nodes(2)
        site.cordon(nodes[0])
        site.cordon(nodes[1])
        site.deploy(replicas=2, node_selector=selector, wait=False)

        def is_refused() -> bool:
            conditions = [one for pod in site.pods() for one in pod.get("status", {}).get("conditions", [])]
            return [one["reason"] for one in conditions] == ["Unschedulable"] * 2

        eventually(is_refused, within=15, what="both pods are unschedulable")
        site.cordon(nodes[0], unschedulable=False)
        site.await_ready("checkout", 2)
        site.cordon(nodes[1], unschedulable=False)
        gone = set(site.drain(nodes[0]))
        assert len(gone) == 2
        # A pod that ends is not ready any more and stays for its grace period: being gone is more than not being ready.
        eventually(lambda: not gone & {pod["metadata"]["name"] for pod in site.pods()}, within=15, what="they are gone")
        site.await_ready("checkout", 2)
        assert {pod["spec"]["nodeName"] for pod in site.pods()} == {nodes[1]}


class TestLoadAndMetrics:
    def test_load_flows_without_a_loss_and_prometheus_counts_it_exactly(self, bed: Bed, site: Site) -> None:
        site.deploy(replicas=4)
        await_scraped(bed, site, 4)
        with site.load(rate=100) as load:
            eventually(lambda: load.totals().answered >= 300, within=10, what="300 requests are answered")
        totals = load.totals()
        assert totals.lost == 0, totals.losses
        by_pod = f'sum by (pod) (http_requests_total{{namespace="{site.name}"}})'

        def is_counted() -> bool:
            return {row["metric"]["pod"]: int(row["value"][1]) for row in bed.query(by_pod)} == totals.by_pod

        eventually(is_counted, within=10, what="Prometheus has the exact counts of every pod")

    def test_scaling_up_and_down_loses_no_request(self, site: Site) -> None:
        site.deploy(replicas=4)
        with site.history() as history, site.load(rate=200) as load:
            eventually(lambda: load.totals().answered > 200, within=10, what="the load flows")
            site.scale("checkout", 6)
            site.await_ready("checkout", 6)
            site.scale("checkout", 4)
            site.await_ready("checkout", 4)
            eventually(lambda: len(site.pods()) == 4, within=15, what="the two pods are gone")
        totals = load.totals()
        assert totals.lost == 0, totals.losses
        assert history.replicas_of("checkout") == [4, 6, 4]
        assert len(history.deleted_pods("checkout")) == 2
        assert len(history.created_pods("checkout")) == 2

    def test_a_request_to_a_killed_pod_is_counted_as_lost(self, site: Site) -> None:
        # Both crash again and again, each in its own time; nobody waits for a moment at which both are ready.
        site.deploy(replicas=2, image="registry.test/checkout:v1-crash3", wait=False)
        with site.load(rate=200) as load:
            eventually(lambda: load.totals().lost > 0, within=15, what="the generator sees the loss")
        assert load.totals().losses

    def test_errors_and_latency_follow_the_image_and_its_chosen_pods(self, bed: Bed, site: Site) -> None:
        # 20 % errors and latencies times four, but in the second pod of the ReplicaSet only.
        site.deploy(replicas=3, image="registry.test/checkout:v2-errors20-slow4-only2")
        await_scraped(bed, site, 3)
        with site.load(rate=600, burst=5) as load:
            eventually(lambda: min([*load.totals().by_pod.values(), 0, 0][:3]) >= 500, within=15, what="enough load")
        # Each series as it was scraped last: a scrape that comes too late on a busy machine ends it for a second.
        total = f'sum by (pod) (last_over_time(http_requests_total{{namespace="{site.name}"}}[5m]))'
        failed = f'sum by (pod) (last_over_time(http_requests_total{{namespace="{site.name}", code="500"}}[5m]))'
        buckets = f'http_request_duration_seconds_bucket{{namespace="{site.name}"}}'
        buckets = f"sum by (pod, le) (last_over_time({buckets}[5m]))"
        eventually(
            lambda: sum(int(row["value"][1]) for row in bed.query(total)) == load.totals().answered,
            within=10,
            what="everything is scraped",
        )
        ratio = {row["metric"]["pod"]: float(row["value"][1]) for row in bed.query(f"{failed} / {total}")}
        bad = [pod for pod, share in ratio.items() if share > 0.1]
        assert len(bad) == 1
        # What a pod draws hangs on its name, which is another one in every run: six standard deviations.
        spread = 6 * math.sqrt(0.2 * 0.8 / load.totals().by_pod[bad[0]])
        assert ratio[bad[0]] == pytest.approx(0.20, abs=spread)
        medians = bed.query(f"histogram_quantile(0.5, {buckets})")
        slow = {row["metric"]["pod"]: float(row["value"][1]) for row in medians}
        assert slow.pop(bad[0]) == pytest.approx(0.160, abs=0.05)
        assert all(median == pytest.approx(0.040, abs=0.015) for median in slow.values())

    def test_a_running_pod_can_be_given_another_behaviour(self, site: Site) -> None:
        site.deploy(replicas=1)
        site.order_behaviour(site.ready_pods()[0], "errors100")
        with site.load(rate=50) as load:
            eventually(lambda: load.totals().answered >= 50, within=10, what="50 requests are answered")
        assert load.totals().error_ratio == 1.0

    def test_a_story_can_stop_and_start_its_own_prometheus(self, bed: Bed, site: Site) -> None:
        site.deploy(replicas=2)
        with bed.own_prometheus(site.name) as prometheus:
            await_own(prometheus, 2)
            scraped = float(query(prometheus.url, "max(timestamp(up))")[0]["value"][1])
            prometheus.stop()
            with pytest.raises(Exception, match="refused"):
                query(prometheus.url, "up")
            prometheus.start()
            await_own(prometheus, 2)
            # What was scraped before the stop is still there.
            (row, *_) = query(prometheus.url, "last_over_time(up[1m])", at=scraped)
            assert row["metric"]["namespace"] == site.name


def await_own(prometheus: Prometheus, pods: int) -> None:
    eventually(
        lambda: len(query(prometheus.url, "up == 1")) == pods, within=SCRAPED_WITHIN, what="its own pods are scraped"
    )


class TestHistory:
    def test_a_planted_dip_is_found(self, site: Site) -> None:
        site.deploy(replicas=4)
        with site.history() as history:
            site.scale("checkout", 1)
            eventually(lambda: len(site.ready_pods()) == 1, within=10, what="three pods are gone")
            site.scale("checkout", 4)
            site.await_ready("checkout", 4)
        broken = history.violations(desired=4, max_unavailable=1, max_surge=0)
        assert {one.law for one in broken} == {"availability"}
        assert history.lowest_ready().total_ready == 1
        assert broken[0].moment.replicas == {"checkout": 1}
        (lowering,) = history.unsafe_lowerings(desired=4, max_unavailable=1)
        assert (lowering.found, lowering.bound) == (1, 3)

    def test_removing_pods_that_are_not_ready_is_no_dip(self, site: Site) -> None:
        site.deploy(replicas=3, image="registry.test/checkout:v2-neverready-from3", wait=False)

        def is_counted() -> bool:
            # By the controller too: it takes the pod that it knows to be not ready.
            return bool(site.deployment("checkout").get("status", {}).get("readyReplicas") == 2)

        eventually(is_counted, within=15, what="two of three pods are ready")
        with site.history() as history:
            site.scale("checkout", 2)
            eventually(lambda: len(site.pods()) == 2, within=15, what="the third is gone")
        assert history.unsafe_lowerings(desired=3, max_unavailable=0) == []
        assert len(site.ready_pods()) == 2

    def test_a_planted_surge_is_found(self, site: Site) -> None:
        site.deploy(replicas=2)
        with site.history() as history:
            site.scale("checkout", 5)
            site.scale("checkout", 2)
        broken = history.violations(desired=2, max_unavailable=0, max_surge=2)
        assert {(one.law, one.found, one.bound) for one in broken} == {("surge", 5, 4)}
        assert history.highest_replicas().total_replicas == 5

    def test_a_rollout_within_its_bounds_is_silent(self, site: Site) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}
        site.deploy(replicas=4, strategy=strategy)
        old = set(site.ready_pods())
        with site.history() as history:
            site.set_image("checkout", "registry.test/checkout:v2")
            eventually(
                lambda: not old & {pod["metadata"]["name"] for pod in site.pods()}, within=30, what="it rolled out"
            )
            site.await_ready("checkout", 4)
        assert history.violations(desired=4, max_unavailable=1, max_surge=1) == []
        assert set(history.deleted_pods("checkout")) == old
        assert history.restarts() == {}

    def test_writers_are_told_apart(self, site: Site) -> None:
        site.deploy(replicas=1)
        with site.history() as history:
            site.api.patch(site.path("deployments", "checkout"), {"spec": {"replicas": 2}}, fieldManager="somebody")
            site.await_ready("checkout", 2)
        writes = history.writes_by_manager()
        assert writes["somebody"] == 1
        assert writes["kube-controller-manager"] >= 1
        assert set(writes) == {"somebody", "kube-controller-manager"}

    # A status that is counted up within the second of somebody's write, or without a new field, moves no time.
    @pytest.mark.parametrize(
        ("changes", "moved", "writer_is"),
        [
            ({"spec": {"replicas": 2}}, ("person", "08:00:01"), "person"),
            ({"spec": {"replicas": 2}}, None, "person"),
            ({"status": {"observedGeneration": 4}}, None, "machine"),
            ({"status": {"conditions": [{"type": "Available", "status": "False"}]}}, None, "machine"),
            ({"metadata": {"annotations": {}}}, None, "machine"),
            ({"metadata": {"labels": {"a": "b"}}}, None, "unknown"),
        ],
    )
    def test_a_write_is_told_by_what_it_has_changed(
        self, changes: Object, moved: tuple[str, str] | None, writer_is: str
    ) -> None:
        def entry(manager: str, fields: Object, **more: str) -> Object:
            time = moved[1] if moved is not None and moved[0] == manager else "08:00:00"
            return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields, **more}

        condition = 'k:{"type":"Available"}'
        before: Object = {
            "metadata": {"annotations": {"revision": "1"}},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 3, "conditions": [{"type": "Available", "status": "True"}]},
        }
        owned: list[tuple[str, Object, dict[str, str]]] = [
            ("machine", {"f:metadata": {"f:annotations": {".": {}, "f:revision": {}}}}, {}),
            (
                "machine",
                {"f:status": {"f:observedGeneration": {}, "f:conditions": {condition: {".": {}, "f:status": {}}}}},
                {"subresource": "status"},
            ),
            ("person", {"f:spec": {"f:replicas": {}}}, {}),
        ]
        after = {part: {**before[part], **changes.get(part, {})} for part in before}
        for one, fresh in ((before, False), (after, True)):
            entries = [entry(manager, fields, **more) for manager, fields, more in owned]
            one["metadata"]["managedFields"] = [
                {**each, "time": each["time"] if fresh else "08:00:00"} for each in entries
            ]
        assert writer(before, after) == writer_is

    def test_restarts_are_counted(self, site: Site) -> None:
        site.deploy(replicas=2)
        victim = site.ready_pods()[0]
        with site.history() as history:
            site.kill_container(victim)
            eventually(lambda: history.restarts() == {victim: 1}, within=15, what="the restart is seen")


class TestIdentities:
    @pytest.fixture
    def widgets(self, bed: Bed, tmp_path: Path) -> Iterator[None]:
        """A custom kind, so that custom objects are shown to work."""
        crd = ROOT / "tests" / "cluster" / "bed" / "widgets.yaml"
        bed.apply_manifests(crd)
        yield
        bed.admin.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.bed.test")

    def test_an_identity_may_do_only_what_its_rules_say(self, bed: Bed, site: Site) -> None:
        stranger = bed.api(STRANGER)
        with pytest.raises(ApiError, match="403"):
            stranger.read(site.path("pods"))
        rights = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
        role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{site.name}"
        site.api.create(f"{role}/roles", {"metadata": {"name": "reader"}, "rules": rights})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
        user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": STRANGER.user}
        binding = {"metadata": {"name": "reader"}, "roleRef": reference, "subjects": [user]}
        site.api.create(f"{role}/rolebindings", binding)
        eventually(lambda: may_list(stranger, site), within=10, what="the rule holds")
        with pytest.raises(ApiError, match="403"):
            stranger.create(site.path("configmaps"), {"metadata": {"name": "forbidden"}})

        def written() -> list[tuple[str, str, int]]:
            asked = bed.requests(STRANGER, namespace=site.name)
            return [(one.verb, one.resource, one.status) for one in asked if one.is_write]

        # The log has a request a moment after its answer.
        assert eventually(written, within=10, what="the write is logged") == [("create", "configmaps", 403)]
        assert bed.requests(CONTROLLER, namespace=site.name) == []

    def test_custom_objects_are_served_and_replaced(self, bed: Bed, site: Site, widgets: None, tmp_path: Path) -> None:
        text = "apiVersion: bed.test/v1\nkind: Widget\nmetadata: {name: one}\nspec: {size: %d}\n"
        for size in (3, 4):
            (tmp_path / "widget.yaml").write_text(text % size)
            bed.apply_manifests(tmp_path, namespace=site.name)
        stored = site.api.read(f"/apis/bed.test/v1/namespaces/{site.name}/widgets/one")
        assert stored["spec"] == {"size": 4}


def may_list(api: Any, site: Site) -> bool:
    try:
        api.read(site.path("pods"))
    except ApiError:
        return False
    return True


class TestBedProcess:
    def test_a_second_user_joins_the_same_servers(self, bed: Bed) -> None:
        with joined(bed.facts.folder) as facts:
            assert facts == bed.facts

    def test_a_killed_test_run_leaves_no_process_behind(self, tmp_path: Path) -> None:
        program = (
            "import pathlib, sys, time\n"
            "from tests.cluster.bed.shared import joined\n"
            "with joined(pathlib.Path(sys.argv[1])) as facts:\n"
            "    print(facts.pid, flush=True)\n"
            "    time.sleep(600)\n"
        )
        command = [sys.executable, "-c", program, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as user:
            assert user.stdout is not None
            bed_pid = int(user.stdout.readline())
            family = [bed_pid, *children_of(bed_pid)]
            user.send_signal(signal.SIGKILL)
        assert len(family) == 5  # the bed, etcd, kube-apiserver, kube-controller-manager, prometheus
        eventually(lambda: not any(is_alive(pid) for pid in family), within=15, what="all servers are gone")

    def test_a_killed_bed_takes_its_servers_with_it(self, tmp_path: Path) -> None:
        with joined(tmp_path) as facts:
            servers = children_of(facts.pid)
            os.kill(facts.pid, signal.SIGKILL)
            assert len(servers) == 4
            eventually(lambda: not any(is_alive(pid) for pid in servers), within=10, what="all servers are gone")


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while they are counted.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
