"""The cluster as the commands see it: quorum reads of policies and releases, and the few writes that people ask for.

Everything people can do is a field of a Release object. A write carries the resourceVersion of the object that it was
decided on; when the controller wrote in between, the object is read and judged anew.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from controller.cli.ends import Refusal, Unanswered
from controller.cluster.connection import MERGE_PATCH, Connection
from controller.cluster.failures import Failed
from controller.cluster.lists import read_objects
from controller.cluster.login import ConnectionSetupError, connect, kubeconfig_namespace
from controller.cluster.paths import DEPLOYMENTS, POLICIES, RELEASES, TRAINS, Resource
from controller.loop import SystemClock
from controller.release.vocabulary import Phase
from controller.requests.failure import Failure, FailureKind
from policies.errors import shown
from policies.names import dns_label

Object = Mapping[str, Any]
_MANAGER = (("fieldManager", "nightferry-cli"),)
_TRIES = 8  # of a patch that somebody else's write overtakes
_REFUSED = frozenset({FailureKind.FORBIDDEN, FailureKind.INVALID, FailureKind.EXISTS, FailureKind.CONFLICT})
_ROLES = "ask for the ClusterRole nightferry-viewer to look, or nightferry-operator to act"
_ENDS = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN, Phase.CANCELLED})


@dataclass(frozen=True, slots=True)
class Access:
    """One person's way into the cluster. Reads raise Unanswered; what is not there is None or an empty list."""

    connection: Connection
    clock: SystemClock
    namespace: str
    user: str

    @classmethod
    def open(cls, namespace: str | None, kubeconfig: str | None, context: str | None) -> Self:
        """Logs in by the kubeconfig, or as the pod we run in. Raises Refusal where nothing says how."""
        clock = SystemClock()
        named = legal_namespace(namespace) if namespace is not None else None
        try:
            connection = connect(clock, kubeconfig=kubeconfig, context=context, user_agent="nightferry-cli")
        except ConnectionSetupError as error:
            raise Refusal(str(error)) from None
        return cls(
            connection,
            clock,
            named or _default_namespace(kubeconfig, context),
            _user(kubeconfig, context),
        )

    # --------------------------------------------------------------------------------------------- reads

    def policy(self, app: str) -> Object | None:
        """The policy of an app."""
        return self._read(POLICIES, app)

    def deployment(self, name: str) -> Object | None:
        """A Deployment."""
        return self._read(DEPLOYMENTS, name)

    def release(self, name: str) -> Object | None:
        """A release."""
        return self._read(RELEASES, name)

    def policies(self, *, everywhere: bool = False) -> list[Object]:
        """The policies of the namespace, or of all namespaces."""
        return self._list(POLICIES, everywhere)

    def trains(self, *, everywhere: bool = False) -> list[Object]:
        """The trains of the namespace, or of all namespaces; none where their kind is not installed."""
        answer = read_objects(self.connection, self.clock, TRAINS.collection(None if everywhere else self.namespace))
        if isinstance(answer, Failed):
            if answer.failure.kind in (FailureKind.ABSENT, FailureKind.NO_KIND):
                return []
            raise _raised(answer.failure)
        return list(answer.items)

    def releases(self, app: str | None = None, *, everywhere: bool = False) -> list[Object]:
        """The releases of an app, of the namespace, or of all namespaces; the newest first."""
        found = self._list(RELEASES, everywhere)
        if app is not None:
            found = [one for one in found if (one.get("spec") or {}).get("policy") == app]
        return newest_first(found)

    def _read(self, resource: Resource, name: str) -> Object | None:
        answer = self.connection.request("GET", resource.item(self.namespace, name))
        if isinstance(answer, Failure):
            if answer.kind is FailureKind.ABSENT:
                return None
            raise _raised(answer)
        return _decoded(answer)

    def _list(self, resource: Resource, everywhere: bool) -> list[Object]:
        path = resource.collection(None if everywhere else self.namespace)
        answer = read_objects(self.connection, self.clock, path)
        if isinstance(answer, Failed):
            raise _raised(answer.failure)
        return list(answer.items)

    # -------------------------------------------------------------------------------------------- writes

    def create_release(self, manifest: Object) -> Object:
        """Creates a Release -> the object as written. Raises Refusal with the server's words."""
        answer = self.connection.request("POST", RELEASES.collection(self.namespace), query=_MANAGER, body=manifest)
        if isinstance(answer, Failure):
            raise _raised(answer)
        return _decoded(answer)

    def delete_deployment(self, found: Object) -> None:
        """Deletes a Deployment with its ReplicaSets, if nobody wrote to it since. Raises Refusal, Unanswered."""
        metadata = found["metadata"]
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            # Never orphans: the other Deployment of the app would adopt them.
            "propagationPolicy": "Background",
        }
        path = DEPLOYMENTS.item(self.namespace, str(metadata["name"]))
        answer = self.connection.request("DELETE", path, body=options)
        if isinstance(answer, Failure) and answer.kind is not FailureKind.ABSENT:
            raise _raised(answer)

    def patch_release(self, name: str, wanted: Callable[[Object], Object | None]) -> Object:
        """Merge-patches a release's spec with what `wanted` says of the object as it is now (None: nothing) -> object.

        `wanted` is asked again when somebody wrote in between, and may raise Refusal.
        """
        for _ in range(_TRIES):
            found = self.release(name)
            if found is None:
                raise Refusal(f"release {name} does not exist any more")
            spec = wanted(found)
            if spec is None:
                return found
            body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": spec}
            answer = self.connection.request(
                "PATCH", RELEASES.item(self.namespace, name), query=_MANAGER, body=body, content_type=MERGE_PATCH
            )
            if not isinstance(answer, Failure):
                return _decoded(answer)
            if answer.kind is not FailureKind.CONFLICT:
                raise _raised(answer)
        raise Refusal(f"release {name} changed {_TRIES} times while it was being written; try again")


def legal_namespace(text: str) -> str:
    """The name of a namespace, as it is. Raises Refusal for what can be none."""
    try:
        return dns_label(text)
    except ValueError:
        raise Refusal(f"--namespace: found {shown(text)}; allowed: a DNS-1123 label, such as shop") from None


def ended(release: Object) -> bool:
    """Whether a release has come to its end."""
    return phase(release) in _ENDS


def phase(release: Object) -> str:
    """The phase of a release; one without a status is queued."""
    return str((release.get("status") or {}).get("phase") or Phase.QUEUED.value)


def name_of(obj: Object) -> str:
    """The name of an object."""
    return str((obj.get("metadata") or {}).get("name", ""))


def newest_first(releases: list[Object]) -> list[Object]:
    """Releases by their creation; the name breaks a tie, as it does for the controller."""
    return sorted(releases, key=lambda one: (one["metadata"].get("creationTimestamp", ""), name_of(one)), reverse=True)


def current(releases: list[Object]) -> Object | None:
    """The release that an app's state is about: the one that moves, else the newest."""
    ordered = newest_first(releases)
    moving = [one for one in ordered if not ended(one) and phase(one) != Phase.QUEUED]
    queued = [one for one in ordered if phase(one) == Phase.QUEUED]
    return next(iter([*moving, *queued, *ordered]), None)


def _decoded(data: bytes) -> Object:
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise Unanswered("the API server's answer is not an object") from None
    if not isinstance(found.get("metadata"), dict):
        raise Unanswered("the API server's answer is not an object")
    return found


def _raised(failure: Failure) -> Refusal | Unanswered:
    if failure.kind is FailureKind.NO_KIND:
        return Refusal("this cluster does not know ReleasePolicy and Release: apply manifests/crds first")
    if failure.kind is FailureKind.FORBIDDEN and " cannot " in failure.message:
        return Refusal(f"{failure.message}; {_ROLES}")
    return Refusal(failure.message) if failure.kind in _REFUSED else Unanswered(failure.message)


def _default_namespace(kubeconfig: str | None, context: str | None) -> str:
    try:
        return kubeconfig_namespace(kubeconfig, context)
    except ConnectionSetupError:
        return "default"  # in a pod without a kubeconfig


def _user(kubeconfig: str | None, context: str | None) -> str:
    """Who asks: the kubeconfig's user, else the one of this machine. For the record only; it grants nothing."""
    from kubernetes.config import ConfigException, list_kube_config_contexts

    try:
        contexts, active = list_kube_config_contexts(config_file=kubeconfig)  # type: ignore[no-untyped-call]
        chosen = next((one for one in contexts if one["name"] == context), active)
        return str(chosen["context"]["user"])
    except (ConfigException, OSError, ValueError, TypeError, KeyError):
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return "unknown"
