"""Reads single values of an environment, and gathers what is wrong with all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from .domain import endpoint


class Values:
    """An environment's values by name and kind; each problem is kept, and a default stands in."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    def _wrong(self, name: str, what: str) -> None:
        self._problems.append(f"{name} {what}")

    def _text(self, name: str) -> str:
        return self._environment.get(name, "").strip()

    def _id(self, name: str) -> str:
        value = self._text(name)
        if not value.isprintable() or " " in value:
            self._wrong(name, "must not hold spaces or control characters")
        return value

    def _guid(self, name: str, needed_as: str = "") -> str:
        value = self._text(name).lower()
        if not value and needed_as:
            self._wrong(name, f"is missing: {needed_as}")
        elif value and not is_guid(value):
            self._wrong(name, "is not a GUID")
        return value

    def _guids(self, name: str) -> frozenset[str]:
        listed = [each.strip().lower() for each in self._text(name).split(",")]
        for each in filter(None, listed):
            if not is_guid(each):
                self._wrong(name, f"holds {each[:60]!r}, which is not a GUID")
        return frozenset(filter(None, listed))

    def _one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._text(name)
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        if value:
            self._wrong(name, f"must be one of: {', '.join(choices)}")
        return choices[0]

    def _yes(self, name: str) -> bool:
        return self._one_of(name, ("false", "true")) == "true"

    def _number(self, name: str, default: int, low: int, high: int) -> int:
        value = self._text(name)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            self._wrong(name, f"must be a whole number from {low} to {high}")
            return default
        return int(value)

    def _url(self, name: str, default: str | None) -> str:
        value = self._text(name) or default
        if value is None:
            self._wrong(name, "is missing")
            return ""
        if problem := endpoint.problem(value):
            self._wrong(name, problem)
        elif "?" in value or "#" in value:
            self._wrong(name, "must end with its path, without ? or #")
        return value.rstrip("/")

    def _folder(self, name: str) -> Path | None:
        value = self._text(name)
        if not value:
            return None
        folder = Path(value)
        try:
            found = folder.is_dir()
        except OSError:  # a name too long, a parent that is closed to us
            found = False
        if not found:
            self._wrong(name, "is not a folder")
        return folder


def is_guid(value: str) -> bool:
    """Say whether this is a GUID as Azure writes it, in either case."""
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def is_sayable(name: str) -> bool:
    """Say whether an analyst can type this name within a sentence."""
    return re.fullmatch(r"(?=.{1,60}$)[^\W_](?:[\w .-]*[^\W_])?", name) is not None
