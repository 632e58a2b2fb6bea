"""Explains the tactics of an incident for this incident, and not in general.

This is the first part of the playbook that Casemate grew out of.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.incident import CaseFile, IncidentRef
from ..domain.proposal import Item
from ..domain.rendering import unmarked
from ..errors import AnswerMalformed, ModelDown, ModelRefused, PromptFiltered
from ..ports import Courier, JsonObject, Said, Usage
from .alone import alone
from .ask import (
    Asked,
    Briefing,
    Material,
    alarmed,
    audited,
    brief,
    proposal,
    struck_by,
    turn,
)
from .audit import accounted
from .desk import Desk
from .structured import entries, structured

MAX_TACTICS = 20
MAX_CHARS = 1_500
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "tactics": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "description": {"type": "string"}},
                "required": ["name", "description"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["tactics"],
    "additionalProperties": False,
}

_QUESTION = "What do the tactics of this incident mean here?"
_NONE = (
    "Incident {number} names no tactic, so there is none to explain. "
    "Say **tasks** for what to look into."
)


def tactics_of(case: CaseFile) -> tuple[str, ...]:
    """The incident's tactics, or its alerts' where it names none itself, once each."""
    named = case.incident.tactics or [name for alert in case.alerts for name in alert.tactics]
    names = (unmarked(name, 60) for name in named)
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_TACTICS]


async def model_tactics(desk: Desk, material: Material) -> tuple[str, Usage]:
    """The model's description of each tactic as Markdown, and its cost.

    A tactic that the model leaves out gets the playbook's text; one that nobody asked about is
    dropped. Raises ModelError, AnswerMalformed where the model describes none of them.
    """
    names = tactics_of(material.case)
    listed = "\n".join(f"- {name}" for name in names)
    prompt = desk.prompts["tactics"].render(tactics=listed)
    answer = await structured(desk, material, prompt, "tactics", SCHEMA)
    said: dict[str, str] = {}
    for each in entries(answer, "tactics"):
        if text := str(each.get("description") or "").strip()[:MAX_CHARS]:
            said.setdefault(_key(desk, str(each.get("name") or "")), text)
    if not any(_key(desk, name) in said for name in names):
        raise AnswerMalformed("The model described none of the tactics.")
    return _as_markdown(desk, names, said), answer.usage


def prepared_tactics(desk: Desk, case: CaseFile) -> str:
    """The playbook's text on each tactic, for when the model has none."""
    return _as_markdown(desk, tactics_of(case), {})


@accounted("tactics")
@alone
async def explain_tactics(desk: Desk, said: Said, ref: IncidentRef, courier: Courier) -> Asked:
    """Answer the word `tactics`; with the playbook's texts where the model cannot.

    Raises SentinelError, Stopped, and the ModelErrors that have nothing better than a sentence.
    """
    await courier.working("Working out the tactics…")
    briefing = await brief(desk, said, ref)
    if not tactics_of(briefing.case):
        text = _NONE.format(number=briefing.case.incident.number)
        audit = audited(desk, briefing, "tactics", "no tactics", None)
        return Asked(text, briefing, audit, by_model=False)
    try:
        text, usage = await model_tactics(desk, briefing)
    except (ModelDown, ModelRefused, PromptFiltered, AnswerMalformed) as error:
        text = prepared_tactics(desk, briefing.case)
        briefing = alarmed(briefing, struck_by(error))
        return Asked(
            text=text,
            briefing=briefing,
            audit=audited(desk, briefing, "tactics", type(error).__name__, None),
            proposal=proposal(desk, briefing, "answer", [_item(briefing, text)], ""),
            note=f"{error.sentence} These texts come from the playbook: no model wrote them.",
            by_model=False,
        )
    briefing = alarmed(briefing, usage.shields)
    return Asked(
        text=text,
        briefing=briefing,
        audit=audited(desk, briefing, "tactics", "answered", usage),
        proposal=proposal(desk, briefing, "answer", [_item(briefing, text)], usage.model),
        turn=turn(desk, briefing, _QUESTION, text, usage.model),
    )


def _item(briefing: Briefing, text: str) -> Item:
    return Item(f"Tactics of incident {briefing.case.incident.number}", text)


def _as_markdown(desk: Desk, names: tuple[str, ...], said: Mapping[str, str]) -> str:
    return "\n\n".join(_described(desk, name, said) for name in names)


def _described(desk: Desk, name: str, said: Mapping[str, str]) -> str:
    tactic = desk.playbook.find(name)
    label = f"**{tactic.title}**" if tactic else f"**{name}**"
    if tactic and tactic.id:
        label += f" ({tactic.id})"
    if text := said.get(_key(desk, name)):
        return f"{label}: {text}"
    # With nothing from the model all of it is the playbook's, and is marked as a whole.
    mark = " (From the playbook.)" if said else ""
    return f"{label}: {tactic.description if tactic else 'the playbook has no text on it.'}{mark}"


def _key(desk: Desk, name: str) -> str:
    """What names the same tactic, however it is spelt: `Initial Access`, `InitialAccess`."""
    tactic = desk.playbook.find(name)
    return tactic.name if tactic else "".join(filter(str.isalnum, name.casefold()))
