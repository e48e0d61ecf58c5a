"""Finds the API server and logs in to it: by a kubeconfig file, or as the pod that we run in.

The client's own default configuration is never used: it is global, and anything in the process may change it.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, list_kube_config_contexts, load_kube_config

from controller.clock import Clock
from controller.cluster.connection import SETUP_ERRORS, Connection
from controller.wire import one_line

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_AGE = 60.0  # seconds after which a token file is read again; a projected token rotates long before it expires


class ConnectionSetupError(Exception):
    """No API server can be addressed with this configuration. The message is one line for the person who wrote it."""


def connect(
    clock: Clock, *, kubeconfig: str | None = None, context: str | None = None, user_agent: str = "nightferry"
) -> Connection:
    """The API server of a kubeconfig file, of the pod we run in, or of the default kubeconfig, in this order.

    Raises ConnectionSetupError.
    """
    if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(clock, user_agent, SERVICE_ACCOUNT)
    return _from_kubeconfig(clock, kubeconfig, context, user_agent)


def kubeconfig_namespace(kubeconfig: str | None = None, context: str | None = None) -> str:
    """The namespace that a kubeconfig's context names; "default" where it names none. Raises ConnectionSetupError."""
    try:
        contexts, active = list_kube_config_contexts(config_file=kubeconfig)  # type: ignore[no-untyped-call]
    except SETUP_ERRORS as error:
        raise ConnectionSetupError(f"kubeconfig {_file(kubeconfig)}: {_setup_fault(error)}") from None
    if context is not None:
        active = next((one for one in contexts if one["name"] == context), None)
        if active is None:
            raise ConnectionSetupError(f"kubeconfig: no context named {context}")
    return str((active.get("context") or {}).get("namespace") or "default")


def _file(kubeconfig: str | None) -> str:
    """Where the client looks for its configuration."""
    return kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"


def _setup_fault(error: Exception) -> str:
    # The client's words for a file that does not exist, is empty, or could not be looked for.
    if isinstance(error, ConfigException) and "No configuration found" in str(error):
        return "there is none; say --kubeconfig FILE, or set KUBECONFIG to a file that kubectl can use"
    match error:
        case yaml.MarkedYAMLError(problem=problem, problem_mark=mark) if mark is not None:
            # Not the whole message: it may show the line, and with it a token.
            return one_line(f"line {mark.line + 1} is not YAML: {problem}")
        case ConfigException() | OSError():
            return one_line(str(error))
    return f"it is malformed ({type(error).__name__})"


def _from_kubeconfig(clock: Clock, kubeconfig: str | None, context: str | None, user_agent: str) -> Connection:
    def load(configuration: Configuration) -> None:
        load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, context=context, client_configuration=configuration
        )

    configuration = Configuration()
    try:
        load(configuration)
    except SETUP_ERRORS as error:
        raise ConnectionSetupError(f"kubeconfig {_file(kubeconfig)}: {_setup_fault(error)}") from None
    return Connection(configuration, clock, user_agent=user_agent, reload=load)


def _in_cluster(clock: Clock, user_agent: str, folder: Path) -> Connection:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = _TokenFile(folder / "token", clock)
    configuration = Configuration()
    configuration.host = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    configuration.ssl_ca_cert = str(folder / "ca.crt")
    try:
        if not (folder / "ca.crt").read_text().strip():
            raise ConnectionSetupError(f"{folder / 'ca.crt'} is empty")
        token.load(configuration)
    except (OSError, ConfigException) as error:
        raise ConnectionSetupError(f"service account: {one_line(str(error))}") from None
    configuration.refresh_api_key_hook = token.refresh  # type: ignore[assignment]
    return Connection(configuration, clock, user_agent=user_agent, reload=token.load)


class _TokenFile:
    """A bearer token that somebody else rotates."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._read_at = 0.0

    def load(self, configuration: Configuration) -> None:
        """Reads the file. Raises OSError or ConfigException; the old token then stays."""
        # The file ends with a newline where somebody wrote it by hand, and a header must not.
        token = self._path.read_text().strip()
        if not token:
            raise ConfigException(f"{self._path} is empty")
        configuration.api_key["BearerToken"] = f"Bearer {token}"
        self._read_at = self._clock.monotonic()

    def refresh(self, configuration: Configuration) -> None:
        """Reads the file when the last reading is a minute old; a file that is just being replaced waits its turn."""
        if self._clock.monotonic() - self._read_at < TOKEN_AGE:
            return
        try:
            self.load(configuration)
        except (OSError, ConfigException):
            self._read_at = self._clock.monotonic() - TOKEN_AGE + 1.0
