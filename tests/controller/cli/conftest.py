"""A person at a terminal: a kubeconfig, an app with a policy, and a cluster that answers from memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.commands import main
from controller.loop import SystemClock
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import NOW, POLICY, Nightferry, Said, deployment


@pytest.fixture(scope="module", autouse=True)
def pinned() -> Iterator[None]:
    """The commands read one and the same instant: what is recent, where a grid cuts history, and every seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SystemClock, "now", lambda _: NOW)
        yield


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.stop()


@pytest.fixture
def nightferry(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Nightferry:
    """Runs a command as alice in namespace shop."""
    # The client reads $KUBECONFIG once, when it is imported; a command is a process of its own.
    file = str(api.kubeconfig(tmp_path / "kubeconfig"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", file)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("controller.cli.waiting._EVERY", 0.01)

    def run(*arguments: str) -> Said:
        code = main(arguments)
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def app(api: ApiServer) -> ApiServer:
    """The app checkout: a policy and a Deployment with one container."""
    api.put("releasepolicies", "checkout", POLICY)
    api.put("deployments", "checkout", deployment("app"))
    return api
