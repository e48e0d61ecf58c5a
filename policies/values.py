"""Durations, percents, amounts of pods and margins: each one type with one spelling back."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from policies.model import refused

_MILLION = 1_000_000
_NUMBER = r"(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?"
_LONGEST_MS = 30 * 24 * 3600 * 1000
_LARGEST = 1e15  # a level above it is not written exactly any more


def _millionths(number: str) -> int:
    """A decimal with at most four places, in hundred-thousandths of a hundredth: exact, unlike a float."""
    whole, _, places = number.partition(".")
    return int(whole) * 10_000 + int(places.ljust(4, "0") or "0")


def _decimal(ten_thousandths: int) -> str:
    whole, rest = divmod(ten_thousandths, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


class Written:
    """A value that YAML writes as a scalar (or a plain list), parsed as a whole."""

    __slots__ = ()
    json_schema: ClassVar[dict[str, Any]]

    @classmethod
    def read(cls, raw: object) -> Self:
        """The value of plain YAML data; raises `PydanticCustomError` with what is allowed."""
        raise NotImplementedError

    def written(self) -> object:
        """The canonical plain value: `read(x.written()) == x`."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.written())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda raw: raw if isinstance(raw, cls) else cls.read(raw),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.written()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(cls.json_schema)


@dataclass(frozen=True, slots=True, order=True)
class Duration(Written):
    """A length of time, longer than zero and at most 30 days, written 300ms, 30s, 10m, 4h, 1h30m or 1d."""

    milliseconds: int

    _UNITS: ClassVar[tuple[tuple[str, int], ...]] = (
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    )
    _PATTERN: ClassVar[str] = "".join(rf"((0|[1-9][0-9]{{0,9}}){unit})?" for unit, _ in _UNITS)
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}

    @classmethod
    def read(cls, raw: object) -> Self:
        allowed = "a duration as text with a unit, such as 300ms, 30s, 10m, 4h or 1h30m"
        if not isinstance(raw, str) or not raw:
            raise refused(allowed)
        match = re.fullmatch(cls._PATTERN, raw, re.ASCII)
        if match is None:
            raise refused(allowed)
        total = sum(int(match.group(2 * i + 2) or 0) * size for i, (_, size) in enumerate(cls._UNITS))
        if not 0 < total <= _LONGEST_MS:
            raise refused("a duration longer than 0 and at most 30d")
        return cls(total)

    @classmethod
    def of(cls, text: str) -> Self:
        """The duration of a text known to be right; raises `PydanticCustomError` when it is not."""
        return cls.read(text)

    @property
    def seconds(self) -> float:
        return self.milliseconds / 1000

    def written(self) -> str:
        rest, text = self.milliseconds, ""
        for unit, size in self._UNITS:
            count, rest = divmod(rest, size)
            # Days are read but not written: 24h is plainer than 1d beside 4h.
            if unit == "d":
                rest += count * size
            elif count:
                text += f"{count}{unit}"
        return text


@dataclass(frozen=True, slots=True, order=True)
class Wait(Written):
    """A length of time that may be nothing: 0s, or a duration."""

    milliseconds: int

    json_schema: ClassVar[dict[str, Any]] = Duration.json_schema

    @classmethod
    def read(cls, raw: object) -> Self:
        return cls(0 if raw == "0s" else Duration.read(raw).milliseconds)

    @property
    def seconds(self) -> float:
        return self.milliseconds / 1000

    def written(self) -> str:
        return Duration(self.milliseconds).written() if self.milliseconds else "0s"


@dataclass(frozen=True, slots=True, order=True)
class Percent(Written):
    """A share above 0 % and up to 100 %, written NN% with at most four decimals; held exactly, in millionths."""

    millionths: int

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"}

    @classmethod
    def read(cls, raw: object) -> Self:
        percent = cls.from_zero(raw)
        if percent.millionths == 0:
            raise refused("a percent above 0% and at most 100%, such as 5%")
        return percent

    @classmethod
    def from_zero(cls, raw: object) -> Self:
        """Like `read`, with 0% allowed."""
        if not isinstance(raw, str) or not re.fullmatch(rf"{_NUMBER}%", raw, re.ASCII):
            raise refused("a percent as text, such as 5% or 0.5%")
        millionths = _millionths(raw[:-1])
        if millionths > _MILLION:
            raise refused("a percent above 0% and at most 100%, such as 5%")
        return cls(millionths)

    @property
    def fraction(self) -> float:
        """The share as a number from 0 to 1."""
        return self.millionths / _MILLION

    @property
    def first_pod(self) -> int:
        """The least number of pods of which this share is one whole pod; the share must be above 0 %."""
        return -(-_MILLION // self.millionths)

    def rounded_up(self, desired: int) -> int:
        return -(-desired * self.millionths // _MILLION)

    def rounded_down(self, desired: int) -> int:
        return desired * self.millionths // _MILLION

    def written(self) -> str:
        return f"{_decimal(self.millionths)}%"


@dataclass(frozen=True, slots=True)
class Amount(Written):
    """A number of pods, or a percent of the desired pods; exactly one of the two is set."""

    pods: int | None = None
    percent: Percent | None = None

    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"}],
        "x-kubernetes-int-or-string": True,
    }

    @classmethod
    def read(cls, raw: object) -> Self:
        if isinstance(raw, int) and not isinstance(raw, bool):
            if not 0 <= raw <= 100_000:
                raise refused("a number of pods from 0 to 100000, or a percent such as 25%")
            return cls(pods=raw)
        if isinstance(raw, str) and raw.endswith("%"):
            return cls(percent=Percent.from_zero(raw))
        raise refused("a whole number of pods, or a percent as text such as 25%")

    @property
    def is_zero(self) -> bool:
        return self.pods == 0 or (self.percent is not None and self.percent.millionths == 0)

    def rounded_up(self, desired: int) -> int:
        """Pods out of `desired`, a percent rounded up; a plain number stands as it is."""
        return self.percent.rounded_up(desired) if self.percent is not None else self.pods or 0

    def rounded_down(self, desired: int) -> int:
        """Pods out of `desired`, a percent rounded down; a plain number stands as it is."""
        return self.percent.rounded_down(desired) if self.percent is not None else self.pods or 0

    def written(self) -> str | int:
        return self.percent.written() if self.percent is not None else self.pods or 0


@dataclass(frozen=True, slots=True)
class Tolerance(Written):
    """The margin a gate forgives: a ratio (1.25x) or percentage points (0.2pp); exactly one of the two is set.

    `ratio` is contender over incumbent, above 1; `points` is a difference of shares, so 0.2pp is 0.002.
    """

    ratio: float | None = None
    points: float | None = None

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(x|pp)$"}

    @classmethod
    def read(cls, raw: object) -> Self:
        match = re.fullmatch(rf"({_NUMBER})(x|pp)", raw, re.ASCII) if isinstance(raw, str) else None
        if match is None:
            raise refused("a ratio such as 1.25x, or percentage points such as 0.2pp")
        number, unit = _millionths(match.group(1)), match.group(4)
        if unit == "x":
            if not 10_000 < number <= 100_000:
                raise refused("a ratio above 1x and at most 10x, such as 1.25x")
            return cls(ratio=number / 10_000)
        if not 0 < number <= _MILLION:
            raise refused("percentage points above 0pp and at most 100pp, such as 0.2pp")
        return cls(points=number / _MILLION)

    def written(self) -> str:
        if self.ratio is not None:
            return f"{_decimal(round(self.ratio * 10_000))}x"
        return f"{_decimal(round((self.points or 0) * _MILLION))}pp"


@dataclass(frozen=True, slots=True, order=True)
class Bound(Written):
    """A hard bound: a share of requests (a percent), or a level of a gauge (a number); exactly one of the two is set.

    Two bounds of one kind compare; `percent` is above 0%, `level` 0 or more.
    """

    percent: Percent | None = None
    level: float | None = None

    # A structural schema of Kubernetes cannot say "a number or a text"; the loader says it instead.
    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"}],
        "x-kubernetes-preserve-unknown-fields": True,
    }

    @classmethod
    def read(cls, raw: object) -> Self:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            if not 0 <= raw <= _LARGEST:
                raise refused(f"a number of 0 or more, at most {_LARGEST:g}")
            return cls(level=float(raw))
        return cls(percent=Percent.read(raw))

    @property
    def share(self) -> float | None:
        """The bound as a share of requests, 0 to 1; None for a level."""
        return self.percent.fraction if self.percent is not None else None

    def written(self) -> str | int | float:
        if self.percent is not None:
            return self.percent.written()
        level = self.level or 0.0
        return int(level) if level.is_integer() else level
