"""Says what is wrong with an answer, one sentence for each line of the case that it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.domain.query import WrittenQuery
from evals.case import Case, Query, pattern
from evals.language import language_of


@dataclass(frozen=True, slots=True)
class Given:
    """What came back: the model's own words, the labels of what they cite, and a query's rows.

    `parts` is those words, a title or a text each. `evidence` is how many exhibits the model had.
    `rows` is None where the query was not run.
    """

    parts: tuple[str, ...]
    by_model: bool
    said: str = ""
    cited: tuple[str, ...] = ()
    evidence: int = 0
    query: WrittenQuery | None = None
    rows: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All the words."""
        return "\n".join(self.parts)


def failures(case: Case, given: Given) -> tuple[str, ...]:
    """Every line of the case that the answer fails; none where it passes."""
    return tuple(_failures(case, given))


def _failures(case: Case, given: Given) -> Iterator[str]:
    if not given.by_model:
        yield f"no model answered: {_flat(given.said)[:160]}"
        return
    text = _flat(given.text)
    for wanted in case.must:
        if not pattern(wanted).search(text):
            yield f"must: {wanted} is not in the answer"
    for unwanted in case.must_not:
        if found := pattern(unwanted).search(text):
            yield f"must_not: “{found[0]}” is in the answer ({unwanted})"
    for wanted in case.cites:
        if not any(pattern(wanted).search(label) for label in given.cited):
            yield f"cites: {wanted} is not cited"
    for number in _made_up(given):
        yield f"[{number}] is cited, and the evidence ends at [{given.evidence}]"
    if case.at_most and (size := sum(map(len, given.parts))) > case.at_most:
        yield f"at_most: the answer has {size:,} characters"
    if case.language and (spoken := language_of(given.text)) != case.language:
        yield f"language: the answer's is {spoken or 'none that is known'}"
    if case.query:
        yield from _of_query(case.query, given)


def _made_up(given: Given) -> list[int]:
    if given.query or not given.evidence:
        return []
    cited = {int(number) for number in re.findall(r"\[(\d{1,3})\]", given.text)}
    return sorted(number for number in cited if not 1 <= number <= given.evidence)


def _of_query(wanted: Query, given: Given) -> Iterator[str]:
    if given.query is None:
        yield "query: the answer is no query"
        return
    yield from (f"query: {problem}" for problem in given.query.problems)
    for table in wanted.reads:
        if not re.search(rf"\b{re.escape(table)}\b", given.query.body):
            yield f"query.reads: {table} is not read"
    if given.rows is None:
        return
    for value in wanted.finds:
        if not pattern(value).search(given.rows):
            yield f"query.finds: {value} is not among the rows"


def _flat(text: str) -> str:
    """On one line and without emphasis, which may stand in the middle of a name."""
    return " ".join(text.replace("**", "").replace("`", "").split())
