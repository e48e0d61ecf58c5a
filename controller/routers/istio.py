"""istio: weights and header matches of a VirtualService over subsets of a DestinationRule (networking.istio.io).

A route's destination at the app's Service becomes two, one in each subset; a subset selects the pods of one version by
their `pod-template-hash`. The subsets are added to the DestinationRule that the policy names, beside other people's; if
it names none, a DestinationRule of ours is made for the length of the release. No Service is made, and whatever the
DestinationRule says of the host holds for both subsets.

Http routes are tried in their order and the first that matches wins, so a match of the policy is a copy of the app's
route directly before it. A subset must be known before a route names it, and unknown to no route when it goes: a
request in between would be answered 503. So subsets are made before the first split and go after the routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import CreateObject, ObjectWrite, PatchObject
from controller.release.record import Record, Saved
from controller.release.vocabulary import Role
from controller.routers import sides
from controller.routers.rules import Rules, undone
from controller.routers.shown import Gone, Shown
from controller.routers.sides import Object, service_of
from controller.routers.split import Reference, Rule, alone, as_saved, shared
from controller.slots import HASH_LABEL
from policies.schema import ReleasePolicySpec
from policies.traffic import Match

SUBSETS: Mapping[Role, str] = {"incumbent": "nightferry-incumbent", "contender": "nightferry-contender"}
_SAVED_SUBSETS = "spec.subsets"
_DEFAULT_VERSION = "networking.istio.io/v1"
_ANY_REQUEST: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class _Http:
    """How a VirtualService of `namespace` names the app's Service, its subsets and the policy's matches."""

    service: str
    namespace: str
    matches: tuple[Match, ...]
    references: str = field(default="route", init=False)

    def leads_to(self, reference: Reference) -> Role | str:
        destination = reference.get("destination") or {}
        if not is_host(str(destination.get("host", "")), self.service, self.namespace):
            return ""
        subset = destination.get("subset")
        return "app" if not subset else next((role for role in sides.ROLES if subset == SUBSETS[role]), "")

    def to_side(self, reference: Reference, role: Role, weight: int) -> Reference:
        return {**reference, "destination": {**reference["destination"], "subset": SUBSETS[role]}, "weight": weight}

    def to_app(self, reference: Reference, saved: Sequence[Reference]) -> Reference:
        destination = {key: value for key, value in reference["destination"].items() if key != "subset"}
        return as_saved({**reference, "destination": destination}, saved)

    def matching(self, rule: Rule) -> Rule:
        conditions = [
            {**found, "headers": {**(found.get("headers") or {}), **headers}}
            for found in rule.get("match") or (_ANY_REQUEST,)
            for headers in map(_headers, self.matches)
        ]
        return {**{key: rule[key] for key in rule if key != "name"}, "match": conditions}

    def is_matching(self, rule: Rule) -> bool:
        wanted = [_headers(match) for match in self.matches]
        found = [match.get("headers") or {} for match in rule.get("match") or ()]
        return bool(found) and all(any(part.items() <= headers.items() for part in wanted) for headers in found)


class Istio:
    """The istio router; see the module for its theory."""

    permissions = (
        ("get", "", "services"),
        *((verb, "networking.istio.io", "virtualservices") for verb in ("get", "patch")),
        *((verb, "networking.istio.io", "destinationrules") for verb in ("get", "create", "patch", "delete")),
    )

    def borrows(self, policy: ReleasePolicySpec) -> tuple[tuple[Ref, str, str], ...]:
        own = ((_own(policy), "http", "networking.istio.io"),)
        return (*own, (_rule(policy), "subsets", "networking.istio.io")) if _names_rule(policy) else own

    def reads(self, policy: ReleasePolicySpec) -> tuple[Ref, ...]:
        service = service_of(policy)
        return (Ref("Service", service), Ref("Endpoints", service), _own(policy), _rule(policy))

    def problems(self, policy: ReleasePolicySpec, seen: Observation) -> str:
        rules, ref, service = _rules(policy, seen), _own(policy), service_of(policy)
        if rules is None:
            return f"{ref} does not exist: create it, or correct spec.strategy.traffic.istio.virtualService"
        if problem := sides.service_problems(policy, seen, sides=False):
            return problem
        dialect, joined = rules.dialect, rules.joined()
        if places := shared(joined, dialect):
            return (
                f"http route {places[0] + 1} of {ref} shares its requests between Service {service} and another "
                "destination: give the app a route of its own"
            )
        ours = [rule for rule in joined if alone(rule, dialect)]
        if not ours:
            return (
                f"no http route of {ref} leads to Service {service} without a subset: add one, or correct the policy's "
                "traffic"
            )
        names = {
            name.lower() for rule in ours for found in rule.get("match") or () for name in found.get("headers") or ()
        }
        for match in dialect.matches:
            for header in _headers(match):
                if header.lower() in names:
                    return f"a route of {ref} looks at header {header} already: match another one in the policy"
        return _rule_problem(policy, seen, sides.namespace_of(rules.own))

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        rules, rule = _rules(policy, seen), seen.objects.get(_rule(policy))
        if rules is None:
            return ()
        saved = [rules.saved()]
        if rule is not None and not sides.made_by_us(rule):
            kept = [each for each in _subsets(rule) if each.get("name") not in SUBSETS.values()]
            fields: Mapping[str, Any] = {f"{_SAVED_SUBSETS}[*]": kept} if kept else {_SAVED_SUBSETS: None}
            saved.append(Saved("DestinationRule", _rule(policy).name, sides.uid_of(rule), sides.saved_text(fields)))
        return tuple(saved)

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        wanted = [
            {"name": SUBSETS[role], "labels": {HASH_LABEL: hash_label}}
            for role in sides.ROLES
            if (hash_label := sides.hash_of(seen, role))
        ]
        rule, ref, own = seen.objects.get(_rule(policy)), _rule(policy), seen.objects.get(_own(policy))
        if rule is None:
            if _names_rule(policy) or not wanted:
                return None
            manifest = {
                "apiVersion": str((own or {}).get("apiVersion") or _DEFAULT_VERSION),
                "kind": "DestinationRule",
                "metadata": sides.marked(ref.name, policy.target.deployment, seen),
                "spec": {"host": service_of(policy), "subsets": wanted},
            }
            return CreateObject(ref, manifest, f"create {ref} with a subset for each version")
        found = _subsets(rule)
        subsets = [*(each for each in found if each.get("name") not in SUBSETS.values()), *wanted]
        if subsets == found:
            return None
        return PatchObject(
            ref, sides.version_of(rule), {"spec": {"subsets": subsets}}, f"{ref} has a subset for each version"
        )

    def reached(self, policy: ReleasePolicySpec, seen: Observation, role: Role) -> int:
        rule = seen.objects.get(_rule(policy)) or {}
        subsets = (rule.get("spec") or {}).get("subsets") or ()
        there = any(each.get("name") == SUBSETS[role] for each in subsets)
        return sides.reached(seen, service_of(policy), role) if there else 0

    def shows(self, policy: ReleasePolicySpec, seen: Observation) -> Shown | Gone:
        rules, ref = _rules(policy, seen), _own(policy)
        if rules is None:
            return Gone(f"{ref} was deleted: create it again, or abort the release")
        if rules.shown is None:
            return Gone(f"no http route of {ref} leads to Service {service_of(policy)} any more: add it again")
        if _names_rule(policy) and seen.objects.get(_rule(policy)) is None:
            return Gone(f"{_rule(policy)} was deleted, and its subsets with it: create it again, or abort the release")
        return Shown(*rules.shown)

    def undone(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        return undone(self.shows(policy, seen), _own(policy), seen)

    def stamp(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        return sides.stamp((_own(policy), _rule(policy)), record, seen)

    def steer(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, weight: int, *, matches: bool
    ) -> ObjectWrite | None:
        rules = _rules(policy, seen)
        if rules is None:
            return None
        return self.prepare(policy, record, seen) or rules.led(record, seen, weight, matches=matches)

    def hand_back(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        rules = _rules(policy, seen)
        released = rules.let_go(record, seen, service_of(policy)) if rules is not None else None
        return released or self._without_subsets(policy, record, seen)

    def _without_subsets(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """Our subsets go; a DestinationRule of ours goes as a whole."""
        ref = _rule(policy)
        rule = seen.objects.get(ref)
        if rule is None or sides.made_by_us(rule):
            return sides.deletion(seen, ref)
        found = _subsets(rule)
        subsets: list[Any] | None = [each for each in found if each.get("name") not in SUBSETS.values()]
        if not subsets and _SAVED_SUBSETS in sides.saved_fields(record, ref):
            subsets = None  # there was no such field
        changed = {"subsets": subsets} if subsets != found else {}
        return sides.let_go(ref, rule, changed, f"{ref} without our subsets", record, seen)


def is_host(host: str, service: str, namespace: str) -> bool:
    """Whether a host names a Service: by its short name, or with its namespace up to the cluster's domain."""
    return host == service or host.removesuffix(".cluster.local").removesuffix(".svc") == f"{service}.{namespace}"


def _istio(policy: ReleasePolicySpec) -> Any:
    traffic = policy.strategy.traffic
    if traffic is None or traffic.istio is None:
        raise TypeError("this policy's router is not istio")
    return traffic.istio


def _own(policy: ReleasePolicySpec) -> Ref:
    return Ref("VirtualService", _istio(policy).virtual_service)


def _names_rule(policy: ReleasePolicySpec) -> bool:
    return _istio(policy).destination_rule is not None


def _rule(policy: ReleasePolicySpec) -> Ref:
    return Ref("DestinationRule", _istio(policy).destination_rule or f"{service_of(policy)}-nightferry")


def _rule_problem(policy: ReleasePolicySpec, seen: Observation, namespace: str) -> str:
    ref = _rule(policy)
    rule = seen.objects.get(ref)
    if rule is None:
        return f"{ref} does not exist: create it, or leave out destinationRule" if _names_rule(policy) else ""
    if not _names_rule(policy) and not sides.made_by_us(rule):
        return f"{ref} exists and is not ours: name it in spec.strategy.traffic.istio.destinationRule"
    host = str((rule.get("spec") or {}).get("host", ""))
    if not is_host(host, service_of(policy), namespace):
        return (
            f"{ref} is for host {host}, not for Service {service_of(policy)}: name the DestinationRule of that Service"
        )
    return ""


def _rules(policy: ReleasePolicySpec, seen: Observation) -> Rules | None:
    own, traffic = seen.objects.get(_own(policy)), policy.strategy.traffic
    if own is None or traffic is None:
        return None
    return Rules(_own(policy), own, "http", _Http(service_of(policy), sides.namespace_of(own), traffic.match))


def _subsets(rule: Object) -> list[Any]:
    return list((rule.get("spec") or {}).get("subsets") or ())


def _headers(match: Match) -> dict[str, dict[str, str]]:
    """The header conditions of a match of the policy; all of one match must hold."""
    if match.cookie is not None:
        return {"cookie": {"regex": f"(.*;\\s*)?{match.cookie}=always(;.*)?"}}
    # Istio's header names are lower-case.
    return {name.lower(): {"exact": value} for name, value in (match.header or {}).items()}
