"""The frozen model every part of a policy is made of, and the way a part says what is wrong with it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

V = TypeVar("V")

NOT_AVAILABLE = "not available in this version"


@dataclass(frozen=True, slots=True)
class Problem:
    """One contradiction inside a part: `at` is the path below the part, in the words of the YAML."""

    at: tuple[str | int, ...]
    found: str
    allowed: str


def refused(allowed: str, found: str = "") -> PydanticCustomError:
    """The error a value type raises; an empty `found` lets the reader show the value as it was written."""
    return PydanticCustomError("refused", "{allowed}", {"allowed": allowed, "found": found})


def parsed(raw: object, parse: Callable[[str], V], allowed: str) -> V:
    """A value out of a text by a parser that raises ValueError; its reason stands beside what is allowed."""
    if not isinstance(raw, str):
        raise refused(allowed)
    try:
        return parse(raw)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise refused(f"{allowed} ({reason[:200]})") from None


class Part(BaseModel):
    """A frozen mapping of a policy: strict types, no unknown keys, camelCase in YAML and snake_case in code.

    Build one with `model_validate({...camelCase keys...})`; an illegal part raises `pydantic.ValidationError`.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)

    # Fields of the documented policy whose feature does not exist yet: refused with their own message, so
    # that nobody takes a window or a freeze that is not kept for one that is.
    later: ClassVar[Mapping[str, str]] = {}

    def problems(self) -> Iterator[Problem]:
        """What is wrong with this part as a whole, once each field by itself is right."""
        return iter(())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        if cls.later:
            handler.resolve_ref_schema(written)["x-later"] = dict(cls.later)
        return written

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        found = tuple(self.problems())
        if found:
            raise PydanticCustomError("contradiction", "contradiction", {"problems": found})
        return self
