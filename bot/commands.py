"""The command line: `python app.py`, its sandbox, and the tools of whoever runs it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from aiohttp import web

from prompts import load
from prompts.playbook import playbook

from . import auditing, journal, rated, redaction, serving
from .errors import CasemateError
from .ports import Trail
from .settings import Settings, from_process, prompts_dir


def run(
    application: Callable[[Settings], Awaitable[web.Application]],
    sandbox: Callable[[int], int],
    trail: Callable[[str], AbstractAsyncContextManager[Trail]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a command; the exit code says whether it could.

    `application` puts the bot together; `sandbox` serves it with all it needs on a port; `trail`
    opens the audit of a SQLite file, or without one that of the settings' store.
    """
    parser = argparse.ArgumentParser(prog="app.py", description="Casemate")
    commands = parser.add_subparsers(dest="command")
    sandboxed = commands.add_parser("sandbox", help="run with a workspace that needs no account")
    sandboxed.add_argument("--port", type=int, default=3978)
    commands.add_parser("doctor", help="try every service and say what is wrong")
    prompts = commands.add_parser("prompts", help="prompts and playbook texts")
    checked = prompts.add_subparsers(dest="verb", required=True).add_parser(
        "check", help="read them all, and the files that replace ours"
    )
    checked.add_argument("folder", type=Path, nargs="?", help="instead of PROMPTS_DIR")
    audited = commands.add_parser("audit", help="print the audit, and verify its chain")
    auditing.add_arguments(audited)
    feedback = commands.add_parser("feedback", help="the answers that analysts rated, worst first")
    rated.add_arguments(feedback)
    chosen = parser.parse_args(arguments)
    journal.begin(sys.stderr)
    redaction.install()
    try:
        if chosen.command == "sandbox":
            return sandbox(chosen.port)
        if chosen.command == "doctor":
            from . import doctor  # a start does without it

            logging.getLogger().setLevel(logging.ERROR)
            return asyncio.run(doctor.examine(from_process))
        if chosen.command == "prompts":
            return check_prompts(chosen.folder or prompts_dir())
        if chosen.command == "audit":
            wanted = auditing.wanted(chosen)
            return asyncio.run(_reading(trail(chosen.file), lambda it: auditing.run(it, wanted)))
        if chosen.command == "feedback":
            rating = rated.wanted(chosen)
            return asyncio.run(_reading(trail(chosen.file), lambda it: rated.run(it, rating)))
        settings = from_process()
        return serving.run(settings, lambda: application(settings))
    except CasemateError as error:
        print(error.sentence, file=sys.stderr)
        return 2


def check_prompts(folder: Path | None) -> int:
    """Print each prompt with its hash and whose it is. Raises SettingsError for what is wrong."""
    ours, all_of_them = load(), load(folder)
    texts = playbook(folder)
    for prompt in all_of_them:
        whose = "ours" if prompt.hash == ours[prompt.name].hash else "yours"
        print(f"{prompt.hash}  {whose:5}  {prompt.name}: {prompt.purpose}")
    print(f"The playbook: {len(texts.tactics)} tactics and {len(texts.queries)} queries.")
    return 0


async def _reading(
    opening: AbstractAsyncContextManager[Trail], command: Callable[[Trail], Awaitable[int]]
) -> int:
    """Run a command over a store that is there already."""
    async with opening as trail:
        return await command(trail)
