"""The double refuses what would be wrong or slow on Azure, so that no test passes by it."""

import pytest

from tests.cosmos_query import Unsupported, query

INDEXED = ("open", "seq", "value")


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("SELECT * FROM c WHERE c.body = 1", True),  # not indexed
        ("SELECT * FROM c ORDER BY c.body", True),
        ("SELECT * FROM c ORDER BY c.seq", False),  # not one partition
        ("SELECT TOP 1 * FROM c", False),
        ("SELECT COUNT(1) FROM c", True),
        ("SELECT c.order FROM c", True),  # a word of the language
        ("SELECT * FROM c WHERE c.value = 1", True),
        ("SELECT * FROM c WHERE c.open = 'x'", True),
        ("select * from c", True),
        ("SELECT *  FROM c", True),
    ],
)
def test_a_query_that_the_store_must_not_send(text: str, one: bool) -> None:
    with pytest.raises(Unsupported):
        query(text, {}, INDEXED, one)


def test_types_do_not_compare_and_what_is_missing_is_not_sorted() -> None:
    items = [{"id": "a", "seq": 2}, {"id": "b", "seq": 1}, {"id": "c"}, {"id": "d", "seq": "3"}]
    below = query("SELECT c.id FROM c WHERE c.seq < @n", {"@n": 3}, INDEXED, False)
    assert below.of(items) == [{"id": "a"}, {"id": "b"}]
    newest = query("SELECT TOP @n c.id FROM c ORDER BY c.seq DESC", {"@n": 1}, INDEXED, True)
    assert newest.of(items[:3]) == [{"id": "a"}]
    either = query('SELECT * FROM c WHERE c.open = true OR c.seq = "3"', {}, INDEXED, True)
    assert either.of(items) == items[3:]
