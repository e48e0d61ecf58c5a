"""gatewayAPI: weights and header matches of an HTTPRoute (gateway.networking.k8s.io/v1).

A rule's backendRef to the app's Service becomes two, one to each side's Service; weights are relative to their sum. A
match of the policy is a rule of its own before the app's rule: the same paths and one more header, which the Gateway
API prefers to the rule with fewer headers, whatever their order. A cookie is a regular expression over the header
`cookie`, which most but not all gateways support.

A gateway that keeps the route's status says which generation it has acted upon; until it has, the split is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import ObjectWrite
from controller.release.record import Record, Saved
from controller.release.vocabulary import Role
from controller.routers import sides
from controller.routers.rules import Rules, undone
from controller.routers.shown import Gone, Shown
from controller.routers.sides import service_of, side_name
from controller.routers.split import Dialect, Reference, Rule, alone, as_saved, shared
from policies.schema import ReleasePolicySpec
from policies.traffic import Match

MOST_RULES = 16
MOST_MATCHES = 64
_ANY_PATH: Mapping[str, Any] = {"path": {"type": "PathPrefix", "value": "/"}}


@dataclass(frozen=True, slots=True)
class _Route:
    """How an HTTPRoute of `namespace` names the app's Service, its sides and the policy's matches."""

    service: str
    namespace: str
    matches: tuple[Match, ...]
    references: str = field(default="backendRefs", init=False)

    def leads_to(self, reference: Reference) -> Role | str:
        if reference.get("group") or reference.get("kind", "Service") != "Service":
            return ""
        if reference.get("namespace") not in (None, self.namespace):
            return ""
        name = reference.get("name")
        if name == self.service:
            return "app"
        return next((role for role in sides.ROLES if name == side_name(self.service, role)), "")

    def to_side(self, reference: Reference, role: Role, weight: int) -> Reference:
        return {**reference, "name": side_name(self.service, role), "weight": weight}

    def to_app(self, reference: Reference, saved: Sequence[Reference]) -> Reference:
        return as_saved({**reference, "name": self.service}, saved)

    def matching(self, rule: Rule) -> Rule:
        conditions = [
            {**found, "headers": [*(found.get("headers") or ()), *headers]}
            for found in rule.get("matches") or (_ANY_PATH,)
            for headers in map(_headers, self.matches)
        ]
        # The name of a rule is its own, and may not be there twice.
        return {**{key: rule[key] for key in rule if key != "name"}, "matches": conditions}

    def is_matching(self, rule: Rule) -> bool:
        wanted = [_headers(match) for match in self.matches]
        found = [match.get("headers") or () for match in rule.get("matches") or ()]
        return bool(found) and all(any(_within(part, headers) for part in wanted) for headers in found)


class GatewayApi:
    """The gatewayAPI router; see the module for its theory."""

    permissions = (
        *sides.PERMISSIONS,
        *((verb, "gateway.networking.k8s.io", "httproutes") for verb in ("get", "patch")),
    )

    def borrows(self, policy: ReleasePolicySpec) -> tuple[tuple[Ref, str, str], ...]:
        return ((_own(policy), "rules", "gateway.networking.k8s.io"),)

    def reads(self, policy: ReleasePolicySpec) -> tuple[Ref, ...]:
        return (*sides.service_reads(policy), _own(policy))

    def problems(self, policy: ReleasePolicySpec, seen: Observation) -> str:
        rules, ref, service = _rules(policy, seen), _own(policy), service_of(policy)
        if rules is None:
            return f"{ref} does not exist: create it, or correct spec.strategy.traffic.gatewayAPI.httpRoute"
        if problem := sides.service_problems(policy, seen, sides=True):
            return problem
        dialect, joined = rules.dialect, rules.joined()
        if places := shared(joined, dialect):
            return (
                f"rule {places[0] + 1} of {ref} shares its requests between Service {service} and another backend: "
                "give the app a rule of its own"
            )
        ours = [rule for rule in joined if alone(rule, dialect)]
        if not ours:
            return f"no rule of {ref} leads to Service {service}: add one, or correct the policy's traffic"
        if not dialect.matches:
            return ""
        if len(joined) + len(ours) > MOST_RULES:
            return f"{ref} has {len(joined)} rules, and matches need {len(ours)} more of {MOST_RULES}: leave out match"
        for rule in ours:
            if problem := _match_problem(rule, dialect, ref):
                return problem
        return ""

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        rules = _rules(policy, seen)
        return (rules.saved(),) if rules is not None else ()

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        return sides.prepare_services(policy, seen)

    def reached(self, policy: ReleasePolicySpec, seen: Observation, role: Role) -> int:
        return sides.reached(seen, side_name(service_of(policy), role), role)

    def shows(self, policy: ReleasePolicySpec, seen: Observation) -> Shown | Gone:
        rules, ref = _rules(policy, seen), _own(policy)
        if rules is None:
            return Gone(f"{ref} was deleted: create it again, or abort the release")
        if rules.shown is None:
            return Gone(f"no rule of {ref} leads to Service {service_of(policy)} any more: add it again")
        return Shown(*rules.shown, unseen=_unseen(rules))

    def undone(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        return undone(self.shows(policy, seen), _own(policy), seen)

    def stamp(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        return sides.stamp((_own(policy),), record, seen)

    def steer(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, weight: int, *, matches: bool
    ) -> ObjectWrite | None:
        rules = _rules(policy, seen)
        if rules is None:
            return None
        return self.prepare(policy, record, seen) or rules.led(record, seen, weight, matches=matches)

    def hand_back(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        rules = _rules(policy, seen)
        if rules is not None:
            if write := rules.let_go(record, seen, service_of(policy)):
                return write
            if _unseen(rules):
                return None
        return sides.delete_services(policy, seen)


def _own(policy: ReleasePolicySpec) -> Ref:
    traffic = policy.strategy.traffic
    if traffic is None or traffic.gateway_api is None:
        raise TypeError("this policy's router is not gatewayAPI")
    return Ref("HTTPRoute", traffic.gateway_api.http_route)


def _rules(policy: ReleasePolicySpec, seen: Observation) -> Rules | None:
    route, traffic = seen.objects.get(_own(policy)), policy.strategy.traffic
    if route is None or traffic is None:
        return None
    return Rules(_own(policy), route, "rules", _Route(service_of(policy), sides.namespace_of(route), traffic.match))


def _headers(match: Match) -> list[dict[str, str]]:
    """The header conditions of a match of the policy; all of one match must hold."""
    if match.cookie is not None:
        return [{"type": "RegularExpression", "name": "cookie", "value": f"(.*;\\s*)?{match.cookie}=always(;.*)?"}]
    return [{"type": "Exact", "name": name, "value": value} for name, value in (match.header or {}).items()]


def _within(part: Sequence[Mapping[str, str]], headers: Sequence[Mapping[str, str]]) -> bool:
    plain = [{"type": "Exact", **each} for each in headers]
    return all(each in plain for each in part)


def _match_problem(rule: Rule, dialect: Dialect, ref: Ref) -> str:
    """Whether the policy's matches fit beside those of a rule."""
    names = {
        str(each.get("name", "")).lower() for found in rule.get("matches") or () for each in found.get("headers") or ()
    }
    for match in dialect.matches:
        for each in _headers(match):
            if each["name"].lower() in names:
                return f"a rule of {ref} looks at header {each['name']} already: match another one in the policy"
    if len(rule.get("matches") or (1,)) * len(dialect.matches) > MOST_MATCHES:
        return f"a rule of {ref} has too many matches to add {len(dialect.matches)} of the policy to each: split it"
    return ""


def _unseen(rules: Rules) -> str:
    route = rules.own
    generation = int((route.get("metadata") or {}).get("generation") or 0)
    # The status of a gateway that the route has been taken from may stay behind, and says nothing ever after.
    parents = {ref.get("name") for ref in (route.get("spec") or {}).get("parentRefs") or ()}
    for parent in (route.get("status") or {}).get("parents") or ():
        if (parent.get("parentRef") or {}).get("name") not in parents:
            continue
        for condition in parent.get("conditions") or ():
            seen = condition.get("observedGeneration")
            if condition.get("type") == "Accepted" and seen is not None and int(seen) < generation:
                name = (parent.get("parentRef") or {}).get("name", "")
                return f"gateway {name} has not acted upon the last change of {rules.ref}"
    return ""
