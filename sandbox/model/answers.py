"""Answers an analyst's question by rule: what the sandbox has in place of a model.

It sees what a model would see, cites what it uses, and treats the evidence as data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from . import rows, rules
from .asked import Asked

TASKS_CHARS = 1_900
_MAX_TASKS = 6

Rule = Callable[[Asked], str]

# The rule whose words stand first in a question answers it; of two at one place the upper one.
RULES: Sequence[tuple[str, Rule]] = (
    (
        r"explain (?:the|these) rows|what do (?:the|these) rows|erkläre? (?:die|diese) zeilen|"
        r"expliquer? (?:les|ces) lignes|explica(?:r|me)? (?:las|estas) filas",
        rows.explain,
    ),
    (r"hand-? ?over|übergabe|passation|traspaso|relevo", rules.handover),
    (r"summar|overview|zusammenfass|überblick|résum|resum", rules.summary),
    (
        r"(?:true|false)[ -]positive|\bbenign|\breal\b|fehlalarm|echter|"
        r"(?:vrai|faux) positif|(?:verdadero|falso) positivo",
        rules.verdict,
    ),
    (
        r"\bowne?[rs]|\bassigned|\bseverity|\bstatus|schweregrad|zuständig|gravité|statut|"
        r"responsable|gravedad|\bestado",
        rules.status,
    ),
    (
        r"\baccount|\bpassword|\busers?\b|\breset\b|\bkont[eo]|benutzer|\bcomptes?\b|utilisateur|"
        r"\bcuenta|usuario",
        rules.accounts,
    ),
    (
        r"\bhosts?\b|\bmachine|\bdevice|\bservers?\b|\bisolat|gerät|rechner|isolier|\bisoler|"
        r"\bequipo|\baislar",
        rules.hosts,
    ),
    (
        r"indi[ck]at|\biocs?\b|\bips?\b|address|\bdomains?\b|\bhash|\bblock\b|\badress|\bdirecci",
        rules.indicators,
    ),
    (
        r"ta[ck]ti[ck]|tactique|táctica|technique|mitre|att&ck|\bta0\d\d\d|"
        r"reconnaissance|lateral ?movement|initial ?access|privilege ?escalation|persistence|"
        r"defen[cs]e ?evasion|credential ?access|command ?and ?control|exfiltration",
        rules.tactics,
    ),
    (
        r"\bnext\b|\btasks?\b|should (?:i|we) do|investigat|nächste|aufgabe|prochaine|étapes?\b|"
        r"tâche|siguiente|próximo|\bpasos?\b|tarea",
        rules.next_steps,
    ),
    (
        r"what happened|timeline|\bwhen\b|chronolog|sequence|passiert|geschehen|ablauf|"
        r"s'est(?:-il)? passé|qué pasó|que paso|ocurri",
        rules.timeline,
    ),
    (r"\balert|\balarm", rules.alerts),
)


def _rule(question: str) -> Rule:
    places = [
        (found.start(), rank, rule)
        for rank, (words, rule) in enumerate(RULES)
        if (found := re.search(words, question, re.IGNORECASE))
    ]
    return min(places)[2] if places else rules.fallback


def answer(asked: Asked) -> str:
    """The Markdown answer to a question, which says that rules gave it."""
    parts = [asked.say("mark")]
    if not asked.evidence.exhibits:
        return "\n\n".join([*parts, asked.say("nothing"), asked.say("try")])
    if asked.earlier:
        previous = " ".join(asked.earlier[-1][0].split("\n\n")[0].split())
        short = previous if len(previous) <= 80 else f"{previous[:80].rstrip()}..."
        parts.append(asked.say("following", question=short))
    parts.append(_rule(asked.question)(asked))
    return "\n\n".join(parts)


def answer_object(asked: Asked, schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object of this JSON schema: tasks or tactics where it has those, else honest blanks."""
    properties = cast(dict[str, Any], schema.get("properties") or {})
    found: dict[str, Any] = {}
    for name, each in properties.items():
        if name == "tasks":
            found[name] = _task_list(asked)
        elif name == "tactics":
            found[name] = _tactic_list(asked)
        else:
            found[name] = _blank(each, asked.say("no_rule"))
    return found


def every_answer(asked: Asked) -> str:
    """All rules one after the other: a long answer."""
    rules = dict.fromkeys(rule for _, rule in RULES if rule is not rows.explain)
    return "\n\n".join([asked.say("mark"), *(rule(asked) for rule in rules)])


def _task_list(asked: Asked) -> list[dict[str, str]]:
    tasks: list[dict[str, str]] = []
    left = TASKS_CHARS
    for task in asked.tasks[:_MAX_TASKS]:
        left -= len(task.title) + len(task.description)
        if left < 0:
            break
        tasks.append({"title": task.title, "description": task.description})
    return tasks


def _tactic_list(asked: Asked) -> list[dict[str, str]]:
    return [{"name": name, "description": _tactic(asked, name)} for name in asked.evidence.tactics]


def _tactic(asked: Asked, name: str) -> str:
    alerts = [each for each in asked.evidence.of("alert") if name in each.texts("tactics")]
    seen = "; ".join(f"{each.text('name')} {each.cite}" for each in alerts)
    parts = [f"{asked.say('seen_in')}: {seen}."] if seen else []
    if tactic := asked.playbook.find(name):
        parts += [tactic.description, f"{asked.say('ask_first')} {tactic.first_questions[0]}"]
    else:
        parts.append(asked.say("unknown_tactic", name=name))
    return " ".join(parts)


def _blank(schema: Mapping[str, Any], text: str) -> Any:
    if values := schema.get("enum"):
        return values[0]
    kind = schema.get("type", "null")
    if isinstance(kind, list):
        kind = cast(list[str], kind)[0]
    if kind == "object":
        properties = cast(dict[str, Any], schema.get("properties") or {})
        return {name: _blank(each, text) for name, each in properties.items()}
    blanks: dict[str, Any] = {"string": text, "array": [], "integer": 0, "number": 0}
    return False if kind == "boolean" else blanks.get(kind)
