"""Proves the test bed itself: what the release stories take for granted is shown here once."""

from __future__ import annotations

from tests.cluster.bed.bed import Bed
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually


def test_a_deployment_becomes_ready_and_fills_the_endpoints(site: Site) -> None:
    site.deploy(replicas=4)
    assert len(site.endpoints()) == 4
    assert all(address.startswith("198.18.") for address in site.endpoints())


def test_load_flows_without_a_loss_and_prometheus_counts_it_exactly(bed: Bed, site: Site) -> None:
    site.deploy(replicas=4)
    series = f'http_requests_total{{namespace="{site.name}"}}'
    eventually(
        lambda: len(bed.query(f'up{{namespace="{site.name}"}} == 1')) == 4, within=20, what="all pods are scraped"
    )
    with site.load(rate=100) as load:
        eventually(lambda: load.totals().answered >= 300, within=10, what="300 requests are answered")
    totals = load.totals()
    assert totals.lost == 0, totals.losses

    def counted() -> bool:
        found = {row["metric"]["pod"]: int(row["value"][1]) for row in bed.query(f"sum by (pod) ({series})")}
        return found == dict(totals.by_pod)

    eventually(counted, within=10, what="Prometheus has the exact counts of every pod")
