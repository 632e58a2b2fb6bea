"""The house rule: who may import whom, and how long things may be.

`MAY_IMPORT` is the drawing; a new module of `bot` needs a row or a folder that has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each part may import itself and these parts of ours. `app` may import anything.
MAY_IMPORT = {
    "bot.domain": "",
    "bot.errors": "",
    "bot.clock": "",
    "bot.course": "",
    "bot.keeping": "bot.errors bot.ports",
    "bot.ports": "bot.domain",
    "bot.environment": "bot.domain",
    "bot.settings": "bot.domain bot.environment bot.errors",
    "bot.wire": "bot.ports",
    "bot.bodies": "bot.errors bot.ports",
    "bot.signing": "bot.domain bot.errors bot.ports bot.wire",
    "bot.tokens": "bot.errors bot.ports",
    "bot.records": "bot.domain bot.errors bot.ports",
    "prompts": "bot.errors",
    # what is done, and what is said
    "bot.desk": "bot.domain bot.errors bot.keeping bot.ports prompts",
    "bot.cards": "bot.domain",
    "dialogs": "bot.domain bot.errors bot.ports bot.desk bot.cards",
    # the adapters: none of them imports another
    "bot.azure": "bot.domain bot.errors bot.ports bot.wire",
    "bot.azure.cosmos": "bot.domain bot.errors bot.ports bot.records",
    "bot.azure.credentials": "bot.domain bot.errors bot.ports bot.wire bot.settings bot.tokens",
    "bot.kusto": "bot.domain bot.errors bot.ports",
    "bot.local": "bot.domain bot.errors bot.ports bot.records",
    "bot.teams": (
        "bot.course bot.domain bot.errors bot.journal bot.keeping bot.ports bot.wire bot.bodies "
        "bot.settings bot.signing bot.tokens"
    ),
    "bot.webhook": "bot.domain bot.errors bot.ports bot.bodies bot.signing bot.settings",
    # what `app` hangs around them
    "bot.gate": "bot.domain",
    "bot.health": "bot.errors bot.ports",
    "bot.opening": "bot prompts",
    "bot.redaction": "",
    "bot.journal": "",
    "bot.telemetry": ("bot.azure.monitor bot.domain bot.errors bot.ports bot.settings bot.traced"),
    "bot.traced": "bot.course bot.domain bot.measured bot.ports bot.telemetry",
    "bot.measured": "bot.domain bot.errors bot.ports",
    "bot.auditing": "bot.domain bot.errors bot.ports bot.records",
    "bot.rated": "bot.auditing bot.domain bot.ports",
    "bot.commands": (
        "bot.auditing bot.doctor bot.errors bot.ports bot.journal bot.rated bot.redaction "
        "bot.serving bot.settings prompts"
    ),
    "bot.doctor": "bot prompts",
    "bot.serving": "bot.errors bot.ports bot.settings bot.teams",
    # what runs beside the bot, and is never imported by it
    "sandbox": "bot.domain bot.settings bot.serving prompts",
    "evals": "bot dialogs prompts sandbox",
}
# A library, and the only parts that may import it.
ONLY_IN = {
    "botbuilder": "bot.teams",
    "botframework": "bot.teams",
    "openai": "bot.azure.openai",
    "azure": "bot.azure",
    "opentelemetry": "bot.telemetry bot.traced bot.measured",
    "sqlite3": "bot.local",
    "py_mini_racer": "bot.kusto",
    "duckdb": "sandbox",
    "aiohttp": (
        "app bot.teams bot.webhook bot.azure bot.wire bot.bodies bot.signing bot.gate bot.health "
        "bot.serving bot.opening bot.commands bot.doctor bot.telemetry bot.traced sandbox evals"
    ),
    "jwt": "bot.signing",
}
OURS = {"app", "bot", "dialogs", "evals", "prompts", "sandbox", "tests"}
# The pure core asks nobody for the time or for chance.
NOT_IN_DOMAIN = {"time", "random", "secrets", "os", "asyncio", "socket", "pathlib", "logging"}
NO_CALLS_IN_DOMAIN = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "monotonic"}

MODULE_LINES, FUNCTION_LINES = 300, 50
# The composition root is to stay a page or two; all seams are to stay on one page.
OTHER_LINES = {"app": 119, "bot.ports": 320}


def part_of(module: str) -> str:
    """The part a module belongs to; in `bot.azure` what shares a stem is one adapter."""
    names = module.split(".")
    if names[:2] == ["bot", "azure"] and len(names) > 2:
        return f"bot.azure.{names[2].split('_')[0]}"
    return ".".join(names[:2]) if names[0] == "bot" else names[0]


def within(module: str, parts: str) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts.split())


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Every module that is imported anywhere, also for type checking only, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(filter(None, [*(above if node.level else []), node.module]))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def broken(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Say, line by line, where a module breaks the rule."""
    tree = ast.parse(source)
    part = part_of(module)
    said = [*_names(tree, part)]
    for line, target in imported(tree, module if is_package else module.rpartition(".")[0]):
        if wrong := _import(part, target):
            said.append((line, wrong))
    return [f"{module}, line {line}: {what}" for line, what in sorted(said)]


def _import(part: str, target: str) -> str:
    top = target.split(".")[0]
    if top in ONLY_IN and not within(part, ONLY_IN[top]):
        return f"{top} is for {ONLY_IN[top]} only"
    if part == "bot.domain" and top in NOT_IN_DOMAIN:
        return f"{top} has no place in bot.domain"
    if top not in OURS or part == "app":
        return ""
    allowed = MAY_IMPORT.get(part, MAY_IMPORT.get(part.rpartition(".")[0]))
    if allowed is None:
        return f"{part} has no row in MAY_IMPORT"
    if part_of(target) == part or within(target, allowed):
        return ""
    return f"{part} may not import {target}"


def _names(tree: ast.AST, part: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        named = {node.attr} if isinstance(node, ast.Attribute) else set[str]()
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "uuid"):
            named = {alias.name for alias in node.names}
        line = getattr(node, "lineno", 0)
        if named & {"environ", "getenv"} and part != "bot.settings":
            yield line, "the environment is read in bot.settings only"
        if named & NO_CALLS_IN_DOMAIN and part == "bot.domain":
            yield line, f"{', '.join(named)} has no place in bot.domain"


def modules() -> list[Path]:
    folders = ("bot", "dialogs", "evals", "prompts", "sandbox")
    return [ROOT / "app.py", *(path for each in folders for path in (ROOT / each).rglob("*.py"))]


def name_of(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


# --- the house -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_the_rule_is_kept(path: Path) -> None:
    said = broken(name_of(path), path.read_text("utf-8"), is_package=path.stem == "__init__")
    assert not said, "\n" + "\n".join(said)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_is_long(path: Path) -> None:
    name, source = name_of(path), path.read_text("utf-8")
    lines, most = len(source.splitlines()), OTHER_LINES.get(name_of(path), MODULE_LINES)
    assert lines <= most, f"{name} has {lines} lines; {most} are the most: split it"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = body_lines(node)
            assert size <= FUNCTION_LINES, f"{name}.{node.name} has {size} lines: split it"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count what a function does: without its signature and its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_row_is_about_something() -> None:
    parts = {part_of(name_of(path)) for path in modules()}
    assert [row for row in MAY_IMPORT if not any(within(part, row) for part in parts)] == []


# --- the checker ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("bot.domain.x", "from ..ports import Clock", "bot.domain may not import bot.ports.Clock"),
        ("bot.domain.x", "import bot.errors", "bot.domain may not import bot.errors"),
        (
            "bot.domain.x",
            "if TYPE_CHECKING:\n    from bot.settings import Settings",
            "line 2: bot.domain may not import bot.settings.Settings",
        ),
        ("bot.domain.x", "import secrets", "secrets has no place"),
        ("bot.domain.x", "def f():\n    return datetime.now(UTC)", "line 2: now has no place"),
        ("bot.domain.x", "import uuid\nid = uuid.uuid4()", "uuid4 has no place"),
        ("bot.domain.x", "from uuid import uuid4", "uuid4 has no place"),
        (
            "bot.desk.x",
            "from ..azure.sentinel import Sentinel",
            "may not import bot.azure.sentinel",
        ),
        ("bot.desk.x", "from .. import wire", "bot.desk may not import bot.wire"),
        ("bot.desk.x", "import aiohttp.web", "aiohttp is for"),
        ("bot.desk.x", "import os\nos.environ['A']", "in bot.settings only"),
        ("bot.wire", "from os import getenv", "in bot.settings only"),
        ("bot.cards.x", "from bot.ports import JsonObject", "bot.cards may not import bot.ports"),
        ("bot.azure.sentinel", "from .openai import x", "may not import bot.azure.openai.x"),
        ("bot.azure.sentinel", "from . import openai", "may not import bot.azure.openai"),
        ("bot.azure.sentinel", "from openai import x", "openai is for bot.azure.openai only"),
        ("bot.azure.cosmos", "from ..local import sqlite", "may not import bot.local.sqlite"),
        ("bot.azure.cosmos", "from ..settings import Settings", "may not import bot.settings"),
        ("bot.teams.x", "from azure.identity import x", "azure is for bot.azure only"),
        ("bot.local.x", "import botbuilder.core", "botbuilder is for bot.teams only"),
        ("bot.serving", "from sandbox.run import run", "may not import sandbox.run"),
        ("bot.health", "import tests.clock", "may not import tests.clock"),
        ("sandbox.x", "from evals.case import x", "sandbox may not import evals.case"),
        ("bot.new", "from .domain import x", "bot.new has no row in MAY_IMPORT"),
        ("dialogs.x", "from bot.teams.stream import x", "dialogs may not import bot.teams"),
        ("dialogs.x", "import app", "dialogs may not import app"),
        ("prompts", "from bot.ports import x", "prompts may not import bot.ports"),
        ("sandbox.x", "from bot.azure import sentinel", "sandbox may not import bot.azure"),
    ],
)
def test_a_break_of_the_rule_is_seen(module: str, source: str, said: str) -> None:
    found = broken(module, source)
    assert len(found) == 1 and said in found[0] and found[0].startswith(f"{module}, line ")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app", "from sandbox.run import run\nimport bot.teams.bot, aiohttp"),
        ("bot.domain.x", "from .incident import Incident\nimport uuid\nuuid.uuid5(a, b)"),
        ("bot.azure.sentinel_json", "from .sentinel import x\nfrom ..ports import y"),
        ("bot.azure.openai_answers", "import openai"),
        ("bot.azure.credentials", "from ..settings import Settings\nimport azure.identity"),
        ("bot.teams.x", "from .stream import Stream\nfrom botbuilder.core import TurnContext"),
        ("dialogs.x", "from . import ask\nfrom bot.desk.ask import ask"),
    ],
)
def test_what_keeps_the_rule_is_not(module: str, source: str) -> None:
    assert broken(module, source) == []


def test_a_package_resolves_its_own_names() -> None:
    assert broken("bot.cards", "from ._parts import x", is_package=True) == []
    assert broken("bot.cards", "from ..domain import x", is_package=True) == []
    assert len(broken("bot.cards", "from ..desk import x", is_package=True)) == 1
