"""How values read on a card: times in UTC, counts, lists and Sentinel's run-together words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ..domain.rendering import for_teams, plain, visible

_LONG_WORD = re.compile(r"\S{28,}")


def moment(at: datetime, now: datetime) -> str:
    """Say when something was: `24 Nov 09:02 UTC`, with the year when it is not this one."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%b}{year} {at:%H:%M} UTC"


def time_of_day(at: datetime) -> str:
    """Say at what time something was done: `10:02 UTC`."""
    return f"{at.astimezone(UTC):%H:%M} UTC"


def age(since: datetime, now: datetime) -> str:
    """Say roughly how old something is: `5 min`, `3 h`, `12 d`."""
    minutes = max(0, int((now - since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def period(span: timedelta) -> str:
    """Say how far back a query looked: `the last 7 days`, `the last hour`."""
    minutes = max(1, round(span / timedelta(minutes=1)))
    units = (("day", 1_440), ("hour", 60), ("minute", 1))
    unit, number = next((unit, minutes // size) for unit, size in units if minutes % size == 0)
    return f"the last {unit}" if number == 1 else f"the last {number} {unit}s"


def spaced(word: str) -> str:
    """Write `CommandAndControl` as `Command and Control`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).replace(" And ", " and ")


def counted(number: int, one: str, many: str = "") -> str:
    """Write `1 alert` or `3 alerts`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _ends(found: re.Match[str]) -> str:
    return f"{found[0][:14]}…{found[0][-8:]}"


def listed(values: Sequence[str], limit: int, most: int = 6) -> str:
    """Name the first of some untrusted values, `limit` characters each, and count the rest.

    The middle of a long word, such as a hash, is left out: a fact does not wrap inside a word.
    """
    names = ", ".join(plain(_LONG_WORD.sub(_ends, value), limit) for value in values[:most])
    rest = len(values) - most
    return f"{names} and {rest} more" if rest > 0 else names


def excerpt(markdown: str, limit: int) -> str:
    """Show the first `limit` characters of untrusted Markdown, its structure kept.

    A TextBlock runs `{{DATE(...)}}` and `{{TIME(...)}}` (docs: Adaptive Cards text features), which
    a chat message does not, so that is broken here.
    """
    shown = _spelled_out(markdown, limit)
    if len(shown) > limit:
        shown = shown[: limit - 1].rstrip() + "…"
    return for_teams(shown).replace("{{", "{ {")


def is_cut(markdown: str, limit: int) -> bool:
    """Say whether `excerpt` leaves something out."""
    return len(_spelled_out(markdown, limit)) > limit


def _spelled_out(markdown: str, limit: int) -> str:
    """Spell hidden characters out before the cut: one of them becomes up to nine."""
    return visible(markdown.strip()[: limit + 1])
