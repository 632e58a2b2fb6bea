"""The bench's arithmetic, and its figures as tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .load import Run

TURNS_HEAD = (
    "bot", "chat", "model", "at once", "turns", "turns/s", "CPU ms/turn",
    "p50 ms", "p95 ms", "p99 ms", "services' CPU ms/turn",
)  # fmt: skip
WAITS_HEAD = (
    "bot", "at once", "first token to first text, ms", "beyond the pace",
    "last token to final message, ms", "beyond the pace",
)  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column holds words and whose others are set to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def turns_row(bot: str, run: Run) -> list[str]:
    """One row under `TURNS_HEAD`."""
    asked = run.analysts
    turns = len(run.latencies)
    spread = [f"{1000 * percentile(run.latencies, share):.0f}" for share in (0.5, 0.95, 0.99)]
    model = f"{1000 * asked.first:.0f} + {1000 * asked.pause:.0f} ms" if asked.pause else "at once"
    chat = "personal" if asked.kind == "personal" else "group"
    rate, cpu = f"{turns / run.elapsed:.1f}", f"{1000 * run.cpu / turns:.2f}"
    beside = f"{1000 * run.beside / turns:.2f}"
    return [bot, chat, model, str(asked.at_once), str(turns), rate, cpu, *spread, beside]


def waits_row(bot: str, run: Run) -> list[str]:
    """One row under `WAITS_HEAD`: median and 95 of 100."""
    whole = [each for each in run.answers if each.final]
    first = [each.first_text - each.first_token for each in whole]
    last = [each.final - each.last_token for each in whole]
    return [
        bot,
        str(run.analysts.at_once),
        _pair(first),
        _pair([beyond(each.first_text, each.first_token, each.first_due) for each in whole]),
        _pair(last),
        _pair([beyond(each.final, each.last_token, each.final_due) for each in whole]),
    ]


def beyond(arrived: float, token: float, due: float) -> float:
    """The part of a wait after both: the token was there, and Teams' pace let it through."""
    return arrived - max(token, due)


def ends(spent: Sequence[float], turns: int) -> tuple[float, float]:
    """Of a total as it stood after each turn, the share of the first turns and of the last."""
    return spent[turns - 1], spent[-1] - spent[-turns - 1]


def _pair(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return ", ".join(f"{1000 * percentile(values, share):.0f}" for share in (0.5, 0.95))
