"""How the API server is found, and how credentials that rotate are kept up with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.cluster import login
from controller.cluster.connection import Reply
from controller.cluster.login import ConnectionSetupError, connect, kubeconfig_namespace
from tests.controller.adapters.builders import RealClock, SetClock
from tests.controller.adapters.server import obj, serving, status

OK = obj({"kind": "Thing"})


def kubeconfig(path: Path, *, token: str = "first", server: str = "https://one.example:6443") -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "night",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [
            {"name": "night", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
            {"name": "day", "context": {"cluster": "c", "user": "u"}},
        ],
    }
    path.write_text(json.dumps(config))
    return str(path)


def test_a_kubeconfig_file_names_server_token_and_namespace(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config")
    assert connect(RealClock(), kubeconfig=path).host == "https://one.example:6443"
    assert kubeconfig_namespace(path) == "shop"
    assert kubeconfig_namespace(path, "day") == "default"


def test_k17_a_rotated_token_in_a_kubeconfig_is_read_on_the_next_401(tmp_path: Path) -> None:
    with serving(OK, status(401, "Unauthorized"), OK) as server:
        path = kubeconfig(tmp_path / "config", server=server.url)
        connection = connect(RealClock(), kubeconfig=path)
        connection.request("GET", "/thing")
        kubeconfig(tmp_path / "config", server=server.url, token="second")
        assert connection.request("GET", "/thing") == b'{"kind": "Thing"}'
        tokens = [asked.headers["authorization"] for asked in server.asked]
    assert tokens == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_kubeconfig_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("a: [")
    for path in (str(tmp_path / "missing"), str(broken)):
        with pytest.raises(ConnectionSetupError) as refused:
            connect(RealClock(), kubeconfig=path)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConnectionSetupError, match=r"missing: there is none; say --kubeconfig FILE, or set KUBECONFIG"):
        connect(RealClock(), kubeconfig=str(tmp_path / "missing"))
    with pytest.raises(ConnectionSetupError):
        connect(RealClock(), kubeconfig=kubeconfig(tmp_path / "config"), context="noon")
    with pytest.raises(ConnectionSetupError, match="no context named noon"):
        kubeconfig_namespace(str(tmp_path / "config"), "noon")


def test_k17_a_pods_token_file_is_read_each_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SetClock()
    (tmp_path / "ca.crt").write_text("certificates")
    (tmp_path / "token").write_text("first\n")
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    connection = connect(clock)
    assert connection.host == "https://10.0.0.1:443"
    with serving(OK) as server:
        connection._configuration.host = server.url
        tokens = []
        for at, text in ((0.0, "second"), (59.0, "second"), (61.0, "second"), (62.0, ""), (200.0, "")):
            clock.at = 1000.0 + at
            (tmp_path / "token").write_text(text)  # empty: just being replaced
            assert isinstance(connection.exchange("GET", "/thing"), Reply)
            tokens.append(server.asked[-1].headers["authorization"])
    assert tokens == ["Bearer first", "Bearer first", "Bearer second", "Bearer second", "Bearer second"]


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_its_service_account_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in {"token", "ca.crt"} - {missing}:
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(ConnectionSetupError, match=missing):
        connect(RealClock())
