"""Durations, percents, amounts and margins: one type each, one spelling back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from policies.values import Amount, Duration, Percent, Tolerance


@pytest.mark.parametrize(
    ("text", "seconds", "canonical"),
    [
        ("300ms", 0.3, "300ms"),
        ("30s", 30, "30s"),
        ("90s", 90, "1m30s"),
        ("10m", 600, "10m"),
        ("4h", 14400, "4h"),
        ("1h30m", 5400, "1h30m"),
        ("1d", 86400, "24h"),
        ("0h5m", 300, "5m"),
        ("30d", 2592000, "720h"),
    ],
)
def test_a_duration_is_seconds_and_has_one_spelling(text: str, seconds: float, canonical: str) -> None:
    assert Duration.read(text).seconds == seconds
    assert Duration.read(text).written() == canonical


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "5",
        "m",
        "0s",
        "-5m",
        "1.5h",
        "5 m",
        " 5m",
        "5m ",
        "5m\n",
        "30m4h",
        "05m",
        "31d",
        "22:30",
        "5M",
        "٥m",
        "inf",
        600,
        0.5,
        True,
        None,
        ["5m"],
        "9" * 400 + "ms",
        "9999999999h",
    ],
)
def test_what_is_no_duration_is_refused(raw: object) -> None:
    with pytest.raises(PydanticCustomError):
        Duration.read(raw)


@given(st.integers(1, 30 * 24 * 3600 * 1000))
def test_every_duration_reads_back_from_its_spelling(milliseconds: int) -> None:
    assert Duration.read(Duration(milliseconds).written()) == Duration(milliseconds)


def test_durations_compare_by_length() -> None:
    assert Duration.of("90s") == Duration.of("1m30s")
    assert Duration.of("999ms") < Duration.of("1s") < Duration.of("1m") < Duration.of("1h")


@pytest.mark.parametrize(
    ("text", "fraction", "canonical"),
    [
        ("1%", 0.01, "1%"),
        ("0.5%", 0.005, "0.5%"),
        ("0.50%", 0.005, "0.5%"),
        ("100%", 1.0, "100%"),
        ("33.3333%", 0.333333, "33.3333%"),
        ("0.0001%", 1e-6, "0.0001%"),
    ],
)
def test_a_percent_is_a_fraction_and_has_one_spelling(text: str, fraction: float, canonical: str) -> None:
    assert Percent.read(text).fraction == fraction
    assert Percent.read(text).written() == canonical


@pytest.mark.parametrize(
    "raw",
    [
        "0%",
        "0.0%",
        "101%",
        "100.0001%",
        "-1%",
        "+1%",
        "1 %",
        "1",
        "%",
        "1.%",
        ".5%",
        "01%",
        "1e1%",
        "nan%",
        "0.00001%",
        1,
        0.01,
        True,
        None,
        "99999999%",
    ],
)
def test_what_is_no_percent_is_refused(raw: object) -> None:
    with pytest.raises(PydanticCustomError):
        Percent.read(raw)


@given(st.integers(1, 1_000_000), st.integers(0, 100_000))
def test_percents_of_pods_are_exact(millionths: int, desired: int) -> None:
    percent = Percent(millionths)
    up, down = percent.rounded_up(desired), percent.rounded_down(desired)
    assert down * 1_000_000 <= desired * millionths <= up * 1_000_000
    assert up - down <= 1
    assert Percent.read(percent.written()) == percent


def test_percents_do_not_inherit_the_faults_of_floats() -> None:
    # 0.07 * 100 is 7.000000000000001 as a float, and its ceiling 8.
    assert Percent.read("7%").rounded_up(100) == 7
    assert Percent.read("29%").rounded_down(100) == 29


@pytest.mark.parametrize(("raw", "up", "down"), [(3, 3, 3), (0, 0, 0), ("25%", 2, 1), ("0%", 0, 0), ("100%", 5, 5)])
def test_an_amount_is_pods_or_a_percent(raw: object, up: int, down: int) -> None:
    amount = Amount.read(raw)
    assert (amount.rounded_up(5), amount.rounded_down(5)) == (up, down)
    assert Amount.read(amount.written()) == amount


@pytest.mark.parametrize("raw", [-1, True, 1.0, "3", "3 pods", "", None, [1], "101%", 100_001])
def test_what_is_no_amount_is_refused(raw: object) -> None:
    with pytest.raises(PydanticCustomError):
        Amount.read(raw)


@pytest.mark.parametrize(
    ("text", "ratio", "points"),
    [("1.25x", 1.25, None), ("10x", 10.0, None), ("1.0001x", 1.0001, None), ("0.2pp", None, 0.002), ("100pp", None, 1)],
)
def test_a_margin_is_a_ratio_or_points(text: str, ratio: float | None, points: float | None) -> None:
    tolerance = Tolerance.read(text)
    assert (tolerance.ratio, tolerance.points) == (ratio, points)
    assert tolerance.written() == text


@pytest.mark.parametrize(
    "raw", ["1x", "0.9x", "10.1x", "0pp", "101pp", "-1pp", "1.25", "x", "pp", "nanx", "infx", "1.25X", 1.25, None, True]
)
def test_what_is_no_margin_is_refused(raw: object) -> None:
    with pytest.raises(PydanticCustomError):
        Tolerance.read(raw)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text())))
def test_no_value_type_fails_in_any_other_way(raw: object) -> None:
    for kind in (Duration, Percent, Amount, Tolerance):
        try:
            value = kind.read(raw)
        except PydanticCustomError:
            continue
        assert kind.read(value.written()) == value
