"""The arithmetic of the twin strategy: how many pods each stage means, at any size of the app."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.schema import Twin
from tests.policies.builders import a_twin


@pytest.mark.parametrize(
    ("desired", "targets"),
    [
        (0, (0, 0, 0, 0, 0)),
        (1, (1, 1, 1, 1, 1)),
        (2, (1, 1, 1, 2, 2)),
        (3, (1, 1, 2, 3, 3)),
        (4, (1, 1, 2, 3, 4)),
        (10, (1, 3, 5, 8, 10)),
    ],
)
def test_a_canary_and_four_equal_batches(desired: int, targets: tuple[int, ...]) -> None:
    assert a_twin(canary=1, batches=4).targets(desired) == targets


@pytest.mark.parametrize(
    ("desired", "targets"),
    [
        (0, (0, 0, 0, 0)),
        (1, (1, 1, 1, 1)),
        (2, (1, 1, 1, 2)),
        (3, (1, 1, 2, 3)),
        (10, (1, 1, 4, 10)),
        (11, (1, 2, 5, 11)),
    ],
)
def test_percents_are_rounded_up(desired: int, targets: tuple[int, ...]) -> None:
    assert a_twin(canary=1, batches=["10%", "40%", "100%"]).targets(desired) == targets


def test_a_canary_larger_than_a_batch_is_never_taken_back() -> None:
    assert a_twin(canary=5, batches=["10%", "60%", "100%"]).targets(10) == (5, 5, 6, 10)


def test_pods_and_percents_may_be_mixed() -> None:
    assert a_twin(canary="1%", batches=[2, "50%", 3, "100%"]).targets(10) == (1, 2, 5, 5, 10)


def test_counts_above_the_app_are_all_of_it() -> None:
    assert a_twin(canary=3, batches=[5, 50, "100%"]).targets(2) == (2, 2, 2, 2)


def test_a_negative_number_of_pods_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="-1"):
        a_twin().targets(-1)


@pytest.mark.parametrize(
    ("desired", "surge", "unavailable"), [(0, 0, 0), (1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 1), (5, 2, 1), (10, 3, 2)]
)
def test_surge_is_rounded_up_and_unavailable_down(desired: int, surge: int, unavailable: int) -> None:
    twin = a_twin(maxSurge="25%", maxUnavailable="25%")
    assert (twin.surge(desired), twin.unavailable(desired)) == (surge, unavailable)


def test_no_more_pods_may_be_missing_than_there_are() -> None:
    assert a_twin(maxUnavailable=5).unavailable(3) == 3


def test_merged_batches_are_named() -> None:
    assert a_twin(canary=1, batches=["10%", "40%", "100%"]).merged(3) == [
        "batch 1 of 3 (10%) is merged with the canary (1): both are 1 of 3 pods"
    ]
    assert len(a_twin(batches=4).merged(1)) == 4
    assert a_twin(batches=4).merged(10) == []


@pytest.mark.parametrize(("share", "least"), [("25%", 4), ("30%", 4), ("34%", 3), ("1%", 100), ("50%", 2)])
def test_a_size_below_which_nothing_could_move_is_named(share: str, least: int) -> None:
    twin = a_twin(maxSurge=0, maxUnavailable=share, batches=1)
    assert twin.standstill(least) == ""
    assert f"both mean 0 of {least - 1} pods" in twin.standstill(least - 1)
    assert any(f"0 of fewer than {least} pods" in line for line in twin.merged(200))


def test_a_size_that_always_moves_is_not_mentioned() -> None:
    assert a_twin(maxSurge=0, maxUnavailable="100%").merged(10) == []
    assert a_twin(maxSurge=0, maxUnavailable=1).merged(10) == []
    assert a_twin(maxSurge="25%", maxUnavailable="25%").merged(10) == []


amounts = st.one_of(st.integers(1, 50), st.integers(1, 100).map("{}%".format))
plans = st.one_of(
    st.integers(1, 100),
    st.lists(st.integers(1, 99), unique=True, max_size=6).map(
        lambda steps: [f"{s}%" for s in sorted(steps)] + ["100%"]
    ),
    st.lists(st.integers(1, 60), unique=True, max_size=6).map(lambda steps: [*sorted(steps), "100%"]),
)
twins = st.builds(lambda canary, batches: a_twin(canary=canary, batches=batches), amounts, plans)


@given(twins, st.integers(0, 500))
def test_stages_never_fall_never_exceed_the_app_and_end_with_all_of_it(twin: Twin, desired: int) -> None:
    targets = twin.targets(desired)
    assert len(targets) == 1 + len(twin.batches)
    assert list(targets) == sorted(targets)
    assert targets[-1] == desired
    assert desired == 0 or targets[0] >= 1
    cut = twin.canary.pods is not None and twin.canary.pods > desired > 0
    assert len(twin.merged(desired)) == len(targets) - len(set(targets)) + cut


@given(st.integers(1, 100), st.integers(1, 500))
def test_equal_batches_differ_by_at_most_one_pod(batches: int, desired: int) -> None:
    sizes = [0, *(a_twin(batches=batches).batches.size(index, desired) for index in range(batches))]
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    assert max(steps) - min(steps) <= 1
