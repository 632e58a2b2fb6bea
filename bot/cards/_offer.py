"""What the cards of proposals share: the button that adds, who added, and where it comes from."""

from __future__ import annotations

from ..domain.proposal import Proposal, Write, WriteKind
from ..domain.rendering import plain
from ._format import counted, time_of_day
from ._parts import Card, execute, subtle, text


def add(label: str, proposal_id: str, kind: WriteKind, item: int | str) -> Card:
    """Make the button that puts an item of a proposal, or `all`, on the incident."""
    return execute(label, {"verb": "add", "proposal": proposal_id, "as": kind, "item": item})


def added(write: Write, share: int, how: str = "") -> Card:
    """Say by whom and when something was put on the incident; `how` ends with a space."""
    name = plain(write.by_name, min(60, share))
    return text(f"✓ Added {how}by {name}, {time_of_day(write.at)}", color="good", spacing="small")


def origin(proposal: Proposal, share: int) -> Card:
    """Say what answered from what, so that an answer can be judged and found again."""
    limit = min(40, share)
    source = proposal.provenance
    parts = [
        f"Incident {proposal.called}",
        plain(source.model, limit),
        f"prompt {plain(source.prompt, min(80, share))}" if source.prompt else "",
        counted(len(source.evidence), "piece of evidence", "pieces of evidence"),
    ]
    return subtle(" · ".join(part for part in parts if part), separator=True)
