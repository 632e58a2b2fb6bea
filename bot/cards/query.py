"""Shows a query with what is known of it, and offers to run it, add it or change it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..domain.proposal import Proposal, Write, written
from ..domain.query import MAX_QUERY_CHARS, WrittenQuery
from ..domain.query_text import unclaimed
from ..domain.rendering import plain, visible
from ._format import counted
from ._offer import add, added, origin
from ._parts import Card, action_rows, card, fitted, notices, open_link, submit, subtle, text, title

MAX_SENTENCES = 6
MAX_CHANGE_CHARS = 500

_NOT_CHECKED = (
    "Not checked: the KQL checker or the workspace's schema is not available. "
    "It may name tables or columns that are not here."
)
_DOES_NOT_FIT = "This query does not fit this workspace:"
_REFUSED = "This query is not run or added:"
_SPELLED_OUT = "Characters that cannot be seen are spelled out here, as in [U+200B]."

# Where a text would begin to be an expression, a link, a mention, or our word for what passed.
_LIVE = re.compile(
    r"(?<=\$)(?=\{)|(?<=\{)(?=\{)|(?<=:)(?=//)|(?<=<)(?=/?at\b)|(?<=\])(?=[(\[])|(?<=!)(?=\[)"
    r"|(?<=checked)(?=\s+against)",
    re.IGNORECASE,
)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def query_card(
    proposal: Proposal,
    writes: Sequence[Write] = (),
    warnings: Sequence[str] = (),
    note: str = "",
    link: str = "",
) -> Card:
    """Offer a query; the words "checked against" are on it if it passed, and only then.

    `link` opens it in the portal. Raises ValueError for a proposal that holds no query.
    """
    query = proposal.query
    if query is None:
        raise ValueError("the proposal holds no query")

    def build(share: int) -> Card:
        body = [*notices(warnings, note, share), title("KQL to run")]
        if query.explanation.strip():
            body.append(text(said(query.explanation, 800, share), spacing="small"))
        body += state(query, share)
        body += _lines("", query.cautions, share, color="warning", size="small")
        places = ["open it in Logs"] * bool(link) + ["add it to the incident"] * (not query.refused)
        body += _code(query.kql, share, " or ".join(places) or "not shown")
        if query.assumptions:
            body += _lines("Assumptions", query.assumptions, share, isSubtle=True, size="small")
        if write := written(writes, "task", 0):
            body.append(added(write, share, "to the incident "))
        if write := written(writes, "comment", 0):
            body.append(added(write, share, "as a comment "))
        body.append(origin(proposal, share))
        return card([*body, *action_rows(_buttons(proposal, query, writes, link))])

    return fitted(build, longest=MAX_QUERY_CHARS)


def _add_to_incident(proposal_id: str, writes: Sequence[Write]) -> list[Card]:
    """Make the button that puts a query on the incident, or then the one that repeats it."""
    if not written(writes, "task", 0):
        return [add("Add to incident", proposal_id, "task", 0)]
    if not written(writes, "comment", 0):
        return [add("Also as a comment", proposal_id, "comment", 0)]
    return []


def said(sentence: str, limit: int, share: int) -> str:
    """Render what a model says of its query, which cannot say that it was checked."""
    return unclaimed(plain(sentence, min(limit, share)))


def state(query: WrittenQuery, share: int) -> list[Card]:
    """Say what is known of a query: that it was checked, or what is wrong with it."""
    if query.refused:
        return _lines(_REFUSED, query.problems, share, color="attention")
    if query.good:
        words = f"✓ checked against {counted(query.tables or 0, 'table')}"
        return [text(words, color="good", weight="bolder", spacing="small")]
    if query.tables is None:
        return _lines(_NOT_CHECKED, query.problems, share, color="warning", weight="default")
    return _lines(_DOES_NOT_FIT, query.problems, share, color="warning")


def _lines(heading: str, sentences: Sequence[str], share: int, **style: object) -> list[Card]:
    """A heading, if any, and the first `MAX_SENTENCES` sentences below it."""
    lines = [f"• {said(sentence, 300, share)}" for sentence in sentences[:MAX_SENTENCES]]
    if len(sentences) > MAX_SENTENCES:
        lines.append(f"and {len(sentences) - MAX_SENTENCES} more")
    blocks = [text(line, spacing="none", **style) for line in lines]
    if heading:
        blocks.insert(0, text(heading, **{"weight": "bolder"} | style))
    if blocks:
        blocks[0]["spacing"] = "small"
    return blocks


def _code(kql: str, share: int, elsewhere: str) -> list[Card]:
    """Show a query as it is, all of it where it fits.

    It is laid over several runs where a client could take a part of it for something live, so that
    what is shown and copied stays a query. Clients drop spaces in front of a line, unless these do
    not break; browsers copy those as ordinary ones, and KQL takes them for the same.
    """
    whole = visible(kql)
    end = len(whole)
    if end > share:
        line_end = whole.rfind("\n", 0, share)
        end = line_end if line_end > share // 2 else share
    shown = _INDENT.sub(lambda found: found[0].expandtabs(4).replace(" ", "\u00a0"), whole[:end])
    runs = [
        {"type": "TextRun", "text": part, "fontType": "monospace", "size": "small"}
        for part in _LIVE.split(shown)
    ]
    block = {"type": "RichTextBlock", "inlines": runs}
    blocks: list[Card] = [{"type": "Container", "style": "emphasis", "items": [block]}]
    if end < len(whole):
        blocks.append(subtle(f"… {len(whole) - end:,} more characters: {elsewhere}."))
    if whole != kql.replace("\r\n", "\n"):
        blocks.append(subtle(_SPELLED_OUT))
    return blocks


def _buttons(
    proposal: Proposal, query: WrittenQuery, writes: Sequence[Write], link: str
) -> list[Card]:
    buttons: list[Card] = []
    if not query.refused:
        buttons.append(submit("Run", {"verb": "run", "proposal": proposal.id}))
        buttons += _add_to_incident(proposal.id, writes)
    return [*buttons, _refine(proposal), *open_link("Open in Logs", link)]


def _refine(proposal: Proposal) -> Card:
    how = {
        "type": "Input.Text",
        "id": "how",
        "label": "What should be different?",
        "maxLength": MAX_CHANGE_CHARS,
        "isMultiline": True,
        "isRequired": True,
        "errorMessage": "Say what should be different.",
    }
    send = submit("Refine", {"verb": "refine", "proposal": proposal.id})
    return {"type": "Action.ShowCard", "title": "Refine", "card": card([how], [send])}
