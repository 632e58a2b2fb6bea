"""Write docs/playbook.md: the playbook's run on each of the sandbox's incidents.

    python -m docs.playbook

The production adapters work against the sandbox's services in this process, as with
`ENRICH=post`; what is shown is what the sandbox's Sentinel holds afterwards. The clock
stands still, so that a run differs from the last one only where Casemate does.
"""

from __future__ import annotations

import asyncio
import html
import re
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.desk.desk import Desk
from bot.desk.enrich import Enrichment, enrich, post
from bot.domain.proposal import write_id
from bot.opening import opened
from bot.settings import Settings
from sandbox.logs.workspace import load_logs
from sandbox.run import add_services, model_address, workspace
from sandbox.world import Case, World, load

OUT = Path(__file__).with_suffix(".md")
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HEAD = """\
# The playbook's run on the sandbox's incidents

Made by `python -m docs.playbook`; do not edit. Casemate grew out of one playbook: when an incident
is created, explain each of its ATT&CK tactics (a comment), propose investigation tasks in under
2,000 characters (tasks), and write the KQL that carries them out (a task "KQL to run"). This is
that playbook with `ENRICH=post` on every incident of the sandbox: **what Sentinel holds
afterwards**, its HTML written as Markdown. The sandbox's model answers by rule, so its words are
plain; the schema, the query checker and everything that is written are the real thing. A number
such as [2] is the evidence that a statement rests on; a line that begins with > is not written, it
says why a part is missing or not the model's.

With `ENRICH=suggest` the same parts stand on the incident's card, each with its button;
`TASKS_ALSO_AS_COMMENT=true` adds the tasks once more as one comment, for the Defender portal, which
shows no tasks.
"""


class StillClock:
    """A clock that shows one time; only the measuring of spans goes on."""

    def now(self) -> datetime:
        """The time of the sandbox's incidents."""
        return NOW

    def monotonic(self) -> float:
        """Seconds, for deadlines."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait, as any clock does."""
        await asyncio.sleep(seconds)


async def main() -> None:
    """Run the playbook on every incident, and write down what came of it."""
    world = load(NOW, None, lambda: NOW)
    async with AsyncExitStack() as parts:
        folder = parts.enter_context(tempfile.TemporaryDirectory())
        desk = await opened_desk(world, await served(world, parts), folder, parts)
        pages = [HEAD]
        for case in sorted(world.cases.values(), key=lambda each: -each.number):
            prepared = await enrich(desk, desk.ref(case.name))
            refused = await post(desk, prepared)
            pages.append(page(case, prepared, refused))
    OUT.write_text("\n".join(pages), encoding="utf-8")
    print(f"{OUT.name}: {len(pages) - 1} incidents")


async def served(world: World, parts: AsyncExitStack) -> str:
    """Serve the sandbox's services on a free port; the address comes back."""
    app = web.Application()
    add_services(app, world, load_logs(NOW, world), pace=0)
    runner = web.AppRunner(app)
    await runner.setup()
    parts.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return "http://{}:{}".format(*runner.addresses[0][:2])


async def opened_desk(world: World, url: str, folder: str, parts: AsyncExitStack) -> Desk:
    """Open the desk with its production adapters, and wait for the query checker."""
    world.portal_url = url
    settings = Settings.from_env(
        {
            **workspace(url),
            **model_address(url),
            "AZURE_OPENAI_MODEL": "sandbox",
            "STORE_URL": f"sqlite:///{folder}/casemate.db",
        }
    )
    session = await parts.enter_async_context(aiohttp.ClientSession())
    services = await opened(settings, session, {}, StillClock(), parts)
    for each in services.starting:
        await each.start()
    await services.desk.checker.ping()
    return services.desk


def page(case: Case, prepared: Enrichment, refused: tuple[str, ...]) -> str:
    """One incident's part of the transcript."""
    proposal, facts = prepared.proposal, case.incident["properties"]
    tactics = ", ".join(dict.fromkeys(t for a in case.alerts for t in a["properties"]["tactics"]))
    lines = [
        f"## Incident {case.number}: {facts['title']}",
        f"Severity {facts['severity']}; tactics: {tactics or 'none'}.",
    ]
    origins: list[str] = []
    for index, item in enumerate(proposal.items):
        title, text, origin = written(case, write_id(proposal.id, item.kind, index))
        origins.append(origin)
        if index == proposal.tasks.start:
            lines.append("### Tasks")
        if index in proposal.tasks:
            lines.append(f"{index - proposal.tasks.start + 1}. **{title}** {text}")
        else:
            lines += [f"### Task: {title}" if title else "### Comment", text]
    lines += [f"> {note}" for note in prepared.notes]
    lines += [f"> Not written: {sentence}" for sentence in refused]
    lines += ["Under each of these stands:", *dict.fromkeys(origins)]
    return "\n\n".join(lines) + "\n"


def written(case: Case, guid: str) -> tuple[str, str, str]:
    """What Sentinel holds under a GUID: a task's title, the text, and the line that ends it."""
    held = case.comments.get(guid) or case.tasks[guid]
    facts: dict[str, Any] = held["properties"]
    text, _, origin = markdown(facts.get("message") or facts["description"]).rpartition("\n\n")
    return facts.get("title", ""), text, origin


def markdown(written: str) -> str:
    """Write Casemate's small HTML as Markdown, one block a line."""
    text = re.sub(r"<pre><code[^>]*>", "\n\n```kql\n", written)
    text = text.replace("</code></pre>", "```\n\n")
    text = re.sub(r"</?(?:strong|b)>", "**", text)
    text = re.sub(r"</?em>", "*", text)
    text = re.sub(r"<h4>(.*?)</h4>", r"\n\n**\1**\n\n", text)
    text = re.sub(r"</?(?:p|ul|ol|li|br)\s*/?>", "\n\n", text)
    return re.sub(r"\n{3,}", "\n\n", html.unescape(text)).strip()


if __name__ == "__main__":
    asyncio.run(main())
