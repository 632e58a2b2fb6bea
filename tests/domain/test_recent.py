"""What is remembered has an end."""

from __future__ import annotations

from bot.domain.recent import Recent


def test_the_one_that_was_set_longest_ago_makes_room() -> None:
    held = Recent[str, int](2)
    held["a"], held["b"] = 1, 2
    held["a"] = 3
    held["c"] = 4
    assert dict(held) == {"a": 3, "c": 4}
    assert held.pop("a") == 3
    held["d"] = 5
    assert list(held) == ["c", "d"]
