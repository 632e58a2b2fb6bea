"""Writes a KQL query by rule, as the sandbox does in place of a model.

It sees what a model would see and uses nothing else: the question, the tables and the names that
the request lists, and on a repair round what was wrong with the query before.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from bot.domain.query_text import from_answer, literal
from prompts.reading import read_yaml

from .asked import Asked
from .faults import query_fault

Shape = Mapping[str, Any]

_REPAIR = "The query does not work in this workspace:"
_QUESTION = re.compile(r"\A[^\n]*question[^\n]*:\n\n(.+?)(?:\n\n|\Z)", re.DOTALL)
_TABLE = re.compile(r"^(\w+)\((\w+):\w+[^\n]*\)", re.MULTILINE)
_NAMES = re.compile(r"names are already defined.*?:\s*(.+?)(?:\n\n|\Z)", re.DOTALL)
_PROBLEM = re.compile(r"['`\"](\w+)['`\"].*Did you mean ['`\"]?(\w+)")

_COUNT = re.compile(
    r"\b(\d{1,3})\s*(?:(h\b|hours?|stunden?|heures?|horas?)|(d\b|days?|tagen?|jours?|d[ií]as?)"
    r"|(weeks?|wochen?|semaines?|semanas?)|(months?|monaten?|mois|mes(?:es)?\b))",
    re.IGNORECASE,
)
_SPANS = (
    (r"\b(?:yesterday|today|gestern|heute|d'hier|aujourd'hui|ayer|hoy)\b", "1d"),
    (r"\b(?:week|woche|semaine|semana)\b", "7d"),
    (r"\b(?:month|monat|mois|(?:este|último) mes)\b", "30d"),
)
_MOST_DAYS, _USUAL = 90, "7d"

_THE = (
    r"\b(?:th(?:is|at|ese|ose|e)|d(?:as|er|em|en|ie|ies\w*)|ce(?:t|tte|s)?|l[ea]s?"
    r"|el|est[aeo]s?|es[aeo]s?)\s+(?:ip\s+)?"
)
_MEANT = {
    "accounts": _THE + r"(?:account|user|mailbox|kont|benutzer|compte|utilisateur|cuenta|usuario)",
    "addresses": _THE + r"(?:address|ips?\b|adress|direcci)",
    "hosts": _THE + r"(?:host|machine|device|server|computer|gerät|rechner|poste|equipo)",
    "hashes": _THE + r"hash",
    "files": _THE + r"(?:file|datei|fichier|archivo)",
    "domains": _THE + r"(?:domain|domäne|dominio)",
    "urls": _THE + r"(?:link|url|enlace|lien)",
}
_LITERALS = {
    "accounts": re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,200}\w"),
    "hosts": re.compile(r"(?<![\w@.-])[a-z]{2,}(?:-[a-z]+)*-\d{2,}(?:\.[\w-]+)*\w?", re.IGNORECASE),
    "hashes": re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})\b", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class _Request:
    """What the messages say: `tables` maps each to its first column, which holds the time."""

    question: str
    tables: Mapping[str, str]
    names: frozenset[str]
    before: str  # the assistant's last answer, on a repair round
    problems: str


def read_shapes() -> Sequence[Shape]:
    """Read the queries the sandbox model knows (blocking)."""
    text = Path(__file__).with_name("queries.yaml").read_text(encoding="utf-8")
    return cast(Sequence[Shape], read_yaml(text))


def write_query(asked: Asked, shapes: Sequence[Shape]) -> str:
    """The answer to a request for KQL, as text: a JSON object unless the question wants a fault."""
    request = _read(asked.messages)
    found = _found(request, replace(asked, question=request.question), shapes)
    fault = query_fault(request.question)
    if fault == "foreign workspace":
        tables = "|".join(request.tables)
        found["query"] = re.sub(rf"\b({tables})\b", r'workspace("x").\1', found["query"], count=1)
    elif fault == "hopeless" or (fault == "misspelt column" and not request.problems):
        found["query"] = _misspelt(found["query"])
    elif request.problems and (mended := _mended(request)):
        found["query"] = mended
    if fault == "fenced":
        return f"{found['explanation']} Here it is:\n\n```kql\n{found['query']}\n```\n"
    return json.dumps(found, ensure_ascii=False)


def _read(messages: Sequence[tuple[str, str]]) -> _Request:
    said = [text for role, text in messages if role == "user"]
    last = said[-1] if said else ""
    prompt = next((text for text in reversed(said) if not text.startswith(_REPAIR)), "")
    question = _QUESTION.search(prompt)
    names = _NAMES.search(prompt)
    return _Request(
        question=question[1] if question else prompt,
        tables={name: time for text in said for name, time in _TABLE.findall(text)},
        names=frozenset(re.findall(r"\w+", names[1])) if names else frozenset(),
        before=next((text for role, text in reversed(messages) if role == "assistant"), ""),
        problems=last if last.startswith(_REPAIR) else "",
    )


def _found(request: _Request, asked: Asked, shapes: Sequence[Shape]) -> dict[str, Any]:
    """The query for a question, with its explanation and what it takes for granted."""
    if not request.tables:
        return {"query": "", "explanation": asked.say("no_tables"), "assumptions": []}
    language, days, meant = asked.language, asked.say("days"), _meant(request)
    shape, form, fits = _choice(request, meant, shapes)
    named = _span(request.question)
    span = named or shape.get("span", _USUAL)
    conditions = _conditions(form.get("by", {}), meant, request.names)
    where = f"| where {' and '.join(conditions)}\n" if conditions else ""
    query = re.sub(r"^ *\{filter\}\n", lambda _: where, form["query"], flags=re.MULTILINE)
    length = "24 h" if span == "1d" else f"{span[:-1]} {'h' if span[-1] == 'h' else days}"
    assumptions = [
        *([] if fits else [asked.say("no_shape")]),
        *([] if named else [asked.say("span_assumed", span=length)]),
        *([asked.say("unfiltered")] if form.get("by") and not where else []),
        *([shape["assumes"][language]] if "assumes" in shape else []),
    ]
    explanation = asked.say("query", what=shape["what"][language], span=length)
    query = query.replace("{span}", span).strip()
    return {"query": query, "explanation": explanation, "assumptions": assumptions}


def _choice(
    request: _Request, meant: Mapping[str, str], shapes: Sequence[Shape]
) -> tuple[Shape, Mapping[str, Any], bool]:
    """The shape and its query that answer a question best, and whether the question asks for it."""
    words = request.question
    for values in _literals(words).values():
        for value in values:
            words = words.replace(value, " ")  # srv-file-02 asks for no file
    for shape in shapes:
        if not re.search(shape["asks"], words, re.IGNORECASE):
            continue
        forms = [form for form in shape["queries"] if request.tables.keys() >= {*form["tables"]}]
        spoken = [form for form in forms if form.get("by", {}).keys() & meant.keys()]
        known = [form for form in forms if form.get("by", {}).keys() & request.names]
        if forms:
            return shape, (spoken or known or forms)[0], bool(shape["asks"])
    table, time = next(iter(request.tables.items()))
    query = f"{table}\n| where {time} > ago({{span}})\n| top 50 by {time} desc"
    return shapes[-1], {"query": query}, False


def _meant(request: _Request) -> dict[str, str]:
    """What a question speaks of, by kind: literals for what it names, else the array's name."""
    meant = {
        name: name
        for name, words in _MEANT.items()
        if name in request.names and re.search(words, request.question, re.IGNORECASE)
    }
    for name, values in _literals(request.question).items():
        meant[name] = ", ".join(map(literal, dict.fromkeys(values)))
    return meant


def _literals(question: str) -> dict[str, list[str]]:
    found = {name: pattern.findall(question) for name, pattern in _LITERALS.items()}
    words = re.findall(r"[0-9a-fA-F:.]*[0-9a-fA-F:]", question)
    found["addresses"] = [word for word in words if _is_address(word)]
    return {name: values for name, values in found.items() if values}


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return word != "::"


def _conditions(
    by: Mapping[str, str], meant: Mapping[str, str], names: frozenset[str]
) -> list[str]:
    """How a query is filtered: by all that the question speaks of, else by the best known."""
    wanted = {name: meant[name] for name in by if name in meant}
    if not wanted:
        wanted = {name: name for name in [each for each in by if each in names][:1]}
    found = [by[name].replace("{}", value) for name, value in wanted.items()]
    return [f"({each})" if " or " in each and len(found) > 1 else each for each in found]


def _span(question: str) -> str:
    """How far a question looks back, as KQL writes it; empty where it names no time."""
    if counted := _COUNT.search(question):
        number = max(int(counted[1]), 1)
        if counted[2] and number % 24:
            return f"{number}h"
        days = number // 24 if counted[2] else number
        days *= 7 if counted[4] else 30 if counted[5] else 1
        return f"{min(days, _MOST_DAYS)}d"
    return next((span for words, span in _SPANS if re.search(words, question, re.IGNORECASE)), "")


def _misspelt(query: str) -> str:
    wrong = query.replace("UserPrincipalName", "UserPrincipleName")
    return wrong if wrong != query else query.replace("TimeGenerated", "TimeGenerate", 1)


def _mended(request: _Request) -> str:
    """The query before with each misspelt name in its place; empty where no name is suggested."""
    query = mended = _query_in(request.before)
    for wrong, right in _PROBLEM.findall(request.problems):
        mended = re.sub(rf"\b{wrong}\b", right, mended)
    return mended if mended != query else ""


def _query_in(answer: str) -> str:
    try:
        return str(json.loads(answer)["query"])
    except (ValueError, KeyError, TypeError):
        return from_answer(answer)
