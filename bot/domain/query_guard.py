"""Keeps a query read-only and inside its workspace, whoever wrote it.

The guard decides on tokens: its own lexer's, and the language service's where that is loaded; what
either shows is refused. It is the stricter part of a pair, so it refuses a name in any case and
however it is quoted. Not its matter is what a function saved in the workspace does inside: that is
the workspace owner's word, not the query's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from .query import MAX_QUERY_CHARS, Token, Verdict
from .query_lexer import lex, returns_rows, statements, unquoted

# Calls that leave the workspace, and what they read. As column names all of these are welcome.
_FOREIGN = {
    "adx": "an Azure Data Explorer cluster",
    "app": "an Application Insights app",
    "arg": "Azure Resource Graph",
    "cluster": "another cluster",
    "database": "another database",
    "external_table": "files outside the workspace",
    "externaldata": "files from a web address",
    "resource": "another Azure resource",
    "stored_query_result": "another query's stored result",
    "workspace": "another workspace",
}
# Words that are refused even without a parenthesis: what follows them is never this workspace.
_FOREIGN_WORDS = {
    "externaldata": _FOREIGN["externaldata"],
    "external_data": _FOREIGN["externaldata"],
    "entity_group": "other clusters and databases",
    "macro-expand": "other clusters and databases",
}
# Plug-ins that only compute on the rows they are given; the others call out or run code.
_PLUGIN = re.compile(
    "active_users_count|activity_counts_metrics|activity_engagement|activity_metrics|autocluster"
    "|bag_unpack|basket|dcount_intersect|diffpatterns|diffpatterns_text|funnel_sequence"
    "|funnel_sequence_completion|ipv4_lookup|ipv6_lookup|narrow|new_activity_metrics|pivot"
    "|rolling_percentile|rows_near|sequence_detect|session_count|sliding_window_counts"
)
_HINTS = re.compile(r"(?:hint\.\w+=\w+)*")
_COMMAND = re.compile(
    "add|alter|append|assign|attach|cancel|clear|copy|create|delete|detach|disable|drop|enable"
    "|execute|export|ingest|merge|move|purge|rebuild|remove|rename|replace|save|seal|set|show|undo"
)
_TIME = re.compile(r"ago|datetime\(.*|.*(?:time|timestamp|timegenerated)(?:_[a-z]+)?")
_SOURCELESS = frozenset({"print", "range", "datatable", "_getwatchlist"})
_BEGINS = frozenset(";{(")


class _Word(NamedTuple):
    """A token that counts; of a name in brackets the name, as kind `quoted`."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def named(self) -> str:
        """The name that it is, in lower case, or nothing."""
        return self.text.lower() if self.kind in ("name", "quoted") else ""

    @property
    def keyword(self) -> str:
        """The word that it is, in lower case, or nothing; a quoted name is no keyword."""
        return self.text.lower() if self.kind == "name" else ""


_EDGE = _Word("operator", ";", -1, -1)


def guard(query: str, tokens: Sequence[Token] | None = None) -> Verdict:
    """Say why a query may not be run, and what an analyst should know before running it.

    `tokens` are the language service's own, where it is loaded. Each entry is a sentence.
    """
    if len(query) > MAX_QUERY_CHARS:
        return Verdict(refused=(f"The query is longer than {MAX_QUERY_CHARS:,} characters.",))
    own = lex(query)
    refused = [*_unreadable(query, own), *_refusals(own), *_refusals(tokens or ())]
    return Verdict(tuple(dict.fromkeys(refused)), tuple(dict.fromkeys(_warnings(own))))


def _unreadable(query: str, tokens: Sequence[Token]) -> Iterator[str]:
    if all(token.kind == "comment" for token in tokens):
        yield "There is no query here."
    outside, end = "", 0
    for token in tokens:
        if token.kind == "string":
            outside += query[end : token.start] + " "
            end = token.start + len(token.text)
        elif token.kind == "unknown" and not _hidden(token.text[0]):
            yield (
                f"From `{_shown(token.text)}` on the query cannot be read for certain: look "
                'for a quote or bracket that is not closed, or write @"..." around backslashes.'
            )
    if any(map(_hidden, (outside + query[end:]).replace("\r\n", "\n"))):
        yield "The query holds characters that cannot be seen, outside its strings."


def _shown(text: str) -> str:
    """Quote a query in a sentence without anything that a chat would make a link or markup of."""
    return re.sub(r"[^ -~]|[`<>\[\]/.]", "…", text[:30].strip())


def _hidden(char: str) -> bool:
    return not (char.isprintable() or char in "\t\n" or unicodedata.category(char) == "Zs")


def _refusals(tokens: Sequence[Token]) -> Iterator[str]:
    words = tuple(_words(tokens))
    for at in range(1, len(words) - 1):
        for rule in _RULES:
            if reason := rule(words, at):
                yield reason


def _words(tokens: Sequence[Token]) -> Iterator[_Word]:
    at = 0
    tokens = [token for token in tokens if token.kind != "comment"]
    yield _EDGE
    while at < len(tokens):
        start, last = tokens[at].start, _closing(tokens, at)
        if last > at:
            name = "".join(unquoted(token.text) for token in tokens[at + 1 : last])
            yield _Word("quoted", name, start, tokens[last].start + 1)
        else:
            yield _Word(tokens[at].kind, tokens[at].text, start, start + len(tokens[at].text))
        at = last + 1
    yield _EDGE


def _closing(tokens: Sequence[Token], at: int) -> int:
    """Where the bracket closes that opens here around a name; `at` itself if none does.

    The name is a string, or several side by side, which are one; or bare, for older lexers.
    """
    last = at + 1
    if tokens[at].text == "[":
        while last < len(tokens) and tokens[last].kind in ("string", "name"):
            last += 1
        if at + 1 < last < len(tokens) and tokens[last].text == "]":
            return last
    return at


# Each rule looks at one word among its neighbours, and gives a sentence where it refuses.


def _call(words: Sequence[_Word], at: int) -> str:
    name = words[at].named
    if name in _FOREIGN and words[at + 1].text == "(":
        return f"`{name}()` reads {_FOREIGN[name]}; a query may only read this workspace."
    return ""


def _word(words: Sequence[_Word], at: int) -> str:
    word = words[at].keyword
    if "".join(each.text.lower() for each in words[at : at + 3]) == "macro-expand":
        word = "macro-expand"
    if word in _FOREIGN_WORDS and words[at - 1].text != ".":
        return f"`{word}` reads {_FOREIGN_WORDS[word]}; a query may only read this workspace."
    return ""


def _alias(words: Sequence[_Word], at: int) -> str:
    if words[at].keyword != "let":
        return ""
    bare = (words[i] for i in range(at + 2, len(words)) if words[i].text not in ("(", ")"))
    meant = list(islice(bare, 3))
    if [each.text for each in meant[::2]] == ["=", ";"] and meant[1].named in _FOREIGN:
        return f"`{meant[1].named}` may not be given another name."
    return ""


def _plugin(words: Sequence[_Word], at: int) -> str:
    after = words[at + 1]
    if words[at].keyword != "evaluate" or not (after.named or after.text == "("):
        return ""
    # A plug-in and its hints are a few words; what is longer is not one.
    near = words[at + 1 : at + 40]
    head = near[: [*(word.text for word in near), "("].index("(")]
    name = head[-1].named if head else ""
    if _PLUGIN.fullmatch(name) and _HINTS.fullmatch("".join(word.text for word in head[:-1])):
        return ""
    return f"`evaluate {_shown(name)}` is not one of the plug-ins that only compute on rows."


def _statement(words: Sequence[_Word], at: int) -> str:
    word = words[at].keyword
    if words[at - 1].text not in _BEGINS or not words[at + 1].named:
        return ""
    if word == "set":
        return "`set` changes the limits that a query runs under; they are set for it."
    return "`alias` gives another database a name here." if word == "alias" else ""


def _command(words: Sequence[_Word], at: int) -> str:
    before, word, after = words[at - 1 : at + 2]
    if word.text != "." or not (after.keyword or before.text in _BEGINS):
        return ""
    member = before.kind in ("name", "quoted", "string") or before.text in (")", "]")
    if member and (before.end == word.start or not _COMMAND.fullmatch(after.keyword)):
        return ""
    return f"`.{_shown(after.text)}` would be a management command; a query may only read."


def _directive(words: Sequence[_Word], at: int) -> str:
    return "A line with # steers another tool." if words[at].kind == "directive" else ""


_RULES: tuple[Callable[[Sequence[_Word], int], str], ...] = (
    _call,
    _word,
    _alias,
    _plugin,
    _statement,
    _command,
    _directive,
)


def _warnings(tokens: Sequence[Token]) -> Iterator[str]:
    tables = [each for each in statements(tokens) if returns_rows(each)]
    operators = [word.keyword for word in _piped(tokens)]
    if len(tables) > 1 or not {"fork", "facet"}.isdisjoint(operators):
        yield "The query returns more than one table; not all of them may be shown."
    for name in ("search", "find"):
        if name in operators:
            yield f"`{name}` reads every column of every table it can; naming the table is faster."
    if _reads_all(tokens):
        yield "`union *` reads every table of the workspace; naming the tables is faster."
    sources = {each[0].text.lower() for each in tables}
    if not sources <= _SOURCELESS and not _filters_time(tokens):
        yield "The query has no time filter of its own; only the chosen time range limits it."


def _piped(tokens: Sequence[Token]) -> Iterator[_Word]:
    """Find the words that can only be an operator's name."""
    words = tuple(_words(tokens))
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        if before.text in (";", "|", "(", "{", "=") and (
            after.named or after.kind == "string" or after.text in ("(", "*")
        ):
            yield word


def _reads_all(tokens: Sequence[Token]) -> bool:
    """Find a `*` that stands for a table of its own after `union`, not the end of `Device*`."""
    within, end = False, -1
    for token in tokens:
        if token.text.lower() == "union":
            within = True
        elif token.text in "|;)":
            within = False
        elif within and token.text == "*" and token.start > end:
            return True
        end = token.start + len(token.text)
    return False


def _filters_time(tokens: Sequence[Token]) -> bool:
    """Look for a time column in a `where`, or a function's time parameter."""
    within = [False]  # for each open bracket: whether it is part of a condition
    for token in tokens:
        text = token.text.lower()
        if text in ("(", "[", "{"):
            within.append(within[-1])
        elif text in (")", "]", "}"):
            within = within[:-1] or [False]
        elif text in ("where", "filter", "|", ";"):
            within[-1] = text in ("where", "filter")
        elif token.kind in ("name", "number") and (
            text == "starttime" or (within[-1] and _TIME.fullmatch(text))
        ):
            return True
    return False
