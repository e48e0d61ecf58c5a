"""Who may talk to the API server of the bed: static tokens, and the kubeconfig files that carry them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A user of the API server. RBAC decides what everyone but the members of system:masters may do."""

    name: str
    user: str
    groups: tuple[str, ...]

    @property
    def token(self) -> str:
        """The bearer token. It is no secret: the server lives on loopback for the length of a test run."""
        return f"bed-token-of-{self.name}"


_MASTERS = ("system:masters",)
ADMIN = Identity("admin", "bed-admin", _MASTERS)
KUBELET = Identity("kubelet", "bed-kubelet", _MASTERS)
CONTROLLERS = Identity("controllers", "bed-controllers", _MASTERS)
CONTROLLER = Identity(
    "controller",
    "system:serviceaccount:nightferry:nightferry",
    ("system:serviceaccounts", "system:serviceaccounts:nightferry"),
)
PERSON = Identity("person", "alice", ("people",))
# No story may grant this one anything outside its own namespace.
STRANGER = Identity("stranger", "mallory", ())
# Whose token Alertmanager sends; without any right until manifests/alertmanager.yaml is applied.
ALERT_SENDER = Identity(
    "alert-sender",
    "system:serviceaccount:nightferry:nightferry-alert-sender",
    ("system:serviceaccounts", "system:serviceaccounts:nightferry"),
)
IDENTITIES = (ADMIN, KUBELET, CONTROLLERS, CONTROLLER, PERSON, STRANGER, ALERT_SENDER)


def write_token_file(path: Path) -> None:
    """Writes the file for the API server's --token-auth-file: token, user, uid, groups."""
    rows = (f'{one.token},{one.user},uid-{one.name},"{",".join(one.groups)}"' for one in IDENTITIES)
    path.write_text("\n".join(rows) + "\n")


def write_kubeconfig(path: Path, *, url: str, ca: Path, identity: Identity, namespace: str = "default") -> None:
    """Writes a kubeconfig file for one identity. JSON is YAML, so no YAML writer is needed."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": identity.name, "user": {"token": identity.token}}],
        "contexts": [
            {"name": "bed", "context": {"cluster": "bed", "user": identity.name, "namespace": namespace}},
        ],
    }
    path.write_text(json.dumps(config, indent=1))
