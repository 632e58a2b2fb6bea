"""Prints the answers that analysts rated, the worst first, for a SOC's evaluation set.

It reads the audit alone: which prompt and which model answered, and what was said of the answer.
The question is there by its hash, for no chat is to be read here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from . import auditing
from .domain.chain import Link
from .ports import AuditItem, Trail

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to print: thumbs down, or `everything`."""

    since: datetime | None = None
    as_json: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Rating:
    """One analyst's last word on one answer; what is not known of the answer is `unknown`."""

    at: datetime
    tenant: str
    good: bool
    comment: str
    analyst: str
    analyst_id: str
    workspace: str
    incident: str
    incident_number: int
    asked: str
    question_sha256: str
    prompt: str
    model: str
    proposal: str
    message: str


@dataclass(frozen=True, slots=True)
class Group:
    """The ratings of what one prompt and one model answered, the bad ones first."""

    prompt: str
    model: str
    ratings: tuple[Rating, ...]

    @property
    def bad(self) -> int:
        """How many thumbs point down."""
        return sum(not each.good for each in self.ratings)


async def report(trail: Trail, wanted: Wanted, out: TextIO, errors: TextIO) -> bool:
    """Print the ratings; where the audit's chain is broken, `errors` says so. Raises StoreError.

    True where the chain holds.
    """
    last: dict[tuple[str, ...], Rating] = {}

    def see(link: Link, item: AuditItem | None) -> None:
        rating = _rating(item) if item and item.action == "feedback" else None
        if rating and not (wanted.since and rating.at < wanted.since):
            # Teams may deliver a thumb twice, and an analyst may turn it: the last one counts.
            last[rating.tenant, rating.analyst_id, rating.message or str(link.seq)] = rating

    holds, verdict = await auditing.follow(trail, None, see)
    groups = _grouped(last.values())
    for group in groups:
        listed = [each for each in group.ratings if wanted.everything or not each.good]
        if wanted.as_json:
            for each in listed:
                print(json.dumps({**asdict(each), "at": each.at.isoformat()}), file=out)
        else:
            print("\n".join([_headed(group), *map(_as_text, listed), ""]), file=out)
    if not groups and not wanted.as_json:
        print("Nobody rated an answer.", file=out)
    if not holds:
        print(verdict, file=errors)
    return holds


def _rating(item: AuditItem) -> Rating | None:
    """Read a rating; None where the client sent no thumb."""
    detail = {name: str(value) for name, value in item.detail.items()}
    thumbs = {"like": True, "dislike": False}
    if detail.get("reaction") not in thumbs:
        return None
    ref = item.incident
    return Rating(
        at=item.at,
        tenant=item.tenant,
        good=thumbs[detail["reaction"]],
        comment=_comment(detail.get("feedback", "")),
        analyst=item.analyst_name,
        analyst_id=item.analyst_id,
        workspace=ref.workspace if ref else "",
        incident=ref.id if ref else "",
        incident_number=item.incident_number,
        asked=detail.get("asked", UNKNOWN),
        question_sha256=detail.get("question_sha256", UNKNOWN),
        prompt=detail.get("prompt", UNKNOWN),
        model=detail.get("model", UNKNOWN),
        proposal=detail.get("proposal", UNKNOWN),
        message=detail.get("message", ""),
    )


def _comment(feedback: str) -> str:
    """What was written: Teams sends `{"feedbackText": "…"}` as a text (docs: feedback buttons)."""
    try:
        given: Any = json.loads(feedback)
    except (ValueError, RecursionError):
        return feedback
    return str(cast(Any, given).get("feedbackText", "")) if isinstance(given, dict) else feedback


def _grouped(ratings: Iterable[Rating]) -> list[Group]:
    """By prompt and model, the most thumbs down first; what has a comment leads the others."""
    found: dict[tuple[str, str], list[Rating]] = {}
    for each in sorted(ratings, key=lambda each: (each.good, not each.comment, each.at)):
        found.setdefault((each.prompt, each.model), []).append(each)
    groups = [Group(*named, tuple(each)) for named, each in found.items()]
    return sorted(groups, key=lambda group: (-group.bad, group.prompt, group.model))


def _headed(group: Group) -> str:
    counts = f"{group.bad} down, {len(group.ratings) - group.bad} up"
    return auditing.printable(f"prompt {group.prompt} · model {group.model}: {counts}")


def _as_text(rating: Rating) -> str:
    """Two lines: when, who and what about; then what was written."""
    head = [
        f"{rating.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "up" if rating.good else "down",
        f"{rating.analyst} ({rating.analyst_id})",
        f"incident {rating.incident_number or rating.incident or UNKNOWN}",
        f"{rating.asked} {rating.question_sha256}",
    ]
    lines = [f"  {auditing.printable(' · '.join(head))}"]
    if rating.comment:
        lines.append(f"      {auditing.printable(rating.comment)}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--since", type=auditing.moment, metavar="TIME", help="UTC: 2026-11-24")
    parser.add_argument("--json", action="store_true", help="one rating a line")
    parser.add_argument("--all", action="store_true", help="the good ones as well")
    parser.add_argument("--file", default="", help="a SQLite store, instead of the settings' own")


def wanted(chosen: argparse.Namespace) -> Wanted:
    """What the arguments ask for."""
    return Wanted(chosen.since, chosen.json, chosen.all)


async def run(trail: Trail, chosen: Wanted) -> int:
    """Print to the terminal; 1 where the audit's chain is broken."""
    return 0 if await report(trail, chosen, sys.stdout, sys.stderr) else 1
