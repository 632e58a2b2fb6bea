"""Offers what Casemate proposes, and shows what an analyst has put on the incident."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.proposal import Item, Proposal, Write, WriteKind, written
from ..domain.rendering import addresses, plain
from ._copy import copyable
from ._format import excerpt, is_cut
from ._offer import add, added, origin
from ._parts import (
    Card,
    action_rows,
    action_set,
    card,
    execute,
    fitted,
    notices,
    submit,
    subtle,
    text,
    title,
)

MAX_TASKS = 12
_KINDS: tuple[WriteKind, ...] = ("task", "comment")


def answer_card(
    proposal: Proposal,
    writes: Sequence[Write],
    warnings: Sequence[str] = (),
    note: str = "",
    *,
    record: Sequence[str] = (),
    shared: bool | None = None,
) -> Card:
    """Offer an answer as a task and as a comment, and a query for its question.

    What was added says by whom instead. `note` tells of an answer that is not a model's. `record`
    is what was asked and done before. `shared` says whether the next shift may see the answer,
    None where that is no question.
    """
    found = addresses(" ".join(item.text for item in proposal.items[:1]))

    def build(share: int) -> Card:
        body = notices(warnings, note, share)
        if record:
            body.append(text("Where it stands", weight="bolder"))
            body += [text(plain(line, min(400, share)), spacing="small") for line in record]
        buttons: list[Card] = []
        for kind in _KINDS:
            if write := written(writes, kind, 0):
                body.append(added(write, share, f"as {kind} "))
            else:
                buttons.append(add(f"Add as {kind}", proposal.id, kind, 0))
        buttons.append(submit("Write a query", {"verb": "kql", "proposal": proposal.id}))
        if shared:
            body.append(text("✓ Shared with the next shift", color="good", spacing="small"))
        if shared is not None:
            label = "Stop sharing" if shared else "Share with the next shift"
            wanted = {"verb": "share", "proposal": proposal.id, "shared": not shared}
            buttons.append(execute(label, wanted))
        buttons += copyable([each[:share] for each in found])
        body.append(origin(proposal, share))
        return card([*body, *action_rows(buttons)])

    return fitted(build)


def tasks_card(proposal: Proposal, writes: Sequence[Write], warnings: Sequence[str] = ()) -> Card:
    """Offer up to `MAX_TASKS` tasks, one by one, all at once, or all as one comment."""
    items = proposal.items[:MAX_TASKS]

    def build(share: int) -> Card:
        body = [
            *notices(warnings, "", share),
            title(f"Proposed tasks for incident {proposal.called}"),
        ]
        for index, item in enumerate(items):
            body.append(_task(proposal, index, item, written(writes, "task", index), share))
        if len(proposal.items) > len(items):
            body.append(text(f"and {len(proposal.items) - len(items)} more", separator=True))
        if any(is_cut(item.text, share) for item in items):
            body.append(subtle("Long tasks are cut here. The incident gets the whole text."))
        as_comment = next((one for one in writes if one.done and one.kind == "comment"), None)
        if as_comment:
            body.append(added(as_comment, share, "as a comment ") | {"separator": True})
        body.append(origin(proposal, share))
        return card(body, _for_all(proposal, writes, as_comment))

    return fitted(build)


def _for_all(proposal: Proposal, writes: Sequence[Write], as_comment: Write | None) -> list[Card]:
    total = len(proposal.items)
    left = sum(written(writes, "task", index) is None for index in range(total))
    buttons: list[Card] = []
    if left:
        label = (
            "Add all"
            if left == total
            else f"Add the other {left}"
            if left > 1
            else "Add the last one"
        )
        buttons.append(add(label, proposal.id, "task", "all"))
    if total and not as_comment:
        buttons.append(add("Also as a comment", proposal.id, "comment", "all"))
    return buttons


def _task(proposal: Proposal, index: int, item: Item, write: Write | None, share: int) -> Card:
    lines = [text(f"{index + 1} · {plain(item.title, min(150, share))}", weight="bolder")]
    if item.text.strip():
        lines.append(text(excerpt(item.text, share), spacing="small"))
    if write:
        lines.append(added(write, share))
    else:
        lines.append(action_set([add("Add task", proposal.id, "task", index)]))
    return {"type": "Container", "items": lines, "separator": True, "spacing": "medium"}
