"""The proof: our queries are accepted, and what is misspelt in them is caught and named."""

from __future__ import annotations

from collections import Counter

import pytest

from bot.domain.query import Catalogue
from bot.kusto.checker import Checker
from tests.kusto import corpus

CAUGHT, NAMED = 0.97, 0.95


@pytest.fixture(params=["small", "large"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    found = corpus.small() if request.param == "small" else corpus.large()
    if found is None:
        pytest.skip("the schema of 698 tables is not at hand; the small one is checked")
    return found


def test_there_are_queries_enough() -> None:
    assert len(corpus.queries()) >= 150
    assert len({query.text for query in corpus.queries()}) == len(corpus.queries())


def test_the_small_schema_is_true() -> None:
    whole = corpus.large()
    if whole is None:
        pytest.skip("the schema of 698 tables is not at hand")
    for table in corpus.small().tables:
        columns = {column.name: column.type for column in whole.by_name[table.name].columns}
        for column in table.columns:
            assert columns.get(column.name) == column.type, f"{table.name}.{column.name}"


async def test_every_query_is_accepted(checker: Checker, catalogue: Catalogue) -> None:
    for query in corpus.queries():
        checked = await checker.check(query.text, catalogue)
        assert checked is not None
        assert not checked.diagnostics, query.name
        assert checked.good
        assert (
            checked.tables
            or "_Im_" in query.text
            or "_ASim_" in query.text
            or ("_GetWatchlist" in query.text)
        ), query.name


async def test_misspelt_names_are_caught_and_the_right_one_is_offered(checker: Checker) -> None:
    # Against 698 tables the same takes half a minute: `make bench` does it.
    catalogue = corpus.small()
    made, caught, named = Counter[str](), Counter[str](), Counter[str]()
    for query in corpus.queries():
        right = await checker.check(query.text, catalogue)
        assert right is not None
        for misspelling in corpus.misspellings(query, right):
            made[misspelling.kind] += 1
            checked = await checker.check(misspelling.text, catalogue)
            assert checked is not None
            if not checked.good:
                caught[misspelling.kind] += 1
                offered = {name for each in checked.diagnostics for name in each.nearest}
                named[misspelling.kind] += misspelling.right in offered
    print(f"made {dict(made)}, caught {dict(caught)}, named {dict(named)}")
    assert min(made[kind] for kind in ("table", "column", "function")) >= 150
    assert caught.total() / made.total() >= CAUGHT
    assert named.total() / made.total() >= NAMED
