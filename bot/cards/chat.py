"""Shows what an analyst can say, and what was said before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.incident import Incident
from ..domain.rendering import plain
from ..domain.transcript import Turn
from ._format import excerpt, moment
from ._parts import Card, action_set, card, facts, fitted, open_link, say, subtle, text, title

MAX_TURNS = 8

_WORDS = (
    ("incidents", "the open incidents; also: mine, new, high"),
    ("incident N", "take up incident N"),
    ("summary", "what happened, in short"),
    ("tasks, tactics", "what to look into; what the tactics mean here"),
    ("kql QUESTION", "a query that works in this workspace"),
    ("assign, close", "make it yours; close it, with a classification"),
    ("severity X", "rate it High, Medium, Low or Informational"),
    ("handover", "what the next shift needs, for you alone"),
    ("subscribe X", "new incidents of severity X and above, here"),
    ("history, cost", "what you asked about it; the tokens it took"),
    ("reset", "forget this incident's chat"),
    ("forget me", "delete all I keep about your chats"),
)
_IN_A_ROW = 3
# In rows: four side by side do not fit on a phone.
_BUTTONS = (
    (("Incidents", "incidents"), ("Summary", "summary"), ("Tasks", "tasks")),
    (("Write a query", "kql"), ("History", "history")),
)


def help_card(workspaces: Sequence[str] = ()) -> Card:
    """Show the words that do something; the buttons say them.

    `workspaces` names those to choose from, where there are several.
    """
    placed = [("… in NAME", f"which workspace: {', '.join(workspaces)}")] if workspaces else []
    body = [
        title("Ask me about a Sentinel incident"),
        text(
            "Name one, as in “What is known about the account in incident 42?”, "
            "and ask on. Nothing is written to Sentinel until you click."
        ),
        facts([*_WORDS, *placed]),
        *(action_set([say(label, word) for label, word in row]) for row in _BUTTONS),
    ]
    return card(body)


def link_card(label: str, url: str) -> Card:
    """Show one button that opens an address of ours."""
    return card([], open_link(label, url))


def choice_card(choices: Sequence[tuple[str, str]]) -> Card:
    """Show what there is to choose from: what each button is called, and what it says."""
    rows = [choices[start : start + _IN_A_ROW] for start in range(0, len(choices), _IN_A_ROW)]
    return card([action_set([say(label, words) for label, words in row]) for row in rows])


def history_card(turns: Sequence[Turn], incident: Incident, now: datetime) -> Card:
    """Show what an analyst asked about an incident, `turns` and card oldest first."""
    shown = turns[-MAX_TURNS:]

    def build(share: int) -> Card:
        body = [
            title(f"Your questions about incident {incident.called}"),
            subtle(plain(incident.title, min(150, share)), spacing="none"),
        ]
        if not turns:
            body.append(text("You have not asked anything about it yet."))
        if len(turns) > len(shown):
            body.append(subtle(f"and {len(turns) - len(shown)} earlier"))
        for turn in shown:
            body += [
                subtle(moment(turn.asked, now), separator=True, spacing="medium"),
                text(plain(turn.question, min(200, share)), weight="bolder", spacing="none"),
                text(excerpt(turn.answer, min(300, share)), spacing="small"),
            ]
        return card(body)

    return fitted(build)
