"""Tokens and their price."""

import pytest

from bot.domain.price import Prices, Used


@pytest.mark.parametrize(
    ("detail", "used"),
    [
        ({}, Used(1)),
        ({"prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 2}, Used(1, 10, 4, 2)),
        ({"prompt_tokens": None, "completion_tokens": 2}, Used(1, completion=2)),
    ],
)
def test_an_answer_is_added(detail, used):
    assert Used().plus(detail) == used


@pytest.mark.parametrize(
    ("used", "dollars"),
    [
        (Used(), 0),
        (Used(1, 1_000_000, 0, 0), 0.75),
        (Used(1, 1_000_000, 1_000_000, 0), 0.075),
        (Used(2, 2_000_000, 1_000_000, 100_000), 0.75 + 0.075 + 0.45),
        (Used(1, 10, 1_000_000, 0), 0.075),
    ],
)
def test_cached_tokens_have_their_own_price(used, dollars):
    assert used.cost(Prices(0.75, 0.075, 4.5)) == pytest.approx(dollars)


def test_prices_are_read():
    assert Prices.parse('{"output": 4.5, "cached": 0, "input": 1}') == Prices(1.0, 0.0, 4.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "0.75",
        "{}",
        '{"input": 1, "cached": 1}',
        '{"input": 1, "cached": 1, "output": 1, "more": 1}',
        '{"input": "1", "cached": 1, "output": 1}',
        '{"input": true, "cached": 1, "output": 1}',
        '{"input": -1, "cached": 1, "output": 1}',
        '{"input": NaN, "cached": 1, "output": 1}',
        '{"input": Infinity, "cached": 1, "output": 1}',
        "[" * 200_000,
    ],
)
def test_what_is_no_price_list_is_refused(text):
    with pytest.raises(ValueError):
        Prices.parse(text)
