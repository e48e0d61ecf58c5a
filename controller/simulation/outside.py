"""What a policy's gates find outside the metric store in a simulated cluster, as long as nothing else is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.requests.outside import Spoken
from policies.schema import ReleasePolicySpec

if TYPE_CHECKING:
    from controller.simulation.world import World

_SMOKE_TEST = """\
apiVersion: batch/v1
kind: Job
spec:
  backoffLimit: 1
  template:
    metadata: {labels: {role: smoke-test}}
    spec:
      restartPolicy: Never
      containers:
        - {name: smoke, image: "registry.example/smoke:v1"}
"""


def furnish(world: World, policy: ReleasePolicySpec, namespace: str) -> None:
    """The templates of Jobs that a policy names, and endpoints that are content."""
    for gate in policy.gates:
        if gate.webhook is not None:
            world.endpoints.setdefault(gate.webhook.endpoint, Spoken(204))
        if gate.job is not None:
            name = gate.job.template.partition("/")[2]
            if ("ConfigMap", namespace, name) not in world.objects.items:
                world.create(template(name), namespace)


def template(name: str, job: str = _SMOKE_TEST) -> dict[str, Any]:
    """A ConfigMap with a smoke test as a team would write it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"job.yaml": job}}
