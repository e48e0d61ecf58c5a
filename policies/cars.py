"""A train among the policies beside it: which of them ride, after whom, and what is wrong with that."""

from collections.abc import Iterator, Mapping

from policies.schema import ReleasePolicy
from policies.train import ReleaseTrainSpec, cycle
from policies.translate import meant
from policies.values import Wait


def order_of(train: ReleaseTrainSpec, labels: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Every policy that rides, in the order of the cars, with those that go before it. `labels`: of the policies.

    A policy that a car names rides there, whatever its labels are; of several cars with its labels the first counts.
    """
    named = {car.policy for car in train.cars}
    after: dict[str, tuple[str, ...]] = {}
    for car in train.cars:
        found = [car.policy] if car.policy is not None else []
        if car.policies is not None:
            wanted = car.policies.items()
            found = [name for name, has in sorted(labels.items()) if wanted <= has.items() and name not in named]
        for name in found:
            after.setdefault(name, tuple(each for each in car.after if each != name))
    return after


def disorder(after: Mapping[str, tuple[str, ...]]) -> str:
    """Why the cars of an order can never all leave, or ""."""
    for name, first in after.items():
        if missing := [each for each in first if each not in after]:
            return f"{name} after {missing[0]}, which is no car of this train{meant(missing[0], list(after))}"
    ring = cycle(after)
    return f"a cycle: {' after '.join(ring)}" if ring else ""


def never_fits(train: ReleaseTrainSpec, policy: ReleasePolicy) -> str:
    """Why no night of a train holds the shortest release of a policy, with both lengths; or ""."""
    shortest, where = policy.spec.strategy.moves.shortest(policy.spec.observe.at_least)
    night = train.window.length.total_seconds()
    if night >= shortest.seconds:
        return ""
    return (
        f"a night of {Wait(round(night * 1000))}, and the shortest release of {policy.name} takes {shortest}: {where}"
    )


def wrong_cars(train: ReleaseTrainSpec, policies: Mapping[str, ReleasePolicy]) -> Iterator[tuple[str, str]]:
    """(path, message) of cars without a policy, of policies that may not ride, and of an order that is none."""
    places = {car.policy: f"spec.cars[{index}]" for index, car in enumerate(train.cars)}
    order = order_of(train, {name: policy.metadata.labels for name, policy in policies.items()})
    for name in order:
        policy, place = policies.get(name), places.get(name, "spec.cars")
        if policy is None:
            found = f"found {name}, and no such policy in the files that were read"
            known = sorted(policies)
            yield f"{place}.policy", f"{found}; allowed: {', '.join(known)}{meant(name, known)}"
            continue
        if "on_undecided" not in policy.spec.observe.model_fields_set:
            found = f"found {name}, which does not say observe.onUndecided"
            allowed = "policies that say pause, advance or rollBack: at night nobody is there to go on"
            yield place, f"{found}; allowed: {allowed}"
        if short := never_fits(train, policy):
            yield "spec.window", f"found {short}; allowed: a window that holds the shortest release of each car"
    if wrong := disorder(order):
        yield "spec.cars", f"found {wrong}; allowed: an order in which all can leave"
