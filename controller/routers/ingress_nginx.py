"""ingress-nginx: a canary Ingress beside the app's own, with its weight and its matches in annotations.

The app's Ingress keeps all its rules; while a release runs, its backends that name the app's Service name the
incumbent's side, and the canary Ingress sends its share of the same hosts and paths to the contender's. Two facts of
ingress-nginx order the writes (its documentation, and `get_balancer` in its balancer.lua):

- A request is answered 503 when the Service of the app's own Ingress has no ready pod, whatever the canary's weight.
  So at 100 percent the app's Ingress names the app's own Service again, before the last incumbents leave, and it is
  led to the incumbent's side before the weight goes below 100.
- A canary whose Service has no ready pod is left out, and its requests go where the others go.

Matches come before the weight, and the header before the cookie; there is room for one of each. One canary Ingress is
allowed per host and path, so one that is there already is refused. Annotations of the app's Ingress hold for its canary
too, except those that choose a pod (`load-balance`, `upstream-hash-by`, session affinity), which are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import CreateObject, ObjectWrite, PatchObject
from controller.release.record import Record, Saved
from controller.release.vocabulary import Role
from controller.routers import sides
from controller.routers.shown import Gone, Shown
from controller.routers.sides import Object, service_of, side_name
from policies.schema import ReleasePolicySpec

_PREFIX = "nginx.ingress.kubernetes.io/"
CANARY = _PREFIX + "canary"
WEIGHT = _PREFIX + "canary-weight"
TOTAL = _PREFIX + "canary-weight-total"
HEADER = _PREFIX + "canary-by-header"
HEADER_VALUE = _PREFIX + "canary-by-header-value"
HEADER_PATTERN = _PREFIX + "canary-by-header-pattern"
COOKIE = _PREFIX + "canary-by-cookie"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_CHOOSE_A_POD = ("load-balance", "upstream-hash-by", "affinity", "session-cookie-")
_MATCHES = (HEADER, HEADER_VALUE, COOKIE)
_OTHERS = (TOTAL, HEADER_PATTERN)  # would change what ours mean


class IngressNginx:
    """The ingressNginx router; see the module for its theory."""

    permissions = (
        *sides.PERMISSIONS,
        *((verb, "networking.k8s.io", "ingresses") for verb in ("get", "create", "patch", "delete")),
    )

    def borrows(self, policy: ReleasePolicySpec) -> tuple[tuple[Ref, str, str], ...]:
        return ((_own(policy), "rules", "networking.k8s.io"),)

    def reads(self, policy: ReleasePolicySpec) -> tuple[Ref, ...]:
        return (*sides.service_reads(policy), _own(policy), _canary(policy))

    def problems(self, policy: ReleasePolicySpec, seen: Observation) -> str:
        name, service = _own(policy).name, service_of(policy)
        ingress = seen.objects.get(_own(policy))
        if ingress is None:
            return f"Ingress {name} does not exist: create it, or correct spec.strategy.traffic.ingressNginx.ingress"
        annotations = (ingress.get("metadata") or {}).get("annotations") or {}
        if annotations.get(CANARY) == "true":
            return f"Ingress {name} is a canary itself: name the Ingress that it belongs to"
        class_name = (ingress.get("spec") or {}).get("ingressClassName") or annotations.get(CLASS_ANNOTATION) or ""
        if "nginx" not in str(class_name).split("-"):
            found = f"is of class {class_name}" if class_name else "names no class"
            return (
                f"Ingress {name} {found}, and only ingress-nginx knows canary annotations: set spec.ingressClassName "
                "to a class of ingress-nginx (nginx, or a name with nginx between dashes), or leave out traffic"
            )
        if problem := sides.service_problems(policy, seen, sides=True):
            return problem
        if not any(True for _ in _paths(ingress, {service})):
            return f"no path of Ingress {name} leads to Service {service}: add one, or correct the policy's traffic"
        canary = seen.objects.get(_canary(policy))
        if canary is not None and not sides.made_by_us(canary):
            return (
                f"Ingress {_canary(policy).name} exists and is not ours; ingress-nginx knows one canary per host and "
                "path: delete or rename it"
            )
        return ""

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        ingress = seen.objects.get(_own(policy))
        if ingress is None:
            return ()
        names = sorted({str(backend["name"]) for backend in _paths(ingress, {service_of(policy)})})
        fields = {"spec.rules[*].http.paths[*].backend.service.name": names}
        return (Saved("Ingress", _own(policy).name, sides.uid_of(ingress), sides.saved_text(fields)),)

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        if write := sides.prepare_services(policy, seen):
            return write
        return self._towards_canary(policy, record, seen, None, matches=False)

    def reached(self, policy: ReleasePolicySpec, seen: Observation, role: Role) -> int:
        return sides.reached(seen, side_name(service_of(policy), role), role)

    def shows(self, policy: ReleasePolicySpec, seen: Observation) -> Shown | Gone:
        ingress = seen.objects.get(_own(policy))
        service, pinned = service_of(policy), side_name(service_of(policy), "incumbent")
        if ingress is None:
            return Gone(f"Ingress {_own(policy).name} was deleted: create it again, or abort the release")
        found = [str(backend["name"]) for backend in _paths(ingress, {service, pinned})]
        if not found:
            return Gone(f"no path of Ingress {_own(policy).name} leads to Service {service} any more: add it again")
        canary = seen.objects.get(_canary(policy))
        weight = _weight(canary) if canary is not None and _whole(policy, ingress, canary) else 0
        annotations = ((canary or {}).get("metadata") or {}).get("annotations") or {}
        wanted = _match_annotations(policy)
        there = bool(wanted) and all(annotations.get(key) == value for key, value in wanted.items())
        return Shown(weight, there, pinned=all(name == pinned for name in found))

    def undone(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        ingress, canary = (seen.objects.get(ref) for ref in (_own(policy), _canary(policy)))
        ours = {service_of(policy), side_name(service_of(policy), "incumbent")}
        names = {str(backend["name"]) for backend in _paths(ingress or {}, ours)}
        weight = str(_weight(canary)) if canary is not None else ""
        return (
            *sides.reversal(_own(policy), ingress, seen, names.pop() if len(names) == 1 else ""),
            *sides.reversal(_canary(policy), canary, seen, weight),
        )

    def stamp(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        return sides.stamp((_own(policy), _canary(policy)), record, seen)

    def steer(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, weight: int, *, matches: bool
    ) -> ObjectWrite | None:
        ingress = seen.objects.get(_own(policy))
        if ingress is None:
            return None
        # At 100 percent no request needs the incumbent's side, which may be left without pods; see the module.
        name = service_of(policy) if weight == 100 else side_name(service_of(policy), "incumbent")
        own = sides.led(
            _own(policy),
            ingress,
            _leading_to(policy, ingress, name),
            name,
            record,
            seen,
            f"{_own(policy)} leads to {name}",
        )
        canary = self._towards_canary(policy, record, seen, weight, matches=matches)
        sides_write = sides.prepare_services(policy, seen)
        return sides_write or (canary or own if weight == 100 else own or canary)

    def hand_back(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        ingress = seen.objects.get(_own(policy))
        if ingress is not None:
            name, ref = service_of(policy), _own(policy)
            led = _leading_to(policy, ingress, name)
            if write := sides.let_go(ref, ingress, led, f"{ref} leads to {name}", record, seen):
                return write
        if ingress is not None and record.origin != "restore" and sides.leader(ingress, seen):
            return sides.delete_services(policy, seen)  # the canary is another release's by now
        return sides.deletion(seen, _canary(policy)) or sides.delete_services(policy, seen)

    def _towards_canary(
        self,
        policy: ReleasePolicySpec,
        record: Record,
        seen: Observation,
        weight: int | None,
        *,
        matches: bool,
    ) -> ObjectWrite | None:
        """The canary Ingress at a weight; None leaves one that stands as it is, and makes one at 0."""
        ingress, ref = seen.objects.get(_own(policy)), _canary(policy)
        if ingress is None:
            return None
        canary = seen.objects.get(ref)
        spec = _canary_spec(policy, ingress)
        if canary is None:
            annotations = {
                **_copied(ingress),
                **_canary_annotations(policy, weight or 0, matches=matches),
                **sides.fence(record, seen, str(weight or 0)),
            }
            manifest = {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": sides.marked(ref.name, policy.target.deployment, seen, annotations),
                "spec": spec,
            }
            return CreateObject(ref, manifest, f"create {ref} at weight {weight or 0}")
        if not sides.made_by_us(canary):
            return None
        found = (canary.get("metadata") or {}).get("annotations") or {}
        if weight is None and _whole(policy, ingress, canary) and found.get(sides.RELEASE_ANNOTATION) == seen.uid:
            return None
        wanted: dict[str, str | None] = {
            **dict.fromkeys((*_MATCHES, *_OTHERS)),
            **_canary_annotations(policy, weight or 0, matches=matches),
            sides.RELEASE_ANNOTATION: seen.uid,
            **sides.fence(record, seen, str(weight or 0)),
        }
        changes = {key: value for key, value in wanted.items() if found.get(key) != value}
        patch: dict[str, Any] = {"metadata": {"annotations": changes}} if changes else {}
        if (canary.get("spec") or {}) != spec:
            gone = dict.fromkeys(set(canary.get("spec") or {}) - set(spec))
            patch["spec"] = {**spec, **gone}
        if not patch:
            return None
        return PatchObject(ref, sides.version_of(canary), patch, f"{ref} at weight {weight or 0}")


def _ingress_name(policy: ReleasePolicySpec) -> str:
    traffic = policy.strategy.traffic
    if traffic is None or traffic.ingress_nginx is None:
        raise TypeError("this policy's router is not ingressNginx")
    return traffic.ingress_nginx.ingress


def _own(policy: ReleasePolicySpec) -> Ref:
    return Ref("Ingress", _ingress_name(policy))


def _canary(policy: ReleasePolicySpec) -> Ref:
    return Ref("Ingress", f"{_ingress_name(policy)}-canary")


def _paths(ingress: Object, names: set[str]) -> Iterator[Mapping[str, Any]]:
    """The Services behind paths, of those names; a path without http rules is none."""
    for rule in (ingress.get("spec") or {}).get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            backend = (path.get("backend") or {}).get("service") or {}
            if backend.get("name") in names:
                yield backend


def _leading_to(policy: ReleasePolicySpec, ingress: Object, name: str) -> dict[str, Any]:
    """The rules of the app's Ingress with its paths to the app led to the Service `name`, everything else as it is."""
    ours = {service_of(policy), side_name(service_of(policy), "incumbent")}
    return {"rules": [_led(rule, ours, name) for rule in (ingress.get("spec") or {}).get("rules") or ()]}


def _led(rule: Object, ours: set[str], name: str) -> Object:
    """The rule with its backends of ours led to Service `name`; the rule itself where there is none."""
    paths = (rule.get("http") or {}).get("paths")
    if not paths:
        return rule
    led = []
    for path in paths:
        service = (path.get("backend") or {}).get("service") or {}
        if service.get("name") in ours:
            led.append({**path, "backend": {**path["backend"], "service": {**service, "name": name}}})
        else:
            led.append(path)
    return {**rule, "http": {**rule["http"], "paths": led}}


def _canary_spec(policy: ReleasePolicySpec, ingress: Object) -> dict[str, Any]:
    """The hosts and paths that lead to the app, with the contender's side behind them, and their certificates."""
    spec, service = ingress.get("spec") or {}, service_of(policy)
    ours = {service, side_name(service, "incumbent")}
    rules = []
    for rule in spec.get("rules") or ():
        paths = [
            path
            for path in (rule.get("http") or {}).get("paths") or ()
            if ((path.get("backend") or {}).get("service") or {}).get("name") in ours
        ]
        if paths:
            kept = {**rule, "http": {**rule["http"], "paths": paths}}
            rules.append(_led(kept, ours, side_name(service, "contender")))
    hosts = {rule.get("host") for rule in rules}
    tls = [part for part in spec.get("tls") or () if not part.get("hosts") or hosts & set(part["hosts"])]
    canary: dict[str, Any] = {"ingressClassName": spec["ingressClassName"]} if "ingressClassName" in spec else {}
    return {**canary, **({"tls": tls} if tls else {}), "rules": rules}


def _copied(ingress: Object) -> dict[str, str]:
    """The annotations that do not reach a canary by themselves."""
    annotations = (ingress.get("metadata") or {}).get("annotations") or {}
    prefixes = tuple(_PREFIX + name for name in _CHOOSE_A_POD)
    return {key: text for key, text in annotations.items() if key == CLASS_ANNOTATION or key.startswith(prefixes)}


def _canary_annotations(policy: ReleasePolicySpec, weight: int, *, matches: bool) -> dict[str, str]:
    return {CANARY: "true", WEIGHT: str(weight), **(_match_annotations(policy) if matches else {})}


def _match_annotations(policy: ReleasePolicySpec) -> dict[str, str]:
    """The policy's matches, of which there is at most one by header and one by cookie."""
    annotations: dict[str, str] = {}
    for match in policy.strategy.traffic.match if policy.strategy.traffic is not None else ():
        for header, value in (match.header or {}).items():
            annotations |= {HEADER: header, HEADER_VALUE: value}
        if match.cookie is not None:
            annotations[COOKIE] = match.cookie
    return annotations


def _whole(policy: ReleasePolicySpec, ingress: Object, canary: Object) -> bool:
    """Whether the canary stands where the app's Ingress leads to the app."""
    annotations = (canary.get("metadata") or {}).get("annotations") or {}
    return annotations.get(CANARY) == "true" and (canary.get("spec") or {}) == _canary_spec(policy, ingress)


def _weight(canary: Object) -> int:
    """Percent of the requests; a total that somebody wrote changes what the weight means."""
    annotations = (canary.get("metadata") or {}).get("annotations") or {}
    weight, total = str(annotations.get(WEIGHT, "")), str(annotations.get(TOTAL, "100"))
    if not weight.isdecimal() or not total.isdecimal():
        return 0
    return min(100, 100 * int(weight) // max(int(total), 100))
