"""What the cards say, what their buttons carry, and what no text in them can do."""

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.cards import (
    MAX_BYTES,
    MAX_TASKS,
    Card,
    answer_card,
    close_card,
    help_card,
    history_card,
    incident_card,
    incidents_card,
    query_card,
    rows_card,
    size,
    tasks_card,
)
from bot.cards._format import age, counted, excerpt, listed, moment, period, spaced, time_of_day
from bot.domain.incident import CaseFile, Entity, Incident
from bot.domain.proposal import Item, Proposal, Write
from bot.domain.query import Column, Rows, WrittenQuery
from tests.cards.reading import buttons, fact, labels, walk, words
from tests.cards.samples import (
    ANSWER,
    BARE,
    CASE,
    CHECKED,
    INCIDENT,
    LIST,
    NOW,
    PROPOSED,
    TASKS,
    asked,
    incident,
    prepared,
    proposal,
    turn,
    write,
)

NEXT = "incidents page 2"

# --- how values read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 11, 24, 9, 2, tzinfo=UTC), "24 Nov 09:02 UTC"),
        (datetime(2026, 3, 1, 23, 59, tzinfo=UTC), "1 Mar 23:59 UTC"),
        (datetime(2025, 12, 31, 9, 2, tzinfo=UTC), "31 Dec 2025 09:02 UTC"),
        (datetime(2026, 11, 24, 1, 2, tzinfo=timezone(timedelta(hours=3))), "23 Nov 22:02 UTC"),
    ],
)
def test_a_moment_is_in_utc(at: datetime, said: str) -> None:
    assert moment(at, NOW) == said


def test_a_time_of_day_is_in_utc() -> None:
    assert time_of_day(datetime(2026, 1, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))) == (
        "23:05 UTC"
    )


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(minutes=-3), "0 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=3, minutes=50), "3 h"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=49), "2 d"),
    ],
)
def test_an_age_is_rough(ago: timedelta, said: str) -> None:
    assert age(NOW - ago, NOW) == said


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(days=7), "the last 7 days"),
        (timedelta(days=1), "the last day"),
        (timedelta(hours=36), "the last 36 hours"),
        (timedelta(hours=1), "the last hour"),
        (timedelta(minutes=90), "the last 90 minutes"),
        (timedelta(0), "the last minute"),
    ],
)
def test_a_period(span: timedelta, said: str) -> None:
    assert period(span) == said


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("InitialAccess", "Initial Access"),
        ("CommandAndControl", "Command and Control"),
        ("Impact", "Impact"),
        ("ImpairProcessControl", "Impair Process Control"),
        ("", ""),
    ],
)
def test_words_that_run_together_are_spaced(word: str, said: str) -> None:
    assert spaced(word) == said


def test_counts_and_lists() -> None:
    assert [counted(0, "task"), counted(1, "task"), counted(2, "entity", "entities")] == [
        "0 tasks",
        "1 task",
        "2 entities",
    ]
    assert listed("ab", 9) == "a, b"
    assert listed("abcdefgh", 9) == "a, b, c, d, e, f and 2 more"


def test_an_excerpt_keeps_structure_and_says_that_it_is_cut() -> None:
    assert excerpt(" **a** `b` ", 9) == "**a** `b`"
    assert excerpt("one two three", 8) == "one two…"
    assert excerpt("{{DATE(2026-11-24T09:00:00Z,SHORT)}}", 99).startswith("{ {DATE")


# --- what the cards say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "colour"),
    [("High", "attention"), ("Medium", "warning"), ("low", "accent"), ("Odd", "default")],
)
def test_a_severity_has_its_colour(severity: str, colour: str) -> None:
    block = [part for part in walk(incident_card(incident(1, severity), NOW)) if "color" in part]
    assert [(part["text"], part["color"]) for part in block] == [(severity, colour)]


def test_an_incident_tells_what_is_known_of_it() -> None:
    announced, opened = incident_card(INCIDENT, NOW), incident_card(CASE, NOW)
    assert fact(announced, "Contains") == "3 alerts, 2 comments"
    assert fact(opened, "Contains") == "3 alerts, 3 entities, 2 comments, 2 tasks (1 completed)"
    assert fact(opened, "Tactics") == "Initial Access, Command and Control"
    assert fact(incident_card(replace(INCIDENT, owner=""), NOW), "Owner") == "nobody yet"
    assert fact(incident_card(BARE, NOW), "Activity") is None
    closed = replace(INCIDENT, status="Closed", classification="TruePositive")
    assert "Closed as true positive" in words(incident_card(closed, NOW))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://portal.azure.com/#asset/x", True),
        ("http://127.0.0.1:3980/incidents/1", True),
        ("", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://", False),
        ("https://[", False),
        ("https://portal.azure.com/ x", False),
        ("https://portal.azure.com/${x}", False),
        ("https://portal.azure.com/\u202e", False),
        ("https://portal.azure.com/" + "x" * 2_000, False),
    ],
)
def test_only_a_plain_web_address_becomes_a_link(url: str, shown: bool) -> None:
    card = incident_card(replace(INCIDENT, url=url), NOW)
    assert ("Open in Sentinel" in labels(card)) is shown
    assert [one["url"] for one in buttons(card) if "url" in one] == [url] * shown


def test_a_list_holds_ten_incidents_and_says_when_there_are_more() -> None:
    many = [incident(number, "Low") for number in range(1, 13)]
    assert labels(incidents_card(many, NOW)) == ["Open"] * 10
    for card, more in [
        (incidents_card(many, NOW), True),
        (incidents_card(LIST, NOW, NEXT), True),
        (incidents_card(LIST, NOW), False),
    ]:
        assert any("There are more" in line for line in words(card)) is more


def test_a_history_shows_the_newest_turns_and_counts_the_rest() -> None:
    shown = words(history_card([turn(number) for number in range(1, 12)], INCIDENT, NOW))
    assert "and 3 earlier" in shown
    questions = [line for line in shown if line.startswith("Question")]
    assert [line.split(":")[0] for line in questions] == [f"Question {n}" for n in range(4, 12)]


def test_a_long_answer_is_cut_in_the_history() -> None:
    shown = words(history_card([turn(1, answer="long " * 500)], INCIDENT, NOW))
    assert max(map(len, shown)) <= 300
    assert shown[-1].endswith("…")


def test_no_more_than_four_warnings_are_spelled_out() -> None:
    shown = words(answer_card(ANSWER, [], [f"warning {number}" for number in range(9)]))
    assert shown[:5] == ["warning 0", "warning 1", "warning 2", "warning 3", "and 5 more"]


# --- what the buttons do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writes", "offered", "said"),
    [
        ([], ["Add as task", "Add as comment"], []),
        ([write("task", 0, done=False)], ["Add as task", "Add as comment"], []),
        ([write("task", 0)], ["Add as comment"], ["✓ Added as task by Dana Okafor, 10:02 UTC"]),
        (
            [write("comment", 0, by="Sam")],
            ["Add as task"],
            ["✓ Added as comment by Sam, 10:02 UTC"],
        ),
        (
            [write("comment", 0), write("task", 0)],
            [],
            [f"✓ Added as {kind} by Dana Okafor, 10:02 UTC" for kind in ("task", "comment")],
        ),
    ],
)
def test_an_answer_is_added_as_either(
    writes: list[Write], offered: list[str], said: list[str]
) -> None:
    card = answer_card(ANSWER, writes)
    assert labels(card) == [*offered, "Write a query"]
    assert [line for line in words(card) if "Added" in line] == said


@pytest.mark.parametrize(
    ("writes", "single", "all_of_them"),
    [
        ([], 4, ["Add all", "Also as a comment"]),
        ([write("task", 2, done=False)], 4, ["Add all", "Also as a comment"]),
        ([write("task", 2)], 3, ["Add the other 3", "Also as a comment"]),
        ([write("task", n) for n in (0, 1, 3)], 1, ["Add the last one", "Also as a comment"]),
        ([write("task", n) for n in range(4)], 0, ["Also as a comment"]),
        ([write("comment", 0)], 4, ["Add all"]),
        ([write("comment", -1), *(write("task", n) for n in range(4))], 0, []),
    ],
)
def test_tasks_are_added_one_by_one_or_together(
    writes: list[Write], single: int, all_of_them: list[str]
) -> None:
    card = tasks_card(PROPOSED, writes)
    assert labels(card).count("Add task") == single
    assert [one["title"] for one in card.get("actions", [])] == all_of_them
    done = sum(one.done for one in writes)
    assert sum("Added" in line for line in words(card)) == done


def test_tasks_beyond_what_a_card_holds_are_counted() -> None:
    card = tasks_card(proposal(*[Item("t", "x")] * (MAX_TASKS + 3)), [])
    assert labels(card).count("Add task") == MAX_TASKS
    assert "and 3 more" in words(card)


@pytest.mark.parametrize(("length", "said"), [(100, False), (3_000, True)])
def test_a_card_says_when_a_task_is_cut(length: int, said: bool) -> None:
    card = tasks_card(proposal(Item("t", "x" * length)), [])
    assert any("cut here" in line for line in words(card)) is said


def test_a_button_carries_opaque_ids_only() -> None:
    add = {"verb": "add", "proposal": PROPOSED.id}
    sent = {json.dumps(one["data"], sort_keys=True) for one in buttons(tasks_card(PROPOSED, []))}
    wanted = [add | {"as": "task", "item": item} for item in (0, 1, 2, 3, "all")]
    wanted.append(add | {"as": "comment", "item": "all"})
    assert sent == {json.dumps(data, sort_keys=True) for data in wanted}
    assert [one["data"] for one in buttons(answer_card(ANSWER, []))] == [
        {"verb": "add", "proposal": ANSWER.id, "as": "task", "item": 0},
        {"verb": "add", "proposal": ANSWER.id, "as": "comment", "item": 0},
        {"verb": "kql", "proposal": ANSWER.id},
    ]
    assert buttons(incidents_card([INCIDENT], NOW))[0]["data"] == {
        "verb": "incident",
        "workspace": "soc-emea",
        "incident": "73e01a99-5cd7-4139-a149-9f2736ff2ab5",
    }


@pytest.mark.parametrize(
    "card",
    [tasks_card(PROPOSED, []), answer_card(ANSWER, []), incidents_card(LIST, NOW, NEXT)],
)
def test_no_text_that_would_be_written_is_in_a_button(card: Card) -> None:
    carried = [json.dumps(part["data"]) for part in walk(card) if "data" in part]
    texts = [text for item in (*TASKS, *ANSWER.items) for text in (item.title, item.text)]
    texts += [one.title for one in LIST]
    assert carried and not [text for text in texts for data in carried if text in data]


@pytest.mark.parametrize(
    "card", [tasks_card(PROPOSED, []), incidents_card(LIST, NOW), close_card(INCIDENT)]
)
def test_an_old_client_submits_the_same_data(card: Card) -> None:
    for one in buttons(card):
        assert one["type"] == "Action.Execute"
        assert one["verb"] == one["data"]["verb"]
        assert one["fallback"] == {
            "type": "Action.Submit",
            "title": one["title"],
            "data": one["data"],
        }


WORDS = ("incidents", "summary", "tasks", "kql", "history")


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("New", {"assign", "severity", "active", "close"}),
        ("Active", {"assign", "severity", "new", "close"}),
        ("Odd", {"assign", "severity", "active", "close"}),
        ("Closed", {"reopen"}),
    ],
)
def test_an_incident_offers_what_can_be_changed(status: str, offered: set[str]) -> None:
    card = incident_card(replace(INCIDENT, status=status), NOW)
    acts = [one["data"] for one in buttons(card) if one.get("verb") == "act"]
    ids = {"verb": "act", "workspace": "soc-emea", "incident": INCIDENT.ref.id}
    assert [data for data in acts if {**data, **ids} != data] == []
    assert {data["as"] for data in acts} == offered
    assert all(len(data) == 4 for data in acts), "nothing else is carried"
    inputs = [part for part in walk(card) if str(part.get("type", "")).startswith("Input.")]
    assert {one["id"] for one in inputs} <= {"severity", "verdict", "comment"}
    assert len({one["id"] for one in inputs}) == len(inputs)


def test_the_severity_to_choose_begins_with_what_it_is() -> None:
    def chosen(severity: str) -> Any:
        card = incident_card(replace(INCIDENT, severity=severity), NOW)
        return next(part for part in walk(card) if part.get("id") == "severity").get("value")

    assert (chosen("Low"), chosen("Odd")) == ("Low", None)


def test_words_are_said_by_the_analyst() -> None:
    said = [
        [one["data"] for one in buttons(card) if one["type"] == "Action.Submit"]
        for card in (help_card(), incident_card(INCIDENT, NOW))
    ]
    assert said == [
        [{"verb": "say", "words": word} for word in WORDS],
        [{"verb": "say", "words": word} for word in ("summary #3177", "tasks #3177")],
    ]


# --- what no text can do -------------------------------------------------------------------------

HOSTILE = (
    "[click](https://evil.example/a)",
    "![p](https://evil.example/p.png)",
    "<https://evil.example>",
    "https://evil.example/b www.evil.example",
    "<at>Everyone</at>",
    "<img src=x onerror=alert(1)>",
    "${secret}",
    "{{DATE(2026-11-24T09:00:00Z,SHORT)}}",
    "safe\u202etxt.exe\u200b\u2066",
    "# not a heading",
    "**not** _bold_ `code`",
    "[a]\n\n[a]: search-ms:query=x",
)


def with_hostile_text(text: str) -> list[Card]:
    """Every card, with `text` wherever a text can come from outside."""
    case = CaseFile(
        replace(
            INCIDENT,
            **{one: text for one in ("title", "severity", "status", "owner", "classification")},
            **{one: (text,) for one in ("tactics", "techniques", "labels", "products")},
            url=text,
        ),
        entities=(Entity("e", text, text),),
    )
    source = replace(ANSWER.provenance, model=text, prompt=text)
    proposed = replace(proposal(Item(text, text)), provenance=source)
    written = WrittenQuery(text, text, (text,), None, (text,), (text,))
    columns = (Column(text, "string"), Column(text, "dynamic"))
    return [
        incident_card(case, NOW, [text]),
        close_card(case.incident),
        incidents_card([case.incident], NOW, NEXT),
        answer_card(proposed, [write("task", 0, by=text)], [text], text),
        tasks_card(proposed, [], [text]),
        tasks_card(proposed, [write("task", 0, by=text)]),
        history_card([turn(1, question=text, answer=text)], case.incident, NOW),
        query_card(
            asked(written, provenance=source), [write("task", 0, by=text)], [text], text, text
        ),
        query_card(asked(replace(written, refused=True), provenance=source), link=text),
        rows_card(Rows(columns, ((text, {text: text}),), text), written, NOW, text),
        rows_card(Rows(columns, ((text, [text]),) * 2, text), written, NOW, text),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_never_live(text: str) -> None:
    markdown = MarkdownIt("commonmark", {"html": True})
    for card in with_hostile_text(text):
        assert "Action.OpenUrl" not in json.dumps(card)
        for line in words(card):
            assert not re.search(r"<(a|img|at)\b", markdown.render(line)), line
            assert not re.search(
                r"\$\{|\{\{|https?://|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", line
            )
        for run in (run["text"] for part in walk(card) for run in part.get("inlines", [])):
            assert not re.search(
                r"\$\{|\{\{|://|<at|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", run
            )


@pytest.mark.parametrize("text", ["# head", "**b** _i_ `c`", "[a](b)", "~~x~~ | y"])
def test_a_one_line_text_has_no_markup(text: str) -> None:
    shown = words(incident_card(replace(BARE, title=text), NOW))[1]
    assert re.sub(r"<.*?>", "", MarkdownIt().render(shown)).strip() in (text, "[a] (b)")


# --- size ----------------------------------------------------------------------------------------

bounded = settings(max_examples=25, deadline=None, database=None, derandomize=True)

# Characters that grow most on their way to JSON, and ordinary ones.
NASTY = st.text(st.sampled_from('\U0001f600\u200b\U000e0001<*\\"{}[]().$/\nwhtp: 漢é\x00'))


def long_texts(longest: int) -> st.SearchStrategy[str]:
    return st.builds(
        lambda text, times: (text * times)[:longest],
        NASTY | st.text(max_size=20) | st.just("www.." * 9),
        st.integers(0, 5_000),
    )


NAMES = st.sampled_from(["", "n" * 60])


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    text, texts = long_texts(5_000), st.lists(long_texts(200), max_size=8).map(tuple)
    texts_of = [one.name for one in fields(Incident) if one.default == "" and one.name != "where"]
    values = {name: draw(text) for name in texts_of}
    lists = {one.name: draw(texts) for one in fields(Incident) if one.default == ()}
    return replace(
        INCIDENT, **values, **lists, title=draw(text), severity=draw(text), where=draw(NAMES)
    )


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    text = long_texts(5_000)
    items = draw(st.lists(st.builds(Item, text, text), max_size=MAX_TASKS + 2))
    source = replace(ANSWER.provenance, model=draw(text), prompt=draw(text))
    return replace(proposal(*items, id="p" * 64), provenance=source)


@bounded
@given(st.lists(incidents(), min_size=1, max_size=11), st.lists(long_texts(900), max_size=9))
def test_incidents_of_any_size_fit(several: list[Incident], warnings: list[str]) -> None:
    case = CaseFile(several[0], entities=(Entity("e", "Host", several[0].title),) * 40)
    assert size(incident_card(case, NOW, warnings)) <= MAX_BYTES
    assert size(incidents_card(several, NOW, NEXT)) <= MAX_BYTES


@bounded
@given(proposals(), long_texts(900), st.integers(0, MAX_TASKS))
def test_proposals_of_any_size_fit(proposed: Proposal, text: str, done: int) -> None:
    writes = [write("task", index, by=text) for index in range(done)]
    assert size(answer_card(proposed, writes, [text] * 9, text)) <= MAX_BYTES
    assert size(tasks_card(proposed, [*writes, write("comment", 0, by=text)], [text] * 9)) <= (
        MAX_BYTES
    )


@bounded
@given(st.lists(long_texts(9_000), max_size=20), long_texts(900))
def test_histories_of_any_size_fit(texts: list[str], title: str) -> None:
    turns = [turn(n, question=text, answer=text) for n, text in enumerate(texts)]
    assert size(history_card(turns, replace(INCIDENT, title=title), NOW)) <= MAX_BYTES


@pytest.mark.parametrize(
    "text", ["\U0001f600", "\U000e0001", "\u200b", "www..", "<", "*", '"', "\\"]
)
def test_the_fullest_cards_fit(text: str) -> None:
    full = text * 1_000
    tasks = proposal(*[Item(full, full)] * (MAX_TASKS + 1), id="p" * 64)
    values: dict[str, Any] = {one.name: full for one in fields(Incident) if one.default == ""}
    values["where"] = "n" * 60
    values |= {one.name: (full,) * 99 for one in fields(Incident) if one.default == ()}
    values["url"] = "https://portal.azure.com/" + "x" * 1_900
    case = CaseFile(replace(INCIDENT, **values), entities=(Entity("e", full, full),) * 99)
    items = [Item(full, full, "comment"), *[Item(full, full)] * MAX_TASKS, Item(full, full)]
    query = replace(CHECKED, explanation=full, problems=(full,) * 9, cautions=(full,) * 9)
    playbook = prepared(query, items=tuple(items), secret="s" * 22)
    sealed = playbook.shown_in("t" * 36, "19:chat")
    kinds = ["comment", *["task"] * (MAX_TASKS + 1)]
    added = [write(kind, index, by=full) for index, kind in enumerate(kinds)]
    for card in (
        tasks_card(tasks, [], [full] * 9),
        tasks_card(tasks, [write("task", n, by=full) for n in range(MAX_TASKS)], [full] * 9),
        answer_card(tasks, [], [full] * 9, full),
        incident_card(case, NOW, [full] * 9),
        incident_card(case, NOW, [full] * 9, "done", sealed),
        incident_card(case, NOW, [full] * 9, "done", sealed, added),
        incidents_card([case.incident] * 12, NOW, NEXT),
        history_card([turn(n, question=full, answer=full) for n in range(20)], INCIDENT, NOW),
    ):
        assert size(card) <= MAX_BYTES


def test_ordinary_tasks_are_shown_whole() -> None:
    text = "Search SigninLogs of the last week for the address and note every account. " * 4
    card = tasks_card(proposal(*[Item("Look for other sign-ins", text)] * MAX_TASKS), [])
    assert not any("cut here" in line for line in words(card))
