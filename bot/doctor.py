"""`python app.py doctor`: tries each service with the smallest real call, and says what is wrong.

One line each, with what to do; nothing is written to Sentinel.
"""

from __future__ import annotations

import asyncio
import json
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp

from .azure.credentials import Tokens, arm_scope, tokens_for
from .azure.sentinel_rights import missing_rights
from .clock import SystemClock
from .desk.desk import Desk
from .domain.incident import Workspace
from .domain.transcript import Message
from .errors import CasemateError, SettingsError
from .opening import opened
from .ports import Clock
from .settings import Settings
from .signing import SigningKeys

TEAMS_APP = Path(__file__).parents[1] / "manifest" / "casemate.zip"
_PATIENCE = 40.0  # seconds for one line: a model may think for half a minute
_YES = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"],
    "additionalProperties": False,
}

Check = Callable[[], Awaitable[str]]


class Amiss(Exception):
    """A check found something wrong that no service said itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, and what was seen or is to be done."""

    what: str
    well: bool
    said: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.well else 'WRONG'}  {self.what}: {self.said}"


async def examine(read: Callable[[], Settings]) -> int:
    """Print the findings; 0 where all is well, 1 where something is not."""
    began, wrong = time.monotonic(), 0
    async for finding in findings(read):
        print(finding, flush=True)
        wrong += not finding.well
    verdict = "All is well" if not wrong else f"{wrong} {'is' if wrong == 1 else 'are'} wrong"
    print(f"{verdict} ({time.monotonic() - began:.1f} s).")
    return 1 if wrong else 0


async def findings(read: Callable[[], Settings]) -> AsyncIterator[Finding]:
    """Give the findings one by one; settings and prompts that are wrong are all there is to say."""
    try:
        async for finding in _findings(read):
            yield finding
    except SettingsError as error:
        for problem in error.problems:
            name, _, rest = problem.partition(" ")
            yield Finding(name.rstrip(":"), False, rest)


async def _findings(read: Callable[[], Settings]) -> AsyncIterator[Finding]:
    settings = await asyncio.to_thread(read)
    yield Finding("settings", True, "every name is there and can be read")
    clock = SystemClock()
    async with AsyncExitStack() as parts:
        session = await parts.enter_async_context(aiohttp.ClientSession())
        try:
            tokens = await tokens_for(settings, session, clock, parts)
            desk = (await opened(settings, session, tokens, clock, parts)).desk
        except SettingsError:
            raise
        except CasemateError as error:
            yield Finding("store", False, error.sentence)
            return
        for scope, token in tokens.items():
            yield await _tried(f"identity for {scope.removesuffix('/.default')}", _signed_in(token))
        for what, check in _checks(settings, desk, session, tokens, clock).items():
            yield await _tried(what, check)


def _checks(
    settings: Settings,
    desk: Desk,
    session: aiohttp.ClientSession,
    tokens: Mapping[str, Tokens],
    clock: Clock,
) -> Mapping[str, Check]:
    """What is looked at, in the order in which it is to be mended."""
    arm = tokens.get(arm_scope(settings.arm_endpoint))

    async def issuer() -> str:
        await SigningKeys(session, settings.bot_openid_metadata, clock).find("")
        return "the keys that sign Teams' requests can be read"

    async def rights(workspace: Workspace) -> str:
        lacking = await missing_rights(session, workspace, settings.arm_endpoint, arm, clock)
        if lacking:
            raise Amiss(
                f"the identity may not do {', '.join(lacking)}; assign Microsoft Sentinel "
                "Responder and Log Analytics Reader on the workspace"
            )
        return "may read and change incidents, comment, add tasks and run queries"

    of_workspaces: dict[str, Check] = {}
    for name in desk.workspaces:
        one = desk.at(name)
        of = f" of {name}" if one.workspace.several else ""
        of_workspaces |= {
            f"Sentinel{of}": partial(_sentinel, one),
            f"rights{of}": partial(rights, one.workspace),
            f"logs{of}": partial(_logs, one),
            f"schema{of}": partial(_schema, one),
        }
    return {
        "store": lambda: _store(desk),
        **({} if settings.local_mode else {"Bot Framework": issuer}),
        "model": lambda: _model(desk),
        "model, structured": lambda: _structured(desk),
        **of_workspaces,
        "KQL checker": lambda: _checker(desk),
        "new incidents": lambda: _webhook(settings),
        "Teams app": lambda: asyncio.to_thread(_teams_app, settings, TEAMS_APP),
    }


async def _tried(what: str, check: Check) -> Finding:
    try:
        async with asyncio.timeout(_PATIENCE):
            return Finding(what, True, await check())
    except CasemateError as error:
        return Finding(what, False, error.sentence)
    except Amiss as error:
        return Finding(what, False, str(error))
    except TimeoutError:
        return Finding(what, False, f"no answer within {_PATIENCE:g} s")


def _signed_in(token: Tokens) -> Check:
    async def check() -> str:
        await token()
        return "Entra ID gives a token"

    return check


async def _store(desk: Desk) -> str:
    await desk.store.ping()
    return f"can be written; {await desk.store.backlog()} messages wait for an answer"


async def _model(desk: Desk) -> str:
    said = [piece async for piece in desk.model.stream(_question(), limit=2_000)]
    if not any(isinstance(piece, str) and piece for piece in said):
        raise Amiss(f"{desk.model.name} gave an answer without text; is it a chat deployment?")
    return f"{desk.model.name} streams an answer"


async def _structured(desk: Desk) -> str:
    given = await desk.model.structured(_question(), name="ready", schema=_YES, limit=2_000)
    if "ready" not in given.data:
        raise Amiss(f"{desk.model.name} does not keep to a JSON schema: tasks and queries need it")
    return f"{desk.model.name} keeps to a JSON schema"


def _question() -> tuple[Message, ...]:
    return (
        Message("system", "You are being tested by an operator."),
        Message("user", "Are you ready? Answer in JSON, with one field, ready, which is true."),
    )


async def _sentinel(desk: Desk) -> str:
    page = await desk.incidents.list(order="properties/createdTimeUtc desc", top=1)
    newest = (
        f"the newest incident is #{page.incidents[0].number}" if page.incidents else "no incident"
    )
    return f"{desk.workspace.name} answers; {newest}"


async def _logs(desk: Desk) -> str:
    await desk.logs.ping()
    return "a query runs"


async def _schema(desk: Desk) -> str:
    catalogue = await desk.schema.refresh()
    if not catalogue.tables:
        raise Amiss("the workspace has no tables; is SENTINEL_WORKSPACE_ID that of the workspace?")
    return f"{len(catalogue.tables)} tables and {len(catalogue.functions)} functions"


async def _checker(desk: Desk) -> str:
    await desk.checker.ping()
    catalogue = desk.schema.current()
    if catalogue is None:
        return "is loaded; without a schema nothing can be bound"
    checked = await desk.checker.check("print ready = true", catalogue)
    if checked is None or checked.diagnostics:
        raise Amiss("is loaded, but did not accept `print ready = true`")
    return "Microsoft's language service is loaded and binds a query"


async def _webhook(settings: Settings) -> str:
    posted = settings.local_mode or bool(settings.incident_webhook_callers)
    if not posted and not settings.poll_seconds:
        raise Amiss("nobody may post them and POLL_SECONDS is 0: none would be announced")
    ways = [
        "may be posted to /api/incidents" if posted else "",
        f"are looked for every {settings.poll_seconds} s" if settings.poll_seconds else "",
    ]
    return " and ".join(filter(None, ways))


def _teams_app(settings: Settings, path: Path) -> str:
    """Compare the built package, where there is one, with the bot's registration (blocking)."""
    if settings.local_mode:
        return "none is needed without BOT_APP_ID"
    if not path.exists():
        raise Amiss(f"is not built yet: run make manifest APP_ID={settings.bot_app_id}")
    try:
        with zipfile.ZipFile(path) as package:
            manifest = cast(Mapping[str, Any], json.loads(package.read("manifest.json")))
        ids = {str(bot["botId"]).lower() for bot in manifest["bots"]}
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError):
        raise Amiss(f"{path.name} cannot be read: build it again with make manifest") from None
    if ids != {settings.bot_app_id}:
        raise Amiss(
            f"{path.name} is for the bot {', '.join(sorted(ids))}, BOT_APP_ID is "
            f"{settings.bot_app_id}: build it again with make manifest"
        )
    if settings.write_as == "analyst" and "webApplicationInfo" not in manifest:
        raise Amiss(f"{path.name} lacks what WRITE_AS=analyst needs: build it without APP_SSO=no")
    return f"version {manifest.get('version', 'unknown')} names this bot"
