"""Reads the evidence back out of a request, the way a model sees it: text, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bot.domain.injection import talks_to_assistant

_FENCED = re.compile(
    r"^=====EVIDENCE (?P<marker>\S+)=====\n(?P<lines>.*?)\n=====END EVIDENCE (?P=marker)=====$",
    re.MULTILINE | re.DOTALL,
)
_WEIGHTS = {"critical": 5, "high": 4, "medium": 3, "low": 2, "informational": 1}
_POWERFUL = re.compile(r"admin|privileged|owner|tier.?0|service principal", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One line of the evidence; everything in it is data."""

    fields: dict[str, Any]

    def text(self, name: str, limit: int = 300) -> str:
        """A field on one line, at most `limit` characters long; empty where there is none."""
        value = " ".join(str(self.fields.get(name) or "").split())
        return value if len(value) <= limit else f"{value[:limit].rstrip()}..."

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of strings."""
        value = self.fields.get(name)
        return tuple(str(each) for each in cast(list[Any], value)) if type(value) is list else ()

    def facts(self, name: str) -> tuple[str, ...]:
        """A field that is an object, as `key: value` texts."""
        value = self.fields.get(name)
        if not isinstance(value, dict):
            return ()
        pairs = cast(dict[str, Any], value).items()
        return tuple(f"{key}: {' '.join(str(each).split())[:120]}" for key, each in pairs)

    @property
    def number(self) -> int:
        """What an answer cites it by."""
        number = self.fields.get("n")
        return number if isinstance(number, int) else 0

    @property
    def cite(self) -> str:
        """The citation, as `[3]`; empty for a line without a number."""
        return f"[{self.number}]" if self.number else ""

    @property
    def whole(self) -> str:
        """All of it as text, to search in."""
        return json.dumps(self.fields, ensure_ascii=False)

    @property
    def weight(self) -> int:
        """How much an alert of its severity counts."""
        return _WEIGHTS.get(self.text("severity").lower(), 1)


@dataclass(frozen=True, slots=True)
class CaseEvidence:
    """All lines of a request's evidence, by kind."""

    exhibits: tuple[Exhibit, ...] = ()

    def of(self, kind: str) -> tuple[Exhibit, ...]:
        """The lines of a kind (`alert`, `entity`, ...), in the order of the evidence."""
        return tuple(each for each in self.exhibits if each.text("kind") == kind)

    @property
    def incident(self) -> Exhibit:
        """The incident's own line; empty where the evidence has none."""
        return next(iter(self.of("incident")), Exhibit({}))

    @property
    def in_time(self) -> tuple[Exhibit, ...]:
        """The alerts in the order of their times; those without a time last."""
        return tuple(sorted(self.of("alert"), key=lambda alert: alert.text("started") or "~"))

    @property
    def tactics(self) -> tuple[str, ...]:
        """The tactics of the alerts in the order of their times, then the incident's, once each."""
        sources = (*self.in_time, self.incident)
        return tuple(dict.fromkeys(name for each in sources for name in each.texts("tactics")))

    @property
    def addressed_to_assistant(self) -> tuple[Exhibit, ...]:
        """The lines that hold text written for an AI."""
        return tuple(each for each in self.exhibits if talks_to_assistant(each.whole))

    @property
    def entities(self) -> tuple[Exhibit, ...]:
        """The entities, once each: a mailbox that is called like its account is the same."""
        first: dict[tuple[str, str], Exhibit] = {}
        for each in self.of("entity"):
            kind = each.text("type").lower().replace("mailbox", "account")
            first.setdefault((kind, each.text("name").casefold()), each)
        return tuple(first.values())

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Every entity as (kind, name)."""
        return tuple((each.text("type"), each.text("name", 120)) for each in self.entities)

    def ranked(self, *kinds: str) -> tuple[tuple[Exhibit, tuple[Exhibit, ...]], ...]:
        """Entities of these kinds with the alerts that name them, the most telling first."""
        found = [
            (each, self.naming(each))
            for each in self.entities
            if each.text("type").lower() in kinds
        ]
        return tuple(
            sorted(
                found,
                key=lambda pair: (-sum(alert.weight for alert in pair[1]), not powerful(pair[0])),
            )
        )

    def naming(self, entity: Exhibit) -> tuple[Exhibit, ...]:
        """The alerts whose text names an entity, in full or by its short name."""
        name = entity.text("name", 120)
        short = name.split("@")[0]
        if entity.text("type").lower() == "host":
            short = name.split(".")[0]
        needles = [re.escape(each) for each in (name, short) if len(each) >= 3]
        if not needles:
            return ()
        pattern = re.compile(rf"(?<![\w.-])(?:{'|'.join(needles)})(?![\w-]|\.\w)", re.IGNORECASE)
        return tuple(alert for alert in self.of("alert") if pattern.search(alert.whole))


def read(messages: Sequence[str]) -> CaseEvidence:
    """Find the evidence in the first message that has any; lines that are not JSON are left out."""
    for text in messages:
        if found := _FENCED.search(text):
            return CaseEvidence(tuple(_exhibits(found["lines"].split("\n"))))
    return CaseEvidence()


def _exhibits(lines: Iterable[str]) -> Iterable[Exhibit]:
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield Exhibit(cast(dict[str, Any], value))


def powerful(entity: Exhibit) -> bool:
    """Say whether an account's facts or name speak of high privilege."""
    return bool(_POWERFUL.search(entity.whole))


def cites(exhibits: Iterable[Exhibit]) -> str:
    """Citations side by side, as `[2][5]`."""
    return "".join(each.cite for each in exhibits)
