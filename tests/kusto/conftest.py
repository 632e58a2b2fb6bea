"""The language service's files are Microsoft's and come from npm; without them there is no test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bot.kusto.checker import FOLDER, Checker
from bot.kusto.isolate import SERVICE


@pytest.fixture(scope="session")
def installed() -> None:
    if not all((FOLDER / name).exists() for name in SERVICE):
        pytest.skip("the language service is not here: run npm ci --ignore-scripts in bot/kusto")


@pytest.fixture(scope="session")
def checker(installed: None) -> Iterator[Checker]:
    """One for all tests that do it no harm: it takes two seconds to load."""
    checker = Checker()
    yield checker
    with asyncio.Runner() as runner:
        runner.run(checker.close())
