"""The command line: `python app.py`, and `python app.py sandbox`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from . import redaction, serving
from .errors import CasemateError
from .settings import Settings, from_process


def run(
    application: Callable[[Settings], Awaitable[web.Application]],
    sandbox: Callable[[int], int],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a command; the exit code says whether it could.

    `application` puts the bot together; `sandbox` serves it with all it needs on a port.
    """
    parser = argparse.ArgumentParser(prog="app.py", description="Casemate")
    commands = parser.add_subparsers(dest="command")
    sandboxed = commands.add_parser("sandbox", help="run with a workspace that needs no account")
    sandboxed.add_argument("--port", type=int, default=3978)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    redaction.install()
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        if chosen.command == "sandbox":
            return sandbox(chosen.port)
        settings = from_process()
        return serving.run(settings, lambda: application(settings))
    except CasemateError as error:
        print(error.sentence, file=sys.stderr)
        return 2
