"""Window and freeze: the hours in which releases leave, and the days on which nothing does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema

from policies.model import Part, Problem, refused
from policies.names import Text
from policies.values import Written

OnClose = Literal["finishLastBatch", "park", "rollBack"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = f"({'|'.join(_DAYS)})"
_MIDNIGHT = 24 * 60
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
_FIRST_YEAR, _LAST_YEAR = 2000, 2199


@dataclass(frozen=True, slots=True)
class Days(Written):
    """Weekdays, written Mon-Thu or Mon,Wed,Fri; `numbers` ascend and count from Monday, 0."""

    numbers: tuple[int, ...]

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": f"^{_DAY}(-{_DAY})?(, ?{_DAY}(-{_DAY})?)*$"}

    @classmethod
    def read(cls, raw: object) -> Self:
        allowed = f"weekdays as text, such as Mon-Thu or Mon,Wed,Fri, of {', '.join(_DAYS)}"
        if not isinstance(raw, str) or not re.fullmatch(cls.json_schema["pattern"], raw, re.ASCII):
            raise refused(allowed)
        numbers: set[int] = set()
        for part in raw.replace(" ", "").split(","):
            first, _, last = part.partition("-")
            start = _DAYS.index(first)
            # Fri-Mon goes over the end of the week.
            count = (_DAYS.index(last or first) - start) % 7 + 1
            numbers |= {(start + step) % 7 for step in range(count)}
        return cls(tuple(sorted(numbers)))

    def written(self) -> str:
        runs: list[list[int]] = []
        for number in self.numbers:
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        return ",".join(_DAYS[run[0]] + (f"-{_DAYS[run[-1]]}" if len(run) > 1 else "") for run in runs)


@dataclass(frozen=True, slots=True, order=True)
class TimeOfDay(Written):
    """What a clock on the wall shows, 00:00 to 23:59; 24:00 is the end of a day."""

    minutes: int

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"}

    @classmethod
    def read(cls, raw: object) -> Self:
        if not isinstance(raw, str) or not re.fullmatch(cls.json_schema["pattern"], raw, re.ASCII):
            raise refused("a time of day as text with two digits each, such as 01:00 or 22:30")
        return cls(60 * int(raw[:2]) + int(raw[3:]))

    def written(self) -> str:
        return f"{self.minutes // 60:02d}:{self.minutes % 60:02d}"


@dataclass(frozen=True, slots=True, order=True)
class Day(Written):
    """A date of the calendar, written 2026-12-24."""

    at: date

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}

    @classmethod
    def read(cls, raw: object) -> Self:
        allowed = f"a date such as 2026-12-24, of the years {_FIRST_YEAR} to {_LAST_YEAR}"
        if not isinstance(raw, str) or not re.fullmatch(cls.json_schema["pattern"], raw, re.ASCII):
            raise refused(allowed)
        try:
            found = date.fromisoformat(raw)
        except ValueError:
            raise refused(allowed) from None
        if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise refused(allowed)
        return cls(found)

    def written(self) -> str:
        return self.at.isoformat()


@dataclass(frozen=True, slots=True, order=True)
class Instant(Written):
    """A moment, written as RFC 3339 with its distance from UTC; `seconds` since the epoch."""

    seconds: float

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}

    @classmethod
    def read(cls, raw: object) -> Self:
        allowed = "a time such as 2026-11-24T01:00:00Z or 2026-11-24T01:00:00+08:00"
        if not isinstance(raw, str) or not re.fullmatch(_INSTANT, raw, re.ASCII):
            raise refused(allowed)
        try:
            found = datetime.fromisoformat(raw.replace("Z", "+00:00"))
        except ValueError:
            raise refused(allowed) from None
        if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise refused(f"{allowed}, of the years {_FIRST_YEAR} to {_LAST_YEAR}")
        return cls(found.timestamp())

    def written(self) -> str:
        text = datetime.fromtimestamp(self.seconds, UTC).isoformat(timespec="milliseconds")
        return text.removesuffix("+00:00").removesuffix(".000") + "Z"


@cache
def known_zones() -> frozenset[str]:
    """The names of the IANA time zones. The list of the package and not of the machine, which may lack old names."""
    listed = (files("tzdata") / "zones").read_text(encoding="utf-8").split()
    return frozenset(listed) - {"Factory", "localtime"}


def _zone(name: str) -> str:
    if name not in known_zones():
        # Only here: a policy that is right needs no guesses.
        from policies.translate import meant

        raise refused(
            f"the name of an IANA time zone, such as Europe/Berlin or UTC{meant(name, sorted(known_zones()))}"
        )
    return name


Zone = Annotated[
    str, AfterValidator(_zone), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_+/-]{0,63}$"})
]


class Window(Part):
    """When releases may leave and go on, by the clock on the wall of a zone; a rollback asks no window."""

    days: Days = Field(
        default=Days(tuple(range(7))),
        description="The weekdays on which it opens, such as Mon-Thu or Mon,Wed,Fri. Default: every day.",
    )
    opens: TimeOfDay = Field(alias="from", description="When it opens, such as 22:30.")
    closes: TimeOfDay = Field(
        alias="to", description="When it closes, such as 05:30; on the next day where that is not later than `from`."
    )
    zone: Zone = Field(description="The IANA time zone of both, such as Europe/Berlin.")
    on_close: OnClose = Field(
        default="rollBack",
        description="What becomes of a release that is under way when it closes: rollBack, park (stand still until it "
        "opens again), or finishLastBatch (in its last batch it goes on to its end, before that it turns back).",
    )

    def problems(self) -> Iterator[Problem]:
        if self.opens.minutes == _MIDNIGHT:
            yield Problem(("from",), "24:00", "00:00 to 23:59")
        elif self.opens == self.closes:
            yield Problem(("to",), f"{self.closes} twice", "another time than `from`; a whole day is 00:00 to 24:00")

    @property
    def length(self) -> timedelta:
        """How long it is open on a day on which no clock is changed."""
        return timedelta(minutes=(self.closes.minutes - self.opens.minutes) % _MIDNIGHT or _MIDNIGHT)

    def inside(self, other: "Window") -> bool:
        """Whether it is open only while the other one is, by the same clock on the wall."""
        return self.zone == other.zone and not self._week() & ~other._week()

    def _week(self) -> int:
        """A bit for each minute of a week at which it is open."""
        minutes, bits = round(self.length.total_seconds() / 60), 0
        for day in self.days.numbers:
            bits |= ((1 << minutes) - 1) << (day * _MIDNIGHT + self.opens.minutes)
        week = 7 * _MIDNIGHT
        return (bits | bits >> week) & ((1 << week) - 1)


class Freeze(Part):
    """Whole days on which nothing leaves and nothing goes on; a rollback asks no freeze."""

    first: Day = Field(alias="from", description="The first frozen day, such as 2026-12-24.")
    last: Day = Field(alias="to", description="The last frozen day; it is frozen to its end.")
    why: Text = Field(description="Why; it is told to whoever waits.")
    zone: Zone | None = Field(
        default=None, description="The IANA time zone of the days. Default: the zone of the window."
    )

    def problems(self) -> Iterator[Problem]:
        if self.last < self.first:
            yield Problem(("to",), f"{self.last} before {self.first}", "a day that is not before `from`")
