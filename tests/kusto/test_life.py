"""How the checker begins, shares, fails, recovers and ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.domain.query import Catalogue, Checked, Table
from bot.errors import CasemateError
from bot.kusto.checker import FOLDER, Checker
from bot.kusto.isolate import SERVICE, WORKSPACES
from tests.kusto import corpus

ROOT = Path(__file__).parents[2]
QUERY = corpus.queries()[0].text
# The service as it is, but for three words that make it fail as an engine can fail.
FAILING = """
;(() => {
  const code = Kusto.Language.KustoCode, analyze = code.ParseAndAnalyze;
  code.ParseAndAnalyze = (query, globals) => {
    if (query.includes("throw")) throw new Error("a fault of the service's own");
    if (query.includes("hang")) for (;;) {}
    if (query.includes("hog")) for (const heap = []; ; ) heap.push(new Array(1000).fill(1.5));
    return analyze.call(code, query, globals);
  };
})();
"""


@pytest.fixture(scope="module")
def failing(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("failing")
    for name in SERVICE:
        text = (FOLDER / name).read_text("utf-8")
        (folder / name).write_text(text + (FAILING if name == SERVICE[1] else ""), "utf-8")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(failing: Path) -> AsyncIterator[Checker]:
    """Fails when told to, and has to serve the next test; on a busy machine V8 fills up slowly."""
    checker = Checker(failing, seconds=20)
    yield checker
    await checker.close()


async def good(checker: Checker, query: str = QUERY) -> bool:
    checked = await checker.check(query, corpus.small())
    return checked is not None and checked.good


async def codes(checker: Checker, query: str) -> list[str]:
    checked = await checker.check(query, corpus.small())
    assert checked is not None
    return [each.code for each in checked.diagnostics]


# --- not there -----------------------------------------------------------------------------------


async def test_without_the_files_queries_are_not_checked(tmp_path: Path) -> None:
    checker = Checker(tmp_path)
    await checker.start()
    assert await checker.check("SecurityEvent", corpus.small()) is None
    with pytest.raises(CasemateError) as error:
        await checker.ping()
    assert error.value.sentence == (
        "The KQL checker is not installed: run `npm ci --ignore-scripts` in bot/kusto; "
        "queries are shown as not checked."
    )
    await checker.close()


async def test_files_that_come_later_are_found(installed: None, tmp_path: Path) -> None:
    checker = Checker(tmp_path)
    assert await checker.check(QUERY, corpus.small()) is None
    for name in SERVICE:
        await asyncio.to_thread((tmp_path / name).symlink_to, FOLDER / name)
    assert await good(checker)
    await checker.ping()
    await checker.close()


async def test_damaged_files_are_as_good_as_none(tmp_path: Path) -> None:
    for name in SERVICE:
        await asyncio.to_thread((tmp_path / name).write_text, "this is not JavaScript", "utf-8")
    checker = Checker(tmp_path)
    assert await checker.check(QUERY, corpus.small()) is None
    with pytest.raises(CasemateError, match="again"):
        await checker.ping()
    await checker.close()


async def test_a_machine_that_cannot_run_v8(
    installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)  # as import finds it on such a machine
    checker = Checker()
    assert await checker.check(QUERY, corpus.small()) is None
    with pytest.raises(CasemateError, match="cannot run"):
        await checker.ping()
    await checker.close()


# --- the event loop ------------------------------------------------------------------------------


async def longest_stall(stop: asyncio.Event) -> float:
    """How long the loop at most did not come round, in seconds."""
    longest, last = 0.0, time.perf_counter()
    while not stop.is_set():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


async def test_nothing_waits_while_it_loads_and_checks(installed: None) -> None:
    checker, stop = Checker(), asyncio.Event()
    watching = asyncio.create_task(longest_stall(stop))
    began = time.perf_counter()
    await checker.start()
    assert time.perf_counter() - began < 0.2
    for query in corpus.queries()[:20]:
        assert await good(checker, query.text)
    stop.set()
    assert await watching < 0.5  # of some 2 s; the machine may be busy with other tests
    await checker.close()


# --- several at a time ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2])
async def test_many_at_once_each_get_their_own_answer(installed: None, size: int) -> None:
    checker = Checker(size=size)
    names = [table.name for table in corpus.small().tables]
    answers = await asyncio.gather(
        *(checker.check(f"{name} | take 1", corpus.small()) for name in names)
    )
    assert [answer and answer.tables for answer in answers] == [(name,) for name in names]
    await checker.close()


async def test_who_stops_waiting_holds_up_nobody(checker: Checker) -> None:
    waiting = [asyncio.create_task(good(checker)) for _ in range(6)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, False] * 3
    assert all(each is True for each in done[1::2])
    assert await good(checker)


# --- failing and recovering ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("print 'throw'", "The query made the KQL checker fail; write it more simply."),
        ("print 'hog'", "The query made the KQL checker fail; write it more simply."),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_failure_is_one_error_and_the_next_query_is_checked(
    patient: Checker, query: str, sentence: str
) -> None:
    await fails_once(patient, query, sentence)


async def test_what_hangs_is_ended_and_the_next_query_is_checked(failing: Path) -> None:
    checker = Checker(failing, seconds=2)
    sentence = "The query took too long to check; write it more simply."
    await fails_once(checker, "print 'hang'", sentence)
    await checker.close()


async def fails_once(checker: Checker, query: str, sentence: str) -> None:
    assert await good(checker)
    checked = await checker.check(query, corpus.small())
    assert isinstance(checked, Checked)
    assert [(each.code, each.message) for each in checked.diagnostics] == [
        ("not-checked", sentence)
    ]
    assert not checked.good
    assert await good(checker)
    await checker.ping()


@pytest.mark.asyncio(loop_scope="module")
async def test_those_behind_a_failure_are_checked(patient: Checker) -> None:
    first, *others = await asyncio.gather(
        codes(patient, "print 'throw'"), *(codes(patient, QUERY) for _ in range(3))
    )
    assert first == ["not-checked"]
    assert others == [[], [], []]


async def test_only_so_many_workspaces_are_kept(checker: Checker) -> None:
    tables = corpus.small().tables[: WORKSPACES + 2]
    workspaces = [(table, Catalogue((table,))) for table in tables]
    for table, catalogue in [*workspaces, workspaces[0]]:
        checked = await checker.check(f"{table.name} | take 1", catalogue)
        assert checked is not None
        assert checked.good and checked.tables == (table.name,)


# --- ending --------------------------------------------------------------------------------------


class Held(tuple[Table, ...]):
    """Tables that are read only when told so; reading them is how a check begins."""

    begun, go = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Table]:
        self.begun.set()
        self.go.wait(10)
        return super().__iter__()


async def test_a_stop_lets_the_running_check_end_and_turns_the_others_away(
    installed: None,
) -> None:
    checker, held = Checker(), Held(corpus.small().tables)
    running = asyncio.create_task(checker.check(QUERY, Catalogue(held)))
    await asyncio.to_thread(held.begun.wait, 10)
    waiting = [asyncio.create_task(good(checker)) for _ in range(2)]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(checker.close())
    await asyncio.sleep(0)
    held.go.set()
    await stopping
    checked = await running
    assert checked is not None
    assert checked.good
    for task in waiting:
        with pytest.raises(CasemateError, match="stopping"):
            await task
    with pytest.raises(CasemateError, match="stopping"):
        await checker.ping()
    await checker.close()


async def test_a_stop_while_it_loads(installed: None) -> None:
    checker = Checker()
    await checker.start()
    await checker.close()


async def test_a_stop_before_it_began() -> None:
    await Checker().close()


@pytest.mark.parametrize(("ending", "size"), [("pass", 2), ("raise SystemExit(0)", 1)])
def test_the_process_ends_also_where_nobody_closed_it(
    installed: None, ending: str, size: int
) -> None:
    program = f"""
import asyncio
from bot.domain.query import Catalogue
from bot.kusto.checker import Checker
async def main():
    checker = Checker(size={size})
    await asyncio.gather(*(checker.check("print 1", Catalogue(())) for _ in range({size})))
    {ending}
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30)
    assert done.returncode == 0
