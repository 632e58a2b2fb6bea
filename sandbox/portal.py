"""The sandbox's incident pages: what "Open in Sentinel" opens, kept up to date while it is open.

Everything shown was written by somebody else, so text is escaped, the HTML of comments and tasks
is cleaned to what the real portal shows, and the content security policy allows no more than
this module's own style and script.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import nh3
from aiohttp import web

from .odata import moment
from .world import Case, JsonObject, World

_TAGS = {
    *("a", "b", "br", "code", "em", "h3", "h4", "li", "ol", "p", "pre", "strong", "ul"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Under "no-referrer" a browser would not say which page a form's POST comes from.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def routes(world: World) -> list[web.RouteDef]:
    """Give the pages' routes; links are relative, so they may hang under any prefix.

    Reads the style and the script, so call it before the loop serves or in a thread.
    """
    style = Path(__file__).with_name("portal.css").read_text("utf-8")
    script = Path(__file__).with_name("portal.js").read_text("utf-8")

    async def index(request: web.Request) -> web.Response:
        return _page(request, "./", "Incidents", _list(world))

    async def incident(request: web.Request) -> web.Response:
        case = world.by_number(int(request.match_info["number"]))
        if case is None:
            missing = "<section>There is no incident with this number.</section>"
            return _page(request, "../", "No such incident", missing, status=404)
        return _page(request, "../", f"Incident {case.number}", _incident(world, case))

    async def css(_: web.Request) -> web.Response:
        return web.Response(text=style, content_type="text/css", headers=_HEADERS)

    async def js(_: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript", headers=_HEADERS)

    return [
        web.get("/", index),
        web.get(r"/incidents/{number:[0-9]{1,9}}", incident),
        web.get("/portal.css", css),
        web.get("/portal.js", js),
    ]


def clean(html: str) -> str:
    """Make a comment or a task safe to show: known tags, links to http(s) only, no styles."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href", "target"}},
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
    )


def _page(
    request: web.Request, root: str, title: str, inner: str, status: int = 200
) -> web.Response:
    if "part" not in request.query:
        inner = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - sandbox Sentinel</title>
<link rel="stylesheet" href="{root}portal.css">
<script src="{root}portal.js" defer></script>
<header><a href="{root}">Sandbox Sentinel</a><span class="where">workspace sandbox, times in
UTC</span><form method="post" action="{root}incidents"><button>New incident</button></form>
<span id="live">live</span></header>
<main>{inner}</main>
"""
    return web.Response(text=inner, content_type="text/html", headers=_HEADERS, status=status)


# --- pieces --------------------------------------------------------------------------------------


def _pill(text: str) -> str:
    return f'<span class="pill {escape(text)}">{escape(text)}</span>'


def _tags(items: Iterable[str], kind: str = "") -> str:
    return "".join(f'<span class="tag {kind}">{escape(item)}</span>' for item in items)


def _time(text: str) -> str:
    found: datetime = moment(text)
    return f'<time datetime="{escape(text)}">{found:%d %b %H:%M}</time>'


def _written(text: str) -> str:
    if nh3.is_html(text):
        return f'<div class="written">{clean(text)}</div>'
    return f'<div class="written plain">{escape(text)}</div>'


def _facts(pairs: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Lay out names with values; the values are HTML."""
    rows = "".join(f"<div><dt>{escape(n)}</dt><dd>{v}</dd></div>" for n, v in pairs if v)
    return f'<dl class="{kind}">{rows}</dl>'


def _section(title: str, items: Iterable[str], empty: str) -> str:
    parts = list(items)
    count = f'<span class="count">{len(parts)}</span>'
    inner = "".join(parts) or f'<p class="soft">{empty}</p>'
    return f"<section><h2>{title}{count}</h2>{inner}</section>"


# --- pages ---------------------------------------------------------------------------------------


def _list(world: World) -> str:
    shown = [world.show(case)["properties"] for case in world.cases.values()]
    shown.sort(key=lambda properties: properties["createdTimeUtc"], reverse=True)
    rows = "".join(
        f'<tr class="item" id="incident-{p["incidentNumber"]}">'
        f'<td class="number">{p["incidentNumber"]}</td>'
        f"<td>{_pill(p['severity'])}</td><td>{_pill(p['status'])}</td>"
        f'<td class="title"><a href="incidents/{p["incidentNumber"]}">{escape(p["title"])}</a></td>'
        f'<td class="nowrap">{_owner(p)}</td>'
        f'<td class="tactics">{_tags(p["additionalData"]["tactics"])}</td>'
        f'<td class="nowrap soft">{_time(p["createdTimeUtc"])}</td></tr>'
        for p in shown
    )
    names = ("No.", "Severity", "Status", "Title", "Owner", "Tactics", "Created")
    heads = "".join(f"<th>{name}</th>" for name in names)
    return (
        f'<h1>Incidents</h1><section><table class="list"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _incident(world: World, case: Case) -> str:
    shown = world.show(case)["properties"]
    extra = shown["additionalData"]
    labels = [label["labelName"] for label in shown["labels"]]
    classification = " - ".join(
        escape(shown[key])
        for key in ("classification", "classificationReason", "classificationComment")
        if key in shown
    )
    facts = _facts(
        (
            ("Owner", _owner(shown)),
            ("Created", _time(shown["createdTimeUtc"])),
            ("Last change", _time(shown["lastModifiedTimeUtc"])),
            ("Labels", _tags(labels)),
            ("Products", escape(", ".join(extra["alertProductNames"]))),
            ("Tactics", _tags(extra["tactics"])),
            ("Techniques", _tags(extra["techniques"], "id")),
            ("Closed as", classification),
        ),
        "facts",
    )
    head = (
        f'<section><span class="number">Incident {case.number}</span> {_pill(shown["severity"])} '
        f"{_pill(shown['status'])}<h1>{escape(shown['title'])}</h1>"
        f"<div>{escape(shown.get('description', ''))}</div>{facts}</section>"
    )
    tasks = sorted(case.tasks.values(), key=_created)
    comments = sorted(case.comments.values(), key=_created, reverse=True)
    return (
        f'{head}<div class="columns"><div>'
        f"{_section('Tasks', map(_task, tasks), 'No tasks yet.')}"
        f"{_section('Comments', map(_comment, comments), 'No comments yet.')}</div><div>"
        f"{_section('Alerts', map(_alert, case.alerts), 'No alerts.')}"
        f"{_section('Entities', map(_entity, case.entities), 'No entities.')}</div></div>"
    )


def _owner(properties: JsonObject) -> str:
    owner = properties["owner"]
    return escape(owner["assignedTo"] or owner["userPrincipalName"] or "Unassigned")


def _created(item: JsonObject) -> str:
    return item["properties"]["createdTimeUtc"]


def _task(task: JsonObject) -> str:
    given = task["properties"]
    by = f"{escape(given['createdBy']['name'])}, {_time(given['createdTimeUtc'])}"
    head = f"<span>{escape(given['title'])}</span>{_pill(given['status'])}"
    return (
        f'<details class="item" id="task-{escape(task["name"])}"><summary>'
        f'<span class="head">{head}</span></summary><div class="soft">{by}</div>'
        f"{_written(given['description'])}</details>"
    )


def _comment(comment: JsonObject) -> str:
    given = comment["properties"]
    return (
        f'<div class="item" id="comment-{escape(comment["name"])}"><div class="head soft">'
        f"<span>{escape(given['author']['name'])}</span>{_time(given['createdTimeUtc'])}</div>"
        f"{_written(given['message'])}</div>"
    )


def _alert(alert: JsonObject) -> str:
    given = alert["properties"]
    details: JsonObject = json.loads(given["additionalData"].get("Custom Details", "{}"))
    techniques: list[str] = json.loads(given["additionalData"].get("MitreTechniques", "[]"))
    facts = "".join(
        f'<span class="tag">{escape(name)}: {escape(", ".join(values))}</span>'
        for name, values in details.items()
    )
    return (
        f'<div class="item" id="alert-{escape(alert["name"])}"><div class="head">'
        f"<strong>{escape(given['alertDisplayName'])}</strong>{_pill(given['severity'])}</div>"
        f'<div class="soft">{escape(given["productName"])}, {_time(given["startTimeUtc"])}</div>'
        f"<p>{escape(given['description'])}</p>"
        f"{_tags(given['tactics'])}{_tags(techniques, 'id')}{facts}</div>"
    )


def _entity(entity: JsonObject) -> str:
    given = entity["properties"]
    facts = _facts((name, _value(value)) for name, value in given.items() if name != "friendlyName")
    return (
        f'<details class="item entity" id="entity-{escape(entity["name"])}"><summary>'
        f'<span class="head"><span>{escape(given["friendlyName"])}</span>'
        f'<span class="soft">{escape(entity["kind"])}</span></span></summary>{facts}</details>'
    )


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return escape(text.rpartition("/Entities/")[2] if "/Entities/" in text else text)
