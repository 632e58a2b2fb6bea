"""What a folder says: its YAML files, read so that no slip in them goes unnoticed.

PYTEST_DONT_REWRITE: the messages are for people who do not read Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from prompts.reading import read_yaml
from sandbox.cases import from_yaml
from sandbox.world import World

ACTIONS = ("say", "click", "repeat", "wait", "teams", "sentinel")
ALLOWED = {
    "conversation": ("title", "why", "chat", "analysts", "steps"),
    "step": (*ACTIONS, "by", "times", "sent", "asked", "written", "write_requests"),
    "sent": ("messages", "text", "not_text", "card", "not_card", "buttons", "by_model"),
    "asked": ("roles", "question", "history", "not_history", "evidence", "not_evidence",
              "nowhere", "schema", "members"),
    "written": ("task", "comment", "not"),
    "teams": ("status", "headers", "times", "containing", "method"),
    "sentinel": ("status", "headers", "count", "method", "path", "after"),
    "incident": ("number", "provider", "provider_id", "title", "description", "severity", "status",
                 "created", "modified", "owner", "labels", "classification",
                 "classificationReason", "classificationComment",
                 "alerts", "bookmarks", "entities", "comments", "tasks"),
    "alerts": ("name", "description", "severity", "product", "at", "until", "tactics", "techniques",
               "details"),
    "bookmarks": ("name", "at", "by", "notes", "query", "result"),
    "entities": ("ref", "kind", "name", "properties"),
    "comments": ("at", "author", "message"),
    "tasks": ("at", "by", "title", "description", "status"),
}  # fmt: skip


def parsed(path: Path) -> Any:
    assert path.exists(), f"{path.name} is missing"
    try:
        return read_yaml(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise AssertionError(f"{path.name} is no YAML: {error}") from error


def checked(mapping: Any, what: str) -> dict[str, Any]:
    """Refuse keys that nobody reads: a misspelt expectation would pass for ever."""
    assert isinstance(mapping, dict), f"{what}: names and values are wanted, not {mapping!r}"
    for key in mapping:
        allowed = ", ".join(ALLOWED[what])
        assert key in ALLOWED[what], f"{what}: there is no {key!r}; what there is: {allowed}"
    return mapping


def add_incident(world: World, data: dict[str, Any]) -> None:
    """Put the folder's own incident into the workspace; a number alone is one of the sandbox's."""
    if set(data) == {"number"}:
        assert world.by_number(data["number"]), f"the sandbox has no incident {data['number']}"
        return
    for part in ("alerts", "bookmarks", "entities", "comments", "tasks"):
        for item in data.get(part) or ():
            checked(item, part)
    try:
        case = from_yaml(data, world.now(), world.etag)
    except KeyError as missing:
        raise AssertionError(f"incident.yaml: {missing} is missing") from missing
    world.cases[case.name] = case
