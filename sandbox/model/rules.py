"""The rules by which the sandbox model answers: each a function from what was asked to Markdown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from .asked import Asked
from .exhibits import Exhibit, cites, powerful

_INDICATORS = ("ip", "url", "dns", "dnsresolution", "file", "filehash", "mailmessage", "process")
_INTERNAL = tuple(
    ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)
_SUCCESS = re.compile(r"\bsucce|\bsigned in\b|was (?:created|added|changed|granted)", re.IGNORECASE)
_FAILURE = re.compile(r"\bfail|\bblocked\b|\bdenied\b|\bprevented\b", re.IGNORECASE)
_ORDINARY = re.compile(
    r"\bplanned\b|scanner|penetration test|pentest|maintenance|approved change|known tool",
    re.IGNORECASE,
)


def timeline(asked: Asked) -> str:
    """What happened, by the alerts' times."""
    if not asked.evidence.of("alert"):
        return asked.say("no_alerts")
    incident = asked.evidence.incident
    parts = [asked.say("timeline"), _events(asked, asked.evidence.in_time)]
    if incident.text("first_activity"):
        first, last = _minute(incident, "first_activity"), _minute(incident, "last_activity")
        parts.append(asked.say("activity", first=first, last=last or "?", cite=incident.cite))
    return "\n\n".join([*parts, asked.say("unknown")])


def accounts(asked: Asked) -> str:
    """Which accounts to reset first."""
    return _ranking(asked, "accounts", ("account", "mailbox"))


def hosts(asked: Asked) -> str:
    """Which hosts to isolate first."""
    return _ranking(asked, "hosts", ("host", "azureresource", "iotdevice"))


def indicators(asked: Asked) -> str:
    """Addresses, files and what else can be searched for or blocked."""
    return _ranking(asked, "indicators", _INDICATORS)


def status(asked: Asked) -> str:
    """Severity, owner and status."""
    incident = asked.evidence.incident
    owner = incident.text("owner") or asked.say("nobody")
    return asked.say("status", **_basics(asked), owner=owner)


def verdict(asked: Asked) -> str:
    """Is it a true positive: what speaks for it, what against, what would settle it."""
    alerts = asked.evidence.of("alert")
    products = {alert.text("product") for alert in alerts} - {""}
    severe = [alert for alert in alerts if alert.weight >= 4]
    success = [alert for alert in alerts if _SUCCESS.search(alert.whole)]
    failed = [alert for alert in alerts if _FAILURE.search(alert.whole)]
    remarks = (*alerts, *asked.evidence.of("comment"))
    ordinary = [each for each in remarks if _ORDINARY.search(each.whole)]
    stages = asked.evidence.tactics
    speaks_for = [
        (len(products) > 1, asked.say("products", count=len(products)), alerts),
        (bool(severe), asked.say("severe"), severe),
        (len(stages) > 1, asked.say("stages", names=", ".join(stages)), alerts),
        (bool(success), asked.say("success"), success),
    ]
    against = [
        (len(alerts) < 2, asked.say("single"), alerts),
        (bool(failed), asked.say("failed"), failed),
        (bool(ordinary), asked.say("ordinary"), ordinary),
    ]
    balance = sum(true for true, *_ in speaks_for) - sum(true for true, *_ in against)
    leaning = "likely" if balance >= 2 else "unlikely" if balance < 0 else "undecided"
    parts = [asked.say(leaning)]
    for label, points in (("speaks_for", speaks_for), ("speaks_against", against)):
        lines = [f"- {text} {cites(sources)}" for true, text, sources in points if true]
        parts.append("\n".join([asked.say(label), *(lines or [f"- {asked.say('none')}"])]))
    tactics = asked.playbook.known(stages) or (asked.playbook.general,)
    parts.append(f"{asked.say('settle')} {tactics[0].first_questions[0]}")
    return "\n\n".join(parts)


def next_steps(asked: Asked) -> str:
    """What to do next: open tasks, then the playbook's."""
    lines = [f"**{task.title}**: {task.description}" for task in asked.tasks[:5]]
    waiting = _open_tasks(asked)
    lines = [f"{title} ({asked.say('open_task')})" for title in waiting] + lines
    return "\n\n".join([asked.say("next"), _numbered(lines)])


def tactics(asked: Asked) -> str:
    """What a tactic means, and where it is seen here."""
    letters = re.sub(r"\W", "", asked.question.casefold())
    named = [
        each.name
        for each in asked.playbook
        if each.name.casefold() in letters or (each.id and each.id.casefold() in letters)
    ]
    parts = [asked.say("tactics")]
    for name in named or asked.evidence.tactics:
        tactic = asked.playbook.find(name)
        seen = [each for each in asked.evidence.of("alert") if name in each.texts("tactics")]
        where = f"\n\n{asked.say('seen_in')} {cites(seen)}." if seen else ""
        if tactic is None:
            parts.append(asked.say("unknown_tactic", name=name) + where)
            continue
        questions = " ".join(tactic.first_questions)
        label = f"**{tactic.title}** ({tactic.id})" if tactic.id else f"**{tactic.title}**"
        parts.append(
            f"{label}: {tactic.description}\n\n{asked.say('ask_first')} {questions}{where}"
        )
    return "\n\n".join(parts) if len(parts) > 1 else asked.say("no_tactics")


def alerts(asked: Asked) -> str:
    """Each alert with what its rule says."""
    found = asked.evidence.in_time
    if not found:
        return asked.say("no_alerts")
    lines: list[str] = []
    for alert in found:
        facts = ", ".join(filter(None, (alert.text("severity"), alert.text("product"))))
        more = "; ".join((*alert.texts("tactics"), *alert.facts("details")))
        said = ". ".join(filter(None, (alert.text("description").rstrip("."), more)))
        lines.append(f"- **{alert.text('name')}** {alert.cite} ({facts}): {said}")
    return "\n\n".join([asked.say("alerts"), "\n".join(lines), *_suspicious(asked)])


def summary(asked: Asked) -> str:
    """The incident for somebody who opens it for the first time, or for a manager."""
    basics = _basics(asked)
    step = asked.tasks[0].title if asked.tasks else asked.say("none")
    if re.search(r"\bmanager|\bexecutive|\bchef|\bdirec", asked.question, re.IGNORECASE):
        counts = {
            "accounts": len(asked.evidence.ranked("account")),
            "hosts": len(asked.evidence.ranked("host")),
        }
        owner = asked.evidence.incident.text("owner") or asked.say("nobody")
        return asked.say("manager", **basics, **counts, owner=owner, step=step)
    parts = [asked.say("summary", **basics)]
    if described := asked.evidence.incident.text("description", 400):
        parts.append(described)
    if asked.evidence.of("alert"):
        parts.append(_events(asked, asked.evidence.in_time[:5]))
    if top := asked.evidence.ranked("account", "host", "mailbox")[:4]:
        affected = ", ".join(f"{each.text('name', 120)} {each.cite}" for each, _ in top)
        parts.append(f"{asked.say('affected')} {affected}.")
    parts.append(f"{asked.say('first_step')} {step}.")
    return "\n\n".join([*parts, *_suspicious(asked), asked.say("unknown")])


def handover(asked: Asked) -> str:
    """What the next shift has to know."""
    completed = [
        f"{task.text('title', 150)} {task.cite}"
        for task in asked.evidence.of("task")
        if task.text("status") == "Completed"
    ]
    remarks = [
        f"{each.text('author') or '?'}: {each.text('text')} {each.cite}"
        for each in asked.evidence.of("comment")[:3]
    ]
    parts = [asked.say("handover", **_basics(asked)), status(asked)]
    if asked.evidence.of("alert"):
        parts.append(_events(asked, asked.evidence.in_time[:5]))
    for label, lines in (
        ("done", completed),
        ("still_open", _open_tasks(asked)),
        ("comments", remarks),
    ):
        body = [f"- {line}" for line in lines] or [f"- {asked.say('none')}"]
        parts.append("\n".join([asked.say(label), *body]))
    step = asked.tasks[0].title if asked.tasks else asked.say("none")
    parts.append(f"{asked.say('first_step')} {step}.")
    return "\n\n".join([*parts, *_suspicious(asked), asked.say("unknown")])


def fallback(asked: Asked) -> str:
    """Says that there is no rule, and lists what evidence there is."""
    lines = [
        f"- {each.text('kind')}: {_label(each)} {each.cite}"
        for each in asked.evidence.exhibits
        if each.number
    ]
    more = [f"- {each.text('text')}" for each in asked.evidence.of("more")]
    shown = [*lines[:20], *([f"- ... ({len(lines) - 20})"] if len(lines) > 20 else []), *more]
    return "\n\n".join(
        [asked.say("fallback"), "\n".join(shown), asked.say("ask_logs"), asked.say("try")]
    )


# --- shared pieces -------------------------------------------------------------------------------


def _ranking(asked: Asked, what: str, kinds: tuple[str, ...]) -> str:
    ranked = asked.evidence.ranked(*kinds)
    if not ranked:
        return asked.say(f"no_{what}")
    before = asked.earlier[-1][1] if asked.earlier else ""
    lines: list[str] = []
    for entity, alerts in ranked[:10]:
        name = entity.text("name", 120)
        notes = [asked.say("unnamed")]
        if alerts:
            notes = [asked.say("named", count=len(alerts), cite=cites(alerts))]
        if what == "accounts" and powerful(entity):
            notes.append(asked.say("powerful"))
        if _internal(name):
            notes.append(asked.say("internal"))
        if name and name in before:
            notes.append(asked.say("mentioned"))
        facts = (fact for fact in entity.facts("facts") if _tells_more(fact, name))
        notes += list(facts)[:3]
        lines.append(f"**{name}** {entity.cite}: {'; '.join(notes)}")
    return "\n\n".join([asked.say(what), _numbered(lines), asked.say(f"{what}_do")])


def _events(asked: Asked, alerts: Iterable[Exhibit]) -> str:
    named = [(entity, asked.evidence.naming(entity)) for entity in asked.evidence.entities]
    lines: list[str] = []
    for alert in alerts:
        who = ", ".join(
            f"{entity.text('name', 120)} {entity.cite}"
            for entity, sources in named
            if alert in sources
        )
        time = _minute(alert, "started") or asked.say("no_time")
        facts = ", ".join(filter(None, (alert.text("severity"), alert.text("product"), who)))
        lines.append(f"- **{time}** {alert.text('name')} {alert.cite} ({facts})")
    return "\n".join(lines)


def _suspicious(asked: Asked) -> list[str]:
    found = asked.evidence.addressed_to_assistant
    return [asked.say("suspicious", cite=cites(found))] if found else []


def _open_tasks(asked: Asked) -> list[str]:
    return [
        f"{task.text('title', 150)} {task.cite}"
        for task in asked.evidence.of("task")
        if task.text("status") != "Completed"
    ]


def _basics(asked: Asked) -> dict[str, object]:
    incident = asked.evidence.incident
    return {
        "number": incident.text("number") or "?",
        "title": incident.text("title") or "?",
        "severity": incident.text("severity") or "?",
        "status": incident.text("status") or "?",
        "cite": incident.cite,
        "alerts": len(asked.evidence.of("alert")),
        "entities": len(asked.evidence.of("entity")),
    }


def _label(exhibit: Exhibit) -> str:
    return next(filter(None, (exhibit.text(name, 120) for name in ("title", "name", "text"))), "?")


def _minute(exhibit: Exhibit, field: str) -> str:
    moment = exhibit.text(field)
    return f"{moment[:10]} {moment[11:16]} UTC" if len(moment) >= 16 else moment


def _tells_more(fact: str, name: str) -> bool:
    value = fact.split(": ", 1)[1]
    return value not in name and not _ID.fullmatch(value)


def _internal(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return any(address in net for net in _INTERNAL if net.version == address.version)


def _numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{rank}. {line}" for rank, line in enumerate(lines, 1))
