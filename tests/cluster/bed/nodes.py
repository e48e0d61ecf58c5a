"""The nodes of the bed and the scheduler's part of the work: which node a pending pod is bound to.

Pod garbage collection deletes pods that are bound to no existing node, so the node objects must exist. A node with
the label `bed.test/dedicated` takes only pods whose node selector asks for it: a story that drains a node makes its
own first.
"""

from __future__ import annotations

from typing import Any

from tests.cluster.bed.api import Api, ApiError, Object

DEDICATED = "bed.test/dedicated"
NODE_CPUS = 16
COMMON_NODES = 3


def create_node(api: Api, name: str, labels: dict[str, str] | None = None) -> None:
    """Creates a ready node object; one that exists already is left as it is."""
    capacity = {"cpu": str(NODE_CPUS), "memory": "64Gi", "pods": "500"}
    node = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        },
    }
    try:
        api.create("/api/v1/nodes", node)
    except ApiError as error:
        if error.status != 409:
            raise


def choose_node(nodes: list[Object], pod: Object, turn: int) -> tuple[str | None, str]:
    """The node for a pending pod, or None with the scheduler's sentence; `turn` spreads pods over fitting nodes."""
    unfit: dict[str, int] = {}
    fitting = []
    for node in nodes:
        reason = _why_not(node, pod)
        if reason:
            unfit[reason] = unfit.get(reason, 0) + 1
        else:
            fitting.append(str(node["metadata"]["name"]))
    if fitting:
        return sorted(fitting)[turn % len(fitting)], ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(unfit.items()))
    return None, f"0/{len(nodes)} nodes are available: {reasons}."


def _why_not(node: Object, pod: Object) -> str:
    labels = node["metadata"].get("labels", {})
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return "node(s) didn't match Pod's node affinity"
    if DEDICATED in labels and DEDICATED not in wanted:
        return "node(s) had taint {" + DEDICATED + "}, that the pod didn't tolerate"
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    if _cpus(pod) > NODE_CPUS:
        return "Insufficient cpu"
    return ""


def _cpus(pod: Object) -> float:
    return sum(_cpu_request(one) for one in pod["spec"]["containers"])


def _cpu_request(container: dict[str, Any]) -> float:
    quantity = str(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
