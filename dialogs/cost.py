"""`cost`: what the model's answers on an incident cost, yours and everybody's."""

from __future__ import annotations

from bot.desk.desk import Desk
from bot.domain.incident import Mention
from bot.domain.price import Prices, Used
from bot.ports import Answered, Courier, Reply, Said

from .focus import focused

MAX_AUDIT = 2_000


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Add up the tokens in the audit, with their price where the prices are known."""
    desk, ref = await focused(desk, said, mention)
    called = (await desk.incidents.get(ref.id)).called
    items = await desk.store.audit(ref, MAX_AUDIT)
    own, all_of_them = Used(), Used()
    for item in items:
        if item.tenant == said.analyst.tenant and item.detail.get("prompt_tokens"):
            all_of_them = all_of_them.plus(item.detail)
            if item.analyst_id == said.analyst.id:
                own = own.plus(item.detail)
    newest = f" (the newest {MAX_AUDIT:,} records)" if len(items) == MAX_AUDIT else ""
    lines = [
        f"What the model's answers on incident {called} have cost so far{newest}:",
        f"- **You**: {_told(own, desk.prices)}",
        f"- **Everyone**: {_told(all_of_them, desk.prices)}",
    ]
    return Answered(Reply("\n".join([lines[0], "", *lines[1:]])))


def _told(used: Used, prices: Prices | None) -> str:
    answers = "1 answer" if used.answers == 1 else f"{used.answers:,} answers"
    cached = f" ({used.cached:,} of them from the cache)" if used.cached else ""
    dollars = f"; about {used.cost(prices):.4f} US dollars" if prices else ""
    return f"{answers}, {used.prompt:,} tokens read{cached}, {used.completion:,} written{dollars}."
