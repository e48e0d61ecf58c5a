"""The real control plane: etcd, kube-apiserver and kube-controller-manager on free ports of loopback."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from tests.cluster.bed.api import Api, ApiError
from tests.cluster.bed.identities import ADMIN, CONTROLLER, CONTROLLERS, write_kubeconfig, write_token_file
from tests.cluster.bed.processes import free_port, last_lines, start_child, stop_child
from tests.setup.find import Programs

# Reads and writes of the product and of people are kept, with the bodies of writes; the bed's own traffic is not.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:masters"]},
        {"level": "None", "users": ["system:anonymous"]},
        {"level": "Request", "verbs": ["create", "update", "patch", "delete"]},
        {"level": "Metadata"},
    ],
}

READY_WITHIN = 120.0


@dataclass(slots=True)
class ControlPlane:
    """The three running servers. Stopping it stops all of them."""

    url: str
    ca: Path
    audit_log: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def stop(self) -> None:
        """Stops the servers in the reverse order of their start."""
        for child in reversed(self.children):
            stop_child(child, grace=2.0)


def start_control_plane(folder: Path, programs: Programs) -> ControlPlane:
    """Starts the servers with all their files in `folder` and waits until they answer.

    Raises RuntimeError with the end of a server's log when it ends early or is not ready in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + READY_WITHIN
    etcd, etcd_url = _start_etcd(folder, programs)
    apiserver, plane = _start_apiserver(folder, programs, etcd_url)
    plane.children += [etcd, apiserver]
    try:
        _await_apiserver(plane, apiserver, folder, deadline)
        plane.children.append(_start_controllers(folder, programs, plane))
        _await_controllers(plane, deadline)
    except BaseException:
        plane.stop()
        raise
    return plane


def _start_etcd(folder: Path, programs: Programs) -> tuple[subprocess.Popen[bytes], str]:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command: list[str | Path] = [
        programs.etcd,
        "--name=bed",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=bed={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    return start_child(command, log=folder / "etcd.log"), client


def _start_apiserver(folder: Path, programs: Programs, etcd: str) -> tuple[subprocess.Popen[bytes], ControlPlane]:
    port = free_port()
    certificates = folder / "apiserver-certificates"
    key = folder / "service-account.key"
    _write_key(key)
    write_token_file(folder / "tokens.csv")
    (folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    audit_log = folder / "audit.log"
    command: list[str | Path] = [
        programs.apiserver,
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={certificates}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://bed.test",
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-path={audit_log}",
        "--audit-log-mode=blocking",
        # A run writes about a hundred megabytes, and that is where the server begins a new file unless told otherwise.
        "--audit-log-maxsize=100000",
        "--v=0",
    ]
    child = start_child(command, log=folder / "apiserver.log")
    return child, ControlPlane(f"https://127.0.0.1:{port}", certificates / "apiserver.crt", audit_log)


def _start_controllers(folder: Path, programs: Programs, plane: ControlPlane) -> subprocess.Popen[bytes]:
    kubeconfig = folder / "controllers.kubeconfig"
    write_kubeconfig(kubeconfig, url=plane.url, ca=plane.ca, identity=CONTROLLERS)
    command: list[str | Path] = [
        programs.controllers,
        f"--kubeconfig={kubeconfig}",
        "--controllers=*,-nodelifecycle,-nodeipam,-ttl,-cloud-node-lifecycle",
        "--use-service-account-credentials=false",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        # An autoscaler that acts within seconds, so that a story need not wait for minutes.
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=5s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
        "--v=0",
    ]
    if _takes_port_flag(programs.controllers):
        command.append("--port=0")
    return start_child(command, log=folder / "controllers.log")


def _takes_port_flag(program: Path) -> bool:
    # Before 1.24 the program opens a fixed plain-text port unless told not to; later ones do not know the flag.
    answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return int(answer.split(".")[1]) < 24


def _write_key(path: Path) -> None:
    subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, capture_output=True)


def _await_apiserver(plane: ControlPlane, child: subprocess.Popen[bytes], folder: Path, deadline: float) -> None:
    while True:
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"kube-apiserver did not become ready:\n{last_lines(folder / 'apiserver.log')}")
        if plane.ca.is_file() and plane.ca.stat().st_size and _answers(plane, "/readyz"):
            return
        time.sleep(0.1)


def _answers(plane: ControlPlane, path: str) -> bool:
    api = Api(plane.url, ca=str(plane.ca), token=ADMIN.token)
    try:
        api.read(path)
    except (ApiError, urllib3.exceptions.HTTPError, OSError):
        return False
    finally:
        api.close()
    return True


def _await_controllers(plane: ControlPlane, deadline: float) -> None:
    # The first visible work of the controllers is the default ServiceAccount of a new namespace.
    api = Api(plane.url, ca=str(plane.ca), token=ADMIN.token)
    namespace = CONTROLLER.user.split(":")[2]
    api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    while not api.exists(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"):
        if time.monotonic() > deadline or plane.children[-1].poll() is not None:
            raise RuntimeError("kube-controller-manager did not start its work")
        time.sleep(0.1)
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": CONTROLLER.user.split(":")[3]}})
    api.close()
