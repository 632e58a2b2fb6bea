"""The command line: `python app.py`, `python app.py sandbox`, and `python app.py audit`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from . import auditing, serving
from .errors import CasemateError, StoreError
from .ports import Store
from .settings import Settings, from_process


def run(
    application: Callable[[Settings], Awaitable[web.Application]],
    sandbox: Callable[[int], int],
    store: Callable[[str], Store],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a command; the exit code says whether it could.

    `application` puts the bot together; `sandbox` serves it with all it needs on a port; `store` is
    for commands that need nothing else.
    """
    parser = argparse.ArgumentParser(prog="app.py", description="Casemate")
    commands = parser.add_subparsers(dest="command")
    sandboxed = commands.add_parser("sandbox", help="run with a workspace that needs no account")
    sandboxed.add_argument("--port", type=int, default=3978)
    audited = commands.add_parser("audit", help="print the audit, and verify its chain")
    auditing.add_arguments(audited)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        if chosen.command == "sandbox":
            return sandbox(chosen.port)
        if chosen.command == "audit":
            path = chosen.file or from_process().store_path
            return asyncio.run(_audit(store, path, auditing.wanted(chosen)))
        settings = from_process()
        return serving.run(settings, lambda: application(settings))
    except CasemateError as error:
        print(error.sentence, file=sys.stderr)
        return 2


async def _audit(store: Callable[[str], Store], path: str, wanted: auditing.Wanted) -> int:
    if not await asyncio.to_thread(Path(path).is_file):
        raise StoreError(f"There is no database {path}. Name one with --file or STORE_URL.")
    opened = store(path)
    await opened.open()
    try:
        return await auditing.run(opened, wanted)
    finally:
        await opened.close()
