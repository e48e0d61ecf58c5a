"""A list of routing rules whose references to one Service are split between two sides, and joined again.

HTTPRoute and VirtualService differ in how a reference is written, not in what a split is. For every rule whose one
weighted reference leads to the app:

    [.., ref, ..]  <->  [.., incumbent side at 100 - w, contender side at w, ..]

and, where the policy has matches, a copy of the rule stands before it that leads matching requests to the contender.
`split(join(rules))` is the only way rules are written, so rules of other people, and rules that they add in
mid-release, come out as they went in, and a second write of the same split is no write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from controller.release.vocabulary import Role
from policies.traffic import Match

Rule = Mapping[str, Any]
Reference = Mapping[str, Any]


class Dialect(Protocol):
    """How one router writes rules and references."""

    @property
    def references(self) -> str:
        """The field of a rule that holds its references."""
        ...

    @property
    def matches(self) -> tuple[Match, ...]:
        """The policy's matches."""
        ...

    def leads_to(self, reference: Reference) -> Role | str:
        """ "app" for the app's own Service, a role for a side, "" for anything else."""
        ...

    def to_side(self, reference: Reference, role: Role, weight: int) -> Reference:
        """The reference to the app, led to a side."""
        ...

    def to_app(self, reference: Reference, saved: Sequence[Reference]) -> Reference:
        """A side's reference led to the app again, as it was saved."""
        ...

    def matching(self, rule: Rule) -> Rule:
        """A copy of the rule for requests that match, without references."""
        ...

    def is_matching(self, rule: Rule) -> bool:
        """Whether the conditions of a rule are those of such a copy."""
        ...


def weight_of(reference: Reference) -> int:
    """A reference without a weight has all of it: 1 in the Gateway API, 100 in Istio; the sums are relative."""
    weight = reference.get("weight")
    return 1 if weight is None else int(weight)


def as_saved(reference: Reference, saved: Sequence[Reference]) -> Reference:
    """The reference with the weight that it was saved with; without one where it was not saved."""
    plain = _without_weight(reference)
    return next((each for each in saved if _without_weight(each) == plain), plain)


def _without_weight(reference: Reference) -> Reference:
    return {key: value for key, value in reference.items() if key != "weight"}


def _roles(rule: Rule, dialect: Dialect) -> list[str]:
    return [dialect.leads_to(each) for each in rule.get(dialect.references) or ()]


def alone(rule: Rule, dialect: Dialect) -> bool:
    """Whether a rule leads to the app, and no share of it anywhere else."""
    references = rule.get(dialect.references) or ()
    weighty = [dialect.leads_to(each) for each in references if weight_of(each) > 0 or len(references) == 1]
    return weighty == ["app"]


def shared(rules: Sequence[Rule], dialect: Dialect) -> list[int]:
    """The places of rules that share requests between the app and something else."""
    return [
        index
        for index, rule in enumerate(rules)
        if not alone(rule, dialect)
        and any(dialect.leads_to(each) == "app" and weight_of(each) > 0 for each in rule.get(dialect.references) or ())
    ]


def join(rules: Sequence[Rule], dialect: Dialect, saved: Sequence[Reference]) -> list[Rule]:
    """The rules as they would be without a release."""
    joined: list[Rule] = []
    for rule in rules:
        roles = _roles(rule, dialect)
        if roles == ["contender"] and dialect.is_matching(rule):
            continue
        if "incumbent" not in roles:
            joined.append(rule)
            continue
        references = [
            dialect.to_app(each, saved) if role == "incumbent" else each
            for each, role in zip(rule[dialect.references], roles, strict=True)
            if role != "contender"
        ]
        joined.append({**rule, dialect.references: references})
    return joined


def split(rules: Sequence[Rule], dialect: Dialect, weight: int, *, matches: bool) -> list[Rule]:
    """Joined rules, with every reference to the app split at `weight` percent for the contender."""
    result: list[Rule] = []
    for rule in rules:
        if not alone(rule, dialect):
            result.append(rule)
            continue
        references: list[Reference] = []
        for each in rule[dialect.references]:
            if dialect.leads_to(each) == "app" and (weight_of(each) > 0 or len(rule[dialect.references]) == 1):
                references.append(dialect.to_side(each, "incumbent", 100 - weight))
                references.append(dialect.to_side(each, "contender", weight))
                ours = each
            else:
                references.append(each)
        if matches:
            copy = dialect.matching(rule)
            result.append({**copy, dialect.references: [_alone_to_contender(dialect, ours)]})
        result.append({**rule, dialect.references: references})
    return result


def _alone_to_contender(dialect: Dialect, reference: Reference) -> Reference:
    """All requests of a matching rule go to the contender."""
    return dialect.to_side(reference, "contender", 100)


def shown(rules: Sequence[Rule], dialect: Dialect) -> tuple[int, bool, bool] | None:
    """(percent of the contender, matches are there, every route to the app is split), or None without any route."""
    percents: list[int] = []
    matching = unsplit = 0
    for rule in rules:
        roles = _roles(rule, dialect)
        matching += roles == ["contender"] and dialect.is_matching(rule)
        if "incumbent" in roles:
            weights = dict.fromkeys(("incumbent", "contender"), 0)
            for each, role in zip(rule[dialect.references], roles, strict=True):
                if role in weights:
                    weights[role] += weight_of(each)
            percents.append(100 * weights["contender"] // max(sum(weights.values()), 1))
        elif "app" in roles:
            unsplit += 1
    if not percents and not unsplit:
        return None
    same = len(set(percents)) == 1 and not unsplit
    return max(percents, default=0), bool(percents) and matching == len(percents), same
