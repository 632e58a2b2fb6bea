"""Says whether a query is right for a workspace, and which name was meant where it is not."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..domain.query import MAX_QUERY_CHARS, Catalogue, Checked, Diagnostic, Token
from ..errors import CasemateError
from .isolate import Broken, Isolate, Missing

FOLDER = Path(__file__).parent / "node_modules" / "@kusto" / "language-service-next"
CHECK_SECONDS = 5.0
NEAREST = 3
# "The name does not refer to any known column, table, variable or function."
NOT_A_COLUMN = "KS142"
# JavaScript counts a character outside the basic plane as two: one that counts as one stands in.
_WIDE = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")


class Checker:
    """The `KqlChecker` over Microsoft's language service in V8, in this process.

    `folder` holds the package's two files; `size` is how many queries are checked at a time, at
    about 250 MB each, and with 0 none is; `seconds` is how long one check may take.
    """

    def __init__(
        self, folder: Path | None = None, size: int = 1, seconds: float = CHECK_SECONDS
    ) -> None:
        self._isolates = [Isolate(folder or FOLDER, seconds) for _ in range(size)]
        self._idle: asyncio.Queue[Isolate] = asyncio.Queue()
        for isolate in self._isolates:
            self._idle.put_nowait(isolate)
        self._loading: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to load, about 2 s of work; does not wait for it."""
        for isolate in self._isolates:
            self._load(isolate)

    async def close(self) -> None:
        """Stop: a check that has begun comes to its end, one that waits gets a CasemateError."""
        await asyncio.gather(*(isolate.close() for isolate in self._isolates), *self._loading)

    async def ping(self) -> None:
        """Raise CasemateError, with what to do, unless queries are checked."""
        if not self._isolates:
            raise CasemateError("The KQL checker is turned off (KQL_CHECKERS is 0).")
        await asyncio.gather(*(isolate.load() for isolate in self._isolates))

    async def state(self) -> None:
        """As `ping`, for a probe: it does not wait while the service is being loaded."""
        if any(not task.done() for task in self._loading):
            raise CasemateError("The KQL checker is starting; a query waits for it.")
        await self.ping()

    async def check(self, query: str, catalogue: Catalogue) -> Checked | None:
        """Check a query; None where the language service is not there (`ping` says why).

        What keeps a query from being checked (its length, the time limit, a crash) is an error
        among its diagnostics. Keep one Catalogue object while it holds: it is learned once.
        """
        if len(query) > MAX_QUERY_CHARS:
            return _not_checked(
                "too-long", f"The query is longer than {MAX_QUERY_CHARS:,} characters.", query
            )
        if not self._isolates:
            return None
        isolate = await self._idle.get()
        try:
            answer = await isolate.check(_WIDE.sub("\ufffd", query), catalogue)
            return await asyncio.to_thread(_checked, query, catalogue, answer)
        except Missing:
            return None
        except Broken as broken:
            self._load(isolate)
            why = "took too long to check" if broken.too_slow else "made the KQL checker fail"
            return _not_checked("not-checked", f"The query {why}; write it more simply.", query)
        finally:
            self._idle.put_nowait(isolate)

    def _load(self, isolate: Isolate) -> None:
        async def load() -> None:
            with contextlib.suppress(CasemateError):  # `ping` and `check` meet it again
                await isolate.load()

        task = asyncio.create_task(load())
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)


def _not_checked(code: str, message: str, query: str) -> Checked:
    return Checked(diagnostics=(Diagnostic(code, "error", message, 0, len(query)),))


def _checked(query: str, catalogue: Catalogue, answer: dict[str, Any]) -> Checked:
    tokens = tuple(
        Token(kind, query[start : start + length], start)
        for kind, start, length in answer["tokens"]
    )
    found = [
        *_outside(query, tokens, answer),
        *_named(query, catalogue, answer["diagnostics"]),
        *_watchlists(tokens, catalogue.watchlists),
    ]
    return Checked(
        diagnostics=tuple(sorted(found, key=lambda each: each.start)),
        tables=tuple(answer["tables"]),
        tokens=tokens,
    )


def _outside(query: str, tokens: tuple[Token, ...], answer: dict[str, Any]) -> Iterator[Diagnostic]:
    """What the service did not look at: commands, and another workspace's part of a name."""
    if all(token.kind == "comment" for token in tokens):
        yield Diagnostic("empty", "error", "There is no query here.", 0, len(query))
    elif answer["kind"] != "Query" or any(token.kind == "directive" for token in tokens):
        message = "This is not a query: control commands and directives are not run."
        yield Diagnostic("not-a-query", "error", message, 0, len(query))
    for each in answer["elsewhere"]:
        start, length = each["start"], each["length"]
        message = f"{query[start : start + length]}() reads from outside this workspace."
        yield Diagnostic("elsewhere", "error", message, start, length)


def _named(query: str, catalogue: Catalogue, said: list[Any]) -> Iterator[Diagnostic]:
    """The service's diagnostics with the nearest names; one a place, the gravest and best named."""
    places: dict[tuple[int, int], Diagnostic] = {}
    for code, severity, message, start, length, names in said:
        name = query[start : start + length].strip("[]'\" ")
        close = nearest(name, names)
        if code == NOT_A_COLUMN and not close:  # a table can stand where a column was looked for
            close = nearest(name, catalogue.by_name)
        found = Diagnostic(code, severity, message, start, length, close)
        places[start, length] = max(places.get((start, length), found), found, key=_weight)
    yield from places.values()


def _weight(found: Diagnostic) -> tuple[bool, bool]:
    return found.severity == "error", bool(found.nearest)


def _watchlists(tokens: tuple[Token, ...], known: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Aliases that are not known, as warnings: a list may be newer than the catalogue."""
    code = [token for token in tokens if token.kind != "comment"]
    aliases = {alias.lower() for alias in known}
    for name, opened, alias in zip(code, code[1:], code[2:], strict=False):
        if name.text != "_GetWatchlist" or opened.text != "(" or alias.kind != "string":
            continue
        text = alias.text.lstrip("@hH").strip("'\"`")
        if aliases and text.lower() not in aliases:
            message = f"The watchlist '{text}' is not known in this workspace."
            close = nearest(text, known)
            yield Diagnostic("watchlist", "warning", message, alias.start, len(alias.text), close)


def nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that a misspelt one may have meant, best first, whatever their case."""
    spelt = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), spelt, n=NEAREST)
    return tuple(spelt[each] for each in close)
