"""The rules of one object that lead to the app's Service: borrowed, led to both sides, read back, and handed back.

HTTPRoute and VirtualService are the same to a release but for their dialect (see `split`) and the name of a field.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import ObjectWrite
from controller.release.record import Record, Saved
from controller.routers import sides
from controller.routers.shown import Gone, Shown
from controller.routers.sides import Object
from controller.routers.split import Dialect, Reference, Rule, join, shown, split


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that stand in the field `part` of the spec of `own`."""

    ref: Ref
    own: Object
    part: str
    dialect: Dialect

    @property
    def found(self) -> list[Rule]:
        return list((self.own.get("spec") or {}).get(self.part) or ())

    @property
    def shown(self) -> tuple[int, bool, bool] | None:
        """As `split.shown` reads them."""
        return shown(self.found, self.dialect)

    def joined(self, record: Record | None = None) -> list[Rule]:
        """The rules as they would be without a release; with what the record kept of them."""
        saved = sides.saved_fields(record, self.ref).get(self._saved_at, ()) if record is not None else ()
        return join(self.found, self.dialect, saved)

    def saved(self) -> Saved:
        """The references to the app, each once."""
        kept: list[Reference] = []
        for rule in self.joined():
            for each in rule.get(self.dialect.references) or ():
                if self.dialect.leads_to(each) == "app" and each not in kept:
                    kept.append(each)
        return Saved(self.ref.kind, self.ref.name, sides.uid_of(self.own), sides.saved_text({self._saved_at: kept}))

    def led(self, record: Record, seen: Observation, weight: int, *, matches: bool) -> ObjectWrite | None:
        """The write that splits the rules at `weight`; None where they are split so."""
        rules = split(self.joined(record), self.dialect, weight, matches=matches and bool(self.dialect.matches))
        said = f"{self.ref} at weight {weight}"
        return sides.led(self.ref, self.own, {self.part: rules}, str(weight), record, seen, said)

    def let_go(self, record: Record, seen: Observation, service: str) -> ObjectWrite | None:
        """The write that leads the rules to the app's Service again; None where they do."""
        told = f"{self.ref} leads to {service}"
        return sides.let_go(self.ref, self.own, {self.part: self.joined(record)}, told, record, seen)

    @property
    def _saved_at(self) -> str:
        return f"spec.{self.part}[*].{self.dialect.references}[*]"


def undone(shows: Shown | Gone, ref: Ref, seen: Observation) -> tuple[str, ...]:
    """Whether somebody undid the split that we wrote into an object; an object that has gone undoes nothing."""
    if isinstance(shows, Gone):
        return ()
    return sides.reversal(ref, seen.objects.get(ref), seen, str(shows.weight) if shows.pinned else "apart")
