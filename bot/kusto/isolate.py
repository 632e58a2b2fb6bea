"""One V8 isolate with the language service in it, and the one thread that talks to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from ..domain.query import Catalogue
from ..errors import CasemateError
from .log_analytics import OPEN_TABLES, open_functions

if TYPE_CHECKING:
    from py_mini_racer import MiniRacer

log = logging.getLogger(__name__)

BRIDGE = Path(__file__).parent / "bridge.js"
# In this order: the second needs the first, ours needs both.
SERVICE = ("bridge.min.js", "Kusto.Language.Bridge.min.js")
LOAD_SECONDS = 60.0
# Four workspaces of 698 tables need about 120 MB.
HEAP_BYTES = 400 * 1024 * 1024
FLAGS = (
    # With protection keys only descendants of the thread that set V8 up may use it; any other
    # crashes the process. https://github.com/denoland/rusty_v8/pull/2054
    "--no-memory-protection-keys",
    # MB. At its own limit, by default a share of the machine's memory, V8 aborts the process; ours
    # must come first, and is looked at now and then only.
    "--max-old-space-size=1536",
)
# One process may serve several workspaces; a refreshed catalogue pushes its old self out.
WORKSPACES = 4
WARM_UP = (
    "print at = now() | extend day = bin(at, 1d) | summarize count() by day | where count_ > 0"
)

T = TypeVar("T")

_setting_up = threading.Lock()  # set up twice at the same time, V8 aborts the process


class Missing(CasemateError):
    """The language service cannot be loaded here; its sentence says what to do."""


class Broken(Exception):
    """A call did not come back as it should; the isolate is gone and the next call has a new one.

    `too_slow` says that the time limit ended it.
    """

    def __init__(self, too_slow: bool) -> None:
        super().__init__("too slow" if too_slow else "failed")
        self.too_slow = too_slow


class Isolate:
    """Makes its calls one after the other, each at most `seconds`, off the event loop.

    A caller that stops waiting takes its call along unless it has begun.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "kusto")
        self._racer: MiniRacer | None = None
        self._learned: dict[int, Catalogue] = {}
        self._keys = itertools.count(1)
        self._closing = False

    async def load(self) -> None:
        """Have the service ready; raises Missing."""
        await self._run(self._loaded)

    async def check(self, query: str, catalogue: Catalogue) -> dict[str, Any]:
        """Answer as `check` of bridge.js does; raises Missing or Broken."""
        return await self._run(lambda: self._check(query, catalogue))

    async def close(self) -> None:
        """Let a call that has begun come to its end, turn the others away, give up the heap."""
        if not self._closing:
            self._closing = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
            self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        def unless_closing() -> T:
            if self._closing:
                raise CasemateError("Casemate is stopping; the query was not checked.")
            return work()

        if self._closing:  # the thread takes no more calls
            return unless_closing()
        return await asyncio.get_running_loop().run_in_executor(self._thread, unless_closing)

    # --- what runs in the thread

    def _check(self, query: str, catalogue: Catalogue) -> dict[str, Any]:
        racer = self._loaded()
        from py_mini_racer import JSEvalException

        try:
            key = self._key(racer, catalogue)
            return orjson.loads(_call(racer, self._seconds, "check", key, query))
        except JSEvalException as error:  # out of time or memory, or a fault of the service's own
            log.warning("the KQL checker is replaced: %s", type(error).__name__)
            with contextlib.suppress(JSEvalException):
                # A call that was interrupted still reports; close before it does and that fails.
                racer.eval("0", timeout_sec=self._seconds)
            self._drop()
            raise Broken(too_slow=isinstance(error, TimeoutError)) from error

    def _key(self, racer: MiniRacer, catalogue: Catalogue) -> int:
        """What `check` of bridge.js calls this catalogue, taught first where it is new."""
        for key, known in self._learned.items():
            if known is catalogue:
                return key
        if len(self._learned) == WORKSPACES:
            oldest = next(iter(self._learned))
            del self._learned[oldest]
            _call(racer, LOAD_SECONDS, "forget", oldest)
        key = next(self._keys)
        _call(racer, LOAD_SECONDS, "learn", key, _workspace(catalogue))
        self._learned[key] = catalogue
        return key

    def _loaded(self) -> MiniRacer:
        if self._racer is None:
            texts = [*self._service(), BRIDGE.read_text("utf-8")]
            racer = _new_racer()
            from py_mini_racer import JSEvalException

            # Also at exit where nobody closed us: an open isolate can keep the interpreter waiting.
            self._let_go = weakref.finalize(self, racer.close)
            try:
                for text in texts:
                    racer.eval(text, timeout_sec=LOAD_SECONDS)
                # The service builds its tables of keywords and functions on first use.
                _call(racer, LOAD_SECONDS, "learn", 0, _workspace(Catalogue(())))
                _call(racer, LOAD_SECONDS, "check", 0, WARM_UP)
            except JSEvalException as error:
                self._let_go()
                raise Missing(
                    "The KQL checker does not start: run `npm ci --ignore-scripts` in bot/kusto "
                    "again; queries are shown as not checked."
                ) from error
            self._racer = racer
        return self._racer

    def _service(self) -> list[str]:
        try:
            return [(self._folder / name).read_text("utf-8") for name in SERVICE]
        except OSError as error:
            raise Missing(
                "The KQL checker is not installed: run `npm ci --ignore-scripts` in bot/kusto; "
                "queries are shown as not checked."
            ) from error

    def _drop(self) -> None:
        if self._racer is not None:
            self._racer = None
            self._learned.clear()
            self._let_go()


def _new_racer() -> MiniRacer:
    try:
        from py_mini_racer import DEFAULT_V8_FLAGS, MiniRacer, init_mini_racer

        with _setting_up:
            init_mini_racer(flags=(*DEFAULT_V8_FLAGS, *FLAGS), ignore_duplicate_init=True)
        racer = MiniRacer()
    except (ImportError, OSError, RuntimeError) as error:
        raise Missing(
            "The KQL checker cannot run: V8 (mini-racer) does not load on this machine; queries "
            "are shown as not checked."
        ) from error
    racer.set_hard_memory_limit(HEAP_BYTES)
    return racer


def _call(racer: MiniRacer, seconds: float, function: str, *arguments: Any) -> str:
    """Call a function of bridge.js; a JSON text is a JavaScript expression as it stands."""
    given = orjson.dumps(arguments).decode()[1:-1]
    return str(racer.eval(f"casemate.{function}({given})", timeout_sec=seconds))


def _workspace(catalogue: Catalogue) -> dict[str, Any]:
    """The catalogue as `learn` of bridge.js takes it."""
    return {
        "tables": [
            (
                table.name,
                [(column.name, column.type) for column in table.columns],
                table.name in OPEN_TABLES,
            )
            for table in catalogue.tables
        ],
        "functions": [
            (each.name, _in_parentheses(each.parameters), each.body) for each in catalogue.functions
        ],
        "opens": open_functions(catalogue),
    }


def _in_parentheses(parameters: str) -> str:
    return parameters if parameters.lstrip().startswith("(") else f"({parameters})"
