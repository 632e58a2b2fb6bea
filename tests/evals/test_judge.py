"""What a case makes of an answer: each of its lines can fail, and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.query import WrittenQuery
from evals.case import CASES, Case, CaseError, Query, read_cases
from evals.judge import Given, failures

CASE = Case("a-case", "An example.", "What happened?", 3177, must=("lena.fischer", "/05:2[0-9]/"))
GOOD = Given(
    parts=("Stolen", "At **05:26** the session of\n**lena.fischer**@contoso.com was stolen [2]."),
    by_model=True,
    cited=("Stolen session cookie was used",),
    evidence=3,
)
QUERY = WrittenQuery("SigninLogs | where IPAddress == '203.0.113.45'", tables=100)


def test_an_answer_with_all_facts_passes() -> None:
    case = replace(
        CASE, must_not=("svc-backup",), cites=("stolen session",), language="en", at_most=200
    )
    assert failures(case, GOOD) == ()


@pytest.mark.parametrize(
    ("asks", "gives", "said"),
    [
        ({"must": ("paul.meyer",)}, {}, "must: paul.meyer is not in the answer"),
        ({"must": ("/06:\\d\\d/",)}, {}, "must: /06:\\d\\d/ is not in the answer"),
        ({"must": ("lena?fischer",)}, {}, "must: lena?fischer is not in the answer"),
        ({"must_not": ("/was (?:stolen|lost)/",)}, {}, "must_not: “was stolen” is in the answer"),
        ({"cites": ("LSASS",)}, {}, "cites: LSASS is not cited"),
        ({"at_most": 20}, {}, "at_most: the answer has 78 characters"),
        ({"language": "de"}, {}, "language: the answer's is en"),
        ({}, {"evidence": 1}, "[2] is cited, and the evidence ends at [1]"),
        ({}, {"by_model": False, "said": "The model is busy."}, "no model answered: The model is"),
        ({"query": Query()}, {}, "query: the answer is no query"),
        (
            {"query": Query()},
            {"query": replace(QUERY, problems=("Line 1: no such column.",))},
            "query: Line 1: no such column.",
        ),
        (
            {"query": Query(reads=("Signin",))},
            {"query": QUERY},
            "query.reads: Signin is not read",
        ),
        (
            {"query": Query(finds=("kiosk",))},
            {"query": QUERY, "rows": '{"IPAddress":"203.0.113.45"}'},
            "query.finds: kiosk is not among the rows",
        ),
    ],
)
def test_one_that_fails_a_line_is_told_which(
    asks: dict[str, Any], gives: dict[str, Any], said: str
) -> None:
    (found,) = failures(replace(CASE, **asks), replace(GOOD, **gives))
    assert found.startswith(said)


def test_a_query_that_could_not_be_run_here_is_not_held_against_the_model() -> None:
    case = replace(CASE, must=(), query=Query(reads=("SigninLogs",), finds=("kiosk",)))
    assert failures(case, replace(GOOD, query=QUERY, rows=None)) == ()


# --- the cases' files ----------------------------------------------------------------------------


def test_every_case_can_be_read() -> None:
    cases = read_cases()
    assert len([case for case in cases if not case.needs_model]) >= 30
    assert len({case.incident for case in cases}) >= 10
    assert all(case.about.endswith(".") for case in cases)
    folders = {path.name for path in CASES.iterdir()}
    assert folders == {case.name for case in cases}, "a folder without a case.yaml"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("say: hi\nincident: 3177\nmust: [a]", "it needs `about`"),
        ("about: A.\nincident: 3177\nmust: [a]", "it needs `say`"),
        ("about: A.\nsay: hi\nmust: [a]", "it needs `incident`, or an incident.yaml beside it"),
        ("about: A.\nsay: hi\nincident: 3177", "it needs `must` or `query`"),
        ("about: A.\nsay: hi\nincident: x\nmust: [a]", "incident is a whole number"),
        ("about: A.\nsay: hi\nincident: 1\nmust: a", "must is a list"),
        ("about: A.\nsay: hi\nincident: 1\nmust: [1]", "must is a list of texts"),
        ("about: A.\nsay: hi\nincident: 1\nmust: ['/(/']", "is no regular expression"),
        ("about: A.\nsay: [hi]\nincident: 1\nmust: [a]", "say is a text"),
        ("about: A.\nsay: hi\nincident: 1\nmsut: [a]", "there is nothing called `msut`"),
        ("about: A.\nsay: hi\nincident: 1\nquery: {tables: [A]}", "nothing called `query.tables`"),
        ("about: A.\nsay: hi\nincident: 1\nquery: yes", "query holds names and values"),
        ("about: A.\nsay: hi\nincident: 1\nmust: [a]\nlanguage: it", "language is one of en, de"),
        ("about: A.\nsay: hi\nincident: 1\nmust: [a]\nearlier: [{question: b}]", "needs `answer`"),
        ("about: 'A", "a-case: while scanning"),
        ("- about", "case.yaml holds names and values"),
    ],
)
def test_what_is_wrong_with_a_case_is_said(tmp_path: Path, written: str, said: str) -> None:
    _write(tmp_path / "a-case" / "case.yaml", written)
    with pytest.raises(CaseError) as wrong:
        read_cases(tmp_path)
    assert said in str(wrong.value)
    assert str(wrong.value).startswith("a-case: ")


@pytest.mark.parametrize(
    ("case", "incident", "said"),
    [
        ("incident: 3177", "number: 9", "carries the `number`, and case.yaml none"),
        ("", "number: 9\ncreated: 2026-11-24T08:00:00Z", "a time in incident.yaml stands in quote"),
        ("", "title: no number", "carries the `number`"),
    ],
)
def test_what_is_wrong_with_its_own_incident(
    tmp_path: Path, case: str, incident: str, said: str
) -> None:
    _write(tmp_path / "a-case" / "case.yaml", f"about: A.\nsay: hi\nmust: [a]\n{case}")
    _write(tmp_path / "a-case" / "incident.yaml", incident)
    with pytest.raises(CaseError, match=said):
        read_cases(tmp_path)


def test_two_cases_do_not_describe_one_incident(tmp_path: Path) -> None:
    for name in "ab":
        _write(tmp_path / name / "case.yaml", "about: A.\nsay: hi\nmust: [a]")
        _write(tmp_path / name / "incident.yaml", "number: 9")
    with pytest.raises(CaseError, match="incident 9 is described twice"):
        read_cases(tmp_path)


def test_a_folder_without_cases_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="holds no case"):
        read_cases(tmp_path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
