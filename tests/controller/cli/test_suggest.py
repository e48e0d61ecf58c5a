"""`nightferry suggest`: gates that fit what a store has of an app, and a line that says what to do where none does."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from policies.load import load_text
from policies.schema import ReleasePolicy
from tests.controller.adapters.server import Asked, Line, Server, hang_up, obj, serving
from tests.controller.cli.world import Nightferry

POD = "checkout-7d9f8c6b5d-x0zzz"
HTTP = {
    'http_requests_total{code="200",method="GET"}': 900.0,
    'http_requests_total{code="500",method="GET"}': 9.0,
    'http_request_duration_seconds_bucket{le="0.1"}': 700.0,
    'http_request_duration_seconds_bucket{le="+Inf"}': 909.0,
}
GO = {
    "go_goroutines": 40.0,
    "go_memstats_heap_inuse_bytes": 1e7,
    "process_resident_memory_bytes": 1e8,
    "process_cpu_seconds_total": 12.0,
    "process_open_fds": 20.0,
}
NATIVE = "native"


@dataclass
class Shelf:
    """A store at one instant: series by their labels, and the four forms of question that `suggest` asks."""

    series: list[tuple[dict[str, str], float | str]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    def add(self, names: Mapping[str, float | str], **labels: str) -> Shelf:
        """Series named as in a selector, with more labels."""
        where = {"namespace": "shop", "pod": POD, **labels}
        for name, value in names.items():
            parsed = promql_parser.parse(name)
            assert isinstance(parsed, promql_parser.VectorSelector) and parsed.name is not None
            own = {matcher.name: matcher.value for matcher in parsed.matchers.matchers}
            both = {"__name__": parsed.name, **own, **{key: value for key, value in where.items() if value}}
            self.series.append((both, value))
        return self

    def answer(self, asked: Asked, line: Line) -> None:
        query = asked.form["query"]
        at = float(asked.form["start"])
        self.queries.append(query)
        result = [
            {"metric": labels, **({"histograms": [[at, {}]]} if value == NATIVE else {"values": [[at, str(value)]]})}
            for labels, value in self.found(promql_parser.parse(query))
        ]
        obj({"status": "success", "data": {"resultType": "matrix", "result": result}})(asked, line)

    def found(self, node: Any) -> list[tuple[dict[str, str], float | str]]:
        match node:
            case promql_parser.AggregateExpr():
                by = node.modifier.labels if node.modifier is not None else []
                groups: dict[tuple[tuple[str, str], ...], int] = {}
                for labels, _ in self.found(node.expr):
                    key = tuple((name, labels[name]) for name in by if name in labels)
                    groups[key] = groups.get(key, 0) + 1
                return [(dict(key), float(count)) for key, count in groups.items()]
            case promql_parser.Call():
                assert node.func.name == "last_over_time"
                return self.found(node.args[0].vector_selector)
            case promql_parser.VectorSelector():
                return [one for one in self.series if _fits(node, one[0])]
        raise AssertionError(f"not a question of suggest: {node}")


def _fits(node: Any, labels: Mapping[str, str]) -> bool:
    if node.name and labels["__name__"] != node.name:
        return False
    for matcher in node.matchers.matchers:
        value, equal = labels.get(matcher.name, ""), str(matcher.op) == "MatchOp.Equal"
        if not (value == matcher.value if equal else re.fullmatch(matcher.value, value)):
            return False
    return True


@contextlib.contextmanager
def store(*parts: Mapping[str, float | str], **labels: str) -> Iterator[tuple[Server, Shelf]]:
    shelf = Shelf()
    for part in parts:
        shelf.add(part, **labels)
    with serving(shelf.answer) as server:
        yield server, shelf


def suggested(nightferry: Nightferry, server: Server, *more: str) -> tuple[ReleasePolicy, str]:
    """The policy that was printed, read back, and the text."""
    said = nightferry("suggest", "checkout", "-n", "shop", "--prometheus", server.url, *more)
    assert said.code == 0, said
    assert said.err == ""
    [document] = load_text(said.out)
    assert document.policy is not None
    return document.policy, said.out


def names(policy: ReleasePolicy) -> list[str]:
    return [gate.name for gate in policy.spec.gates]


def test_the_gates_of_what_is_there_as_a_policy_that_can_be_applied(nightferry: Nightferry, tmp_path: Path) -> None:
    with store(HTTP, GO) as (server, _):
        policy, text = suggested(nightferry, server)
    assert names(policy) == ["errors", "latency", "memory", "cpu", "goroutines", "heap", "open-files"]
    assert policy.name == "checkout"
    assert policy.spec.target.deployment == "checkout"
    assert "# from http/promhttp: github.com/prometheus/client_golang/prometheus/promhttp v1.25.0" in text
    assert "# from go/client_golang: " in text
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    assert nightferry("validate", str(file)).code == 0


def test_labels_tell_two_libraries_with_the_same_metric_apart(nightferry: Nightferry) -> None:
    names_of_fastapi = {
        'http_requests_total{handler="/",method="GET",status="2xx"}': 10.0,
        'http_request_duration_highr_seconds_bucket{le="+Inf"}': 10.0,
        'http_request_duration_seconds_bucket{handler="/",le="+Inf"}': 10.0,
        "python_info": 1.0,
        "process_resident_memory_bytes": 1e8,
    }
    with store(names_of_fastapi) as (server, _):
        policy, text = suggested(nightferry, server)
    assert "http/fastapi" in text
    assert "python/prometheus_client" in text
    errors, latency, memory = policy.spec.gates
    assert str(errors.selectors()["errors"]) == 'http_requests_total{status=~"5.."}'
    assert str(latency.selectors()["histogram"]) == "http_request_duration_highr_seconds_bucket"
    assert memory.name == "memory"


def test_a_missing_histogram_is_a_note_with_what_to_do(nightferry: Nightferry) -> None:
    spring = {
        'http_server_requests_seconds_count{status="200",uri="/"}': 10.0,
        'http_server_requests_seconds_sum{status="200",uri="/"}': 1.0,
    }
    with store(spring) as (server, _):
        policy, text = suggested(nightferry, server)
    assert names(policy) == ["errors"]
    assert "# note: no gate latency: Buckets need management.metrics.distribution.percentiles-histogram" in text


def test_a_native_histogram_says_how_to_keep_the_classic_one(nightferry: Nightferry) -> None:
    with store({'http_requests_total{code="200"}': 5.0, "http_request_duration_seconds": NATIVE}) as (server, _):
        _, text = suggested(nightferry, server)
    assert "http_request_duration_seconds is a native histogram" in text
    assert "always_scrape_classic_histograms: true" in text


def test_a_summary_is_no_histogram(nightferry: Nightferry) -> None:
    summary = {'http_request_duration_seconds{quantile="0.99"}': 0.2, 'http_requests_total{code="200"}': 5.0}
    with store(summary) as (server, _):
        _, text = suggested(nightferry, server)
    assert "is a summary" in text


def test_recording_rules_are_passed_over_and_counted(nightferry: Nightferry) -> None:
    with store(HTTP, {"pod:http_requests:rate5m": 3.0}) as (server, _):
        _, text = suggested(nightferry, server)
    assert "# note: 1 recording rule was passed over (pod:http_requests:rate5m)" in text


def test_a_pair_of_stores_is_read_once(nightferry: Nightferry) -> None:
    shelf = Shelf()
    for replica in ("prometheus-0", "prometheus-1"):
        shelf.add(HTTP, prometheus_replica=replica).add(GO, prometheus_replica=replica)
    with serving(shelf.answer) as server:
        policy, text = suggested(nightferry, server)
    for gate in policy.spec.gates:
        told = [str(one) for one in gate.selectors().values()] or [gate.gauge.query.text if gate.gauge else ""]
        assert all('prometheus_replica="prometheus-0"' in one for one in told), told
    assert "every count is there 2 times, once per prometheus_replica (prometheus-0, prometheus-1)" in text


def test_a_pod_that_two_jobs_scrape_is_read_once(nightferry: Nightferry) -> None:
    shelf = Shelf().add(HTTP, job="pods", instance="10.0.0.1:80").add(HTTP, job="services", instance="10.0.0.1:80")
    with serving(shelf.answer) as server:
        policy, _ = suggested(nightferry, server)
    assert 'job="pods"' in str(policy.spec.gates[0].selectors()["requests"])


def test_two_containers_that_count_for_themselves_are_not_one_seen_twice(nightferry: Nightferry) -> None:
    other = {name: 3.0 * value for name, value in HTTP.items()}
    shelf = Shelf().add(HTTP, instance="10.0.0.1:80").add(other, instance="10.0.0.1:81")
    with serving(shelf.answer) as server:
        policy, text = suggested(nightferry, server)
    assert "instance" not in str(policy.spec.gates[0].selectors()["requests"])
    assert "every count is there" not in text


def test_other_names_of_the_pod_label_go_into_the_policy(nightferry: Nightferry) -> None:
    labels = {"pod": "", "namespace": "", "kubernetes_pod_name": POD, "kubernetes_namespace": "shop"}
    with store(HTTP, GO, **labels) as (server, _):
        policy, _ = suggested(nightferry, server)
    assert (policy.spec.metrics.pod, policy.spec.metrics.namespace) == ("kubernetes_pod_name", "kubernetes_namespace")
    gauges = [gate.gauge.query.text for gate in policy.spec.gates if gate.gauge is not None]
    assert gauges
    assert all('kubernetes_pod_name="$pods"' in one for one in gauges)


def test_names_of_the_apps_own_making_are_guessed_and_said_to_be(nightferry: Nightferry) -> None:
    own = {
        'shop_api_requests_total{status_code="200"}': 5.0,
        'shop_api_request_duration_seconds_bucket{le="+Inf"}': 5.0,
    }
    with store(own) as (server, _):
        policy, text = suggested(nightferry, server)
    assert str(policy.spec.gates[0].selectors()["errors"]) == 'shop_api_requests_total{status_code=~"5.."}'
    assert str(policy.spec.gates[1].selectors()["histogram"]) == "shop_api_request_duration_seconds_bucket"
    assert "read the selectors before you trust them" in text


def test_memory_of_a_runtime_that_no_preset_knows_is_still_watched(nightferry: Nightferry) -> None:
    with store(HTTP, {"process_resident_memory_bytes": 1e8}) as (server, _):
        policy, text = suggested(nightferry, server)
    assert names(policy) == ["errors", "latency", "memory"]
    assert "# from process: " in text


def test_json_carries_policy_sources_and_notes(nightferry: Nightferry) -> None:
    with store(HTTP) as (server, _):
        said = nightferry("suggest", "checkout", "-n", "shop", "--prometheus", server.url, "--json")
    found = json.loads(said.out)
    [document] = load_text(yaml.safe_dump(found["policy"]))
    assert document.policy is not None
    assert found["sources"][0].startswith("http/promhttp: ")


@pytest.mark.parametrize(
    ("parts", "labels", "told"),
    [
        ([], {}, "no present series names a pod of checkout in namespace shop"),
        ([{"kube_pod_status_ready": 1.0, "container_memory_usage_bytes": 1.0}], {}, "only from others"),
        ([{"up": 1.0, "my_own_gauge": 2.0}], {}, "2 metrics of checkout were seen, none of a kind"),
        ([HTTP], {"pod": "other-7d9f8c6b5d-x0zzz"}, "no present series names a pod of checkout"),
        ([HTTP], {"namespace": "elsewhere"}, "no present series names a pod of checkout"),
    ],
)
def test_where_nothing_fits_one_line_says_what_to_do(
    nightferry: Nightferry, parts: Iterable[Mapping[str, float | str]], labels: dict[str, str], told: str
) -> None:
    with store(*parts, **labels) as (server, _):
        refusal = nightferry("suggest", "checkout", "-n", "shop", "--prometheus", server.url).refusal
    assert told in refusal


def test_a_jobs_pods_are_not_taken_for_those_of_the_app(nightferry: Nightferry) -> None:
    with store(HTTP, pod="checkout-migrate-x0zzz") as (server, _):
        assert (
            "no present series names a pod"
            in nightferry("suggest", "checkout", "-n", "shop", "--prometheus", server.url).refusal
        )


@pytest.mark.parametrize("name", ["Not_A_Name", "a" * 64, "--", "x;y"])
def test_an_app_that_can_be_none_is_refused(nightferry: Nightferry, name: str) -> None:
    said = nightferry("suggest", "--prometheus", "http://127.0.0.1:1", "--", name)
    assert "allowed: the name of a Deployment" in said.refusal


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (hang_up, 1),
        (obj({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400), 2),
        (obj({"status": "success", "warnings": ["one is down"], "data": {"resultType": "matrix", "result": []}}), 1),
    ],
    ids=["silent", "refused", "partial"],
)  # fmt: skip
def test_a_store_that_does_not_help_ends_in_one_line(nightferry: Nightferry, answer: Any, code: int) -> None:
    with serving(answer) as server:
        said = nightferry("suggest", "checkout", "-n", "shop", "--prometheus", server.url)
    assert said.code == code
    [line] = said.err.splitlines()
    assert line.startswith("nightferry: the metric store does not answer: ") == (code == 1), line
    assert said.out == ""
