"""Shows what was prepared for an incident before anybody asked, each part with its button."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.proposal import Item, Proposal, Write, written
from ..domain.query import WrittenQuery
from ..domain.rendering import plain
from ._format import excerpt
from ._offer import add, added, origin
from ._parts import (
    Card,
    action_rows,
    action_set,
    beside,
    submit,
    subtle,
    text,
)
from .query import said, state

# Enough to see what it is about, and to leave room on an incident's card: the incident gets all.
_EXCERPT = 500
# A task's line and button take 1.6 KB: where texts have to be short, there is room for fewer.
_SHOWN_TASKS = ((450, 6), (120, 3), (0, 0))


def playbook_blocks(proposal: Proposal, writes: Sequence[Write], share: int) -> list[Card]:
    """The parts of a playbook, to stand on any card about its incident.

    `share` is the most characters that any one text may have, as `fitted` gives it. What was added
    says by whom in place of its button.
    """
    blocks: list[Card] = []
    if proposal.items and proposal.items[0].kind == "comment":
        blocks.append(_tactics(proposal, proposal.items[0], writes, share))
    if proposal.tasks:
        blocks.append(_tasks(proposal, writes, share))
    if proposal.query is not None:
        blocks.append(_query(proposal, proposal.query, writes, share))
    blocks += [subtle(plain(note, min(300, share))) for note in proposal.message["notes"]]
    left = [i for i, item in enumerate(proposal.items) if not written(writes, item.kind, i)]
    if len(left) > 1:
        label = "Add all" if len(left) == len(proposal.items) else f"Add the other {len(left)}"
        blocks.append(action_set([add(label, proposal.id, "task", "all")]))
    return [*blocks, origin(proposal, share)]


def _tactics(proposal: Proposal, item: Item, writes: Sequence[Write], share: int) -> Card:
    lines = [
        text("Tactics", weight="bolder"),
        text(excerpt(item.text, min(_EXCERPT, share)), spacing="small"),
    ]
    if write := written(writes, "comment", 0):
        lines.append(added(write, share, "as a comment "))
    else:
        lines.append(action_set([add("Add as comment", proposal.id, "comment", 0)]))
    return _section(lines)


def _tasks(proposal: Proposal, writes: Sequence[Write], share: int) -> Card:
    lines = [text("Tasks", weight="bolder")]
    most = next(most for least, most in _SHOWN_TASKS if share >= least)
    for number, index in enumerate(proposal.tasks[:most], 1):
        words = plain(proposal.items[index].title, min(150, share))
        line = text(f"{number} · {words}", spacing="small")
        if write := written(writes, "task", index):
            lines += [line, added(write, share)]
        else:
            button = action_set([add("Add task", proposal.id, "task", index)])
            lines.append(beside([line], [button], stretch_first=True))
    if (left := len(proposal.tasks) - most) > 0:
        lines.append(text(f"and {left} more" if most else f"{left} were prepared"))
    first = proposal.tasks.start
    if write := written(writes, "comment", first):
        lines.append(added(write, share, "as one comment "))
    else:
        # Microsoft's Defender portal shows comments, but no tasks.
        button = add("Tasks also as a comment", proposal.id, "comment", first)
        lines.append(action_set([button]))
    return _section(lines)


def _query(proposal: Proposal, query: WrittenQuery, writes: Sequence[Write], share: int) -> Card:
    index = len(proposal.items) - 1
    lines = [text("KQL to run", weight="bolder")]
    if query.explanation:
        lines.append(text(said(query.explanation, 400, share), spacing="small"))
    lines += state(query, share)
    buttons = [submit("Run", {"verb": "run", "proposal": proposal.id})]
    if write := written(writes, "task", index):
        lines.append(added(write, share, "to the incident "))
    else:
        buttons.append(add("Add query", proposal.id, "task", index))
    return _section([*lines, *action_rows(buttons)])


def _section(lines: list[Card]) -> Card:
    return {"type": "Container", "items": lines, "separator": True, "spacing": "medium"}
