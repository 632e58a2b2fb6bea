"""Nothing in untrusted text is live once it is rendered, wherever it goes."""

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.domain.rendering import (
    addresses,
    cut_html,
    defang,
    folded,
    for_sentinel,
    for_teams,
    plain,
    stable_part,
    unmarked,
    visible,
)

HIDDEN = re.compile(
    "[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e0fff]"
)
# What GitHub's Markdown makes a link of without any brackets (GFM spec, 6.9), and other clients
# with any letter in front.
AUTOLINK = re.compile(r"(?:https?|ftps?|file)://|\bwww\.|(?<![:/\w])//(?=\w)", re.IGNORECASE)

LIVE = [
    "[a](https://evil.example)",
    "[a](evil.example)",
    "[a](<https://evil.example> 'title')",
    "[a]\u200b(https://evil.example)",
    "[a]\ufe0f(https://evil.example)",
    "[a][b]\n\n[b]: https://evil.example",
    "[a]\n\n[a]: search-ms:query=x",
    "[a][]\n\n[a]:\nhttps://evil.example",
    "![p](https://evil.example/p.png)",
    "!\u2060[p](https://evil.example/p.png)",
    "[![p](https://evil.example/p)](https://evil.example)",
    "<https://evil.example>",
    "<mailto:a@evil.example>",
    "<img src=x onerror=alert(1)>",
    "<IMG\nsrc=x>",
    "</p><script>alert(1)</script>",
    "<!-- x --><![CDATA[x]]><?x?>",
    "<at>Everyone</at>",
    "&lt;img src=x&gt; &#60;b&#62;",
    "https://evil.example/a?b=https://evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "_https://evil.example_",
    "**https://evil.example**",
    "(https://evil.example)",
    "1https://evil.example xhttps://evil.example",
    "访问https://evil.example",
    "https:\\\\evil.example",
    "https://evil\u3002example",
    "https&#58;//evil.example &#104;ttps://evil.example",
    "https:&#x2f;&#x2F;evil.example",
    "www.evil.example WWW.evil.example xwww.evil.example",
    "//evil.example/a ///evil.example",
    "ftp://evil.example ftps://evil.example file://evil.example/a",
    "msteams://l/chat ms-word:ofe|u|https://evil.example",
    "mailto:a@evil.example tel:+491234 javascript:alert(1) data:text/html;base64,PHA+",
    "safe\u202etxt.exe\u200b\u2066 &#8238; &rlm; &#x200B;",
    "\U000e0041\U000e0042 \ud800",
    "${secret} {{DATE(2026-11-24T09:00:00Z,SHORT)}} {{{x}}} $${{x}}",
    "```\n[a](https://evil.example)\n<img>\n```",
    "| a | b |\n|---|---|\n| [x](https://evil.example) | www.evil.example |",
    "[a](https://evil.example\r\n)",
    "\x00<\x00img>\x1b[31m",
]
HARMLESS = [
    "",
    "The account **lena.fischer@contoso.com** signed in from 203.0.113.45 [3][4].",
    "# Heading\n\n1. one\n2. two\n\n> quote\n\n- a\n- b",
    "The data: 3 rows. HTTP: 404. Tel: none. metadata:x 10:42",
    "`SigninLogs | where Count < 5 and x <= 3 // a comment`",
    "AT&T & co; R&D",
    "\\\\server\\share\\x.exe C:\\Windows",
    "a/b//c d:e ::1 2001:db8::1",
]

# Texts made of what is dangerous: much more telling than random letters.
PIECES = [*"[]()!<>:/\\&#;${}|`*_~ \n\t\r.-+=?@0aZ漢\x00", "\u200b", "\u202e", "\ufe0f", "\u2028"]
PIECES += ["http", "https://", "www.", "evil.example", "mailto:", "img ", "&#", "&lt;", "```"]
wild = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60)
several = settings(max_examples=150, deadline=None)


def parsed(markdown: str) -> list[str]:
    """The kinds of everything a Markdown client would make of a text."""
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(markdown)
    return [each.type for token in tokens for each in (token, *(token.children or ()))]


def assert_inert(markdown: str) -> None:
    assert not {"link_open", "image", "html_inline", "html_block"} & set(parsed(markdown)), markdown
    assert not AUTOLINK.search(markdown), markdown
    rendered = html.unescape(MarkdownIt().render(markdown))
    for form in (markdown, rendered):
        assert not HIDDEN.search(form), form
        assert "${" not in form and "{{" not in form, form


# --- Teams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", LIVE)
def test_nothing_is_live_in_teams(text: str) -> None:
    assert_inert(for_teams(text))


@several
@given(wild)
@example("{{{")
@example("](\u200b](")
@example("_https://x")
def test_nothing_of_any_text_is_live_in_teams(text: str) -> None:
    assert_inert(for_teams(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HARMLESS[1], HARMLESS[1].replace("][", "] [")),
        *((text, text) for text in HARMLESS if text != HARMLESS[1]),
        ("https://evil.example/a.b?c=d.e", "hxxps://evil[.]example/a.b?c=d.e"),
        ("[a](http://x.y:80/z)", "[a] (hxxp://x[.]y:80/z)"),
        ("ftp://x.y", "fxp://x[.]y"),
        ("www.x.y", "www[.]x[.]y"),
        ("hxxps://x[.]y/z", "hxxps://x[.]y/z"),
        ("a <b> c", "a &lt;b> c"),
        ("a\u200bb", "a[U+200B]b"),
        ("⚠\ufe0f **Warning**", "⚠ **Warning**"),
        ("a\r\nb\rc\x00d", "a\nb\nc d"),
    ],
)
def test_what_is_harmless_stays_readable(text: str, shown: str) -> None:
    assert for_teams(text) == shown


@several
@given(wild, st.integers(0, 200))
@example("see https://evil.example now", 10)
@example("a]\n(b) c", 3)
@example("x\r\ny z", 2)
def test_what_is_shown_while_it_is_written_begins_the_whole(text: str, cut: int) -> None:
    """Teams refuses an update that does not begin with the one before it."""
    assert for_teams(text).startswith(for_teams(stable_part(text[:cut])))


@several
@given(wild)
def test_defanging_and_spelling_out_twice_is_doing_it_once(text: str) -> None:
    assert defang(defang(text)) == defang(text)
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    ("text", "stable"),
    [("", ""), ("word", ""), ("one two", "one "), ("one\ntwo", "one\n"), ("one two ", "one two ")],
)
def test_a_word_that_is_not_finished_is_not_shown(text: str, stable: str) -> None:
    assert stable_part(text) == stable


# --- one line ------------------------------------------------------------------------------------

MARKUP = ["# h", "**b** _i_ `c` ~~s~~", "> q", "1. x", "1) x", "- x", "- - -", "---", "-", "+ x"]
MARKUP += ["* x", "***", "===", "| a |", "    code", "a\n===", "\\*a\\*", "1.", "&copy;", "[ ] x"]


@pytest.mark.parametrize("text", [*LIVE, *MARKUP])
def test_a_plain_line_has_no_markup_at_all(text: str) -> None:
    line = plain(text, 500)
    assert_inert(line)
    kinds = set(parsed(line)) - {"paragraph_open", "paragraph_close", "inline", "softbreak"}
    assert kinds <= {"text", "text_special"}, line
    assert "\n" not in line


@several
@given(wild)
def test_no_text_has_markup_as_a_plain_line(text: str) -> None:
    line = plain(text, 60)
    assert_inert(line)
    assert set(parsed(line)) <= {
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }


@pytest.mark.parametrize("text", [*MARKUP, "an ordinary title (finance) #3", "x < 5 && y"])
def test_a_plain_line_reads_as_the_text_did(text: str) -> None:
    shown = re.sub("<.*?>", "", MarkdownIt().render(plain(text, 500)))
    assert html.unescape(shown).strip() == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("one  two\nthree", 20, "one two three"),
        ("one two three", 9, "one two…"),
        ("https://evil.example", 99, "hxxps://evil[.]example"),
        ("<b>*x*</b>", 99, "< b>*x*< /b>"),
        ("x < 5, a<5", 99, "x < 5, a<5"),
        ("${x} {{y}}", 99, "$ {x} { {y}}"),
        ("![p](evil.example) [a][b]", 99, "! [p] (evil.example) [a] [b]"),
        ("a\u202eb", 99, "a[U+202E]b"),
        (" ", 9, ""),
    ],
)
def test_a_line_for_a_field_without_markup(text: str, limit: int, line: str) -> None:
    assert unmarked(text, limit) == line


@several
@given(wild, st.integers(1, 80))
def test_a_line_keeps_to_its_limit(text: str, limit: int) -> None:
    line = unmarked(text, limit)
    assert len(line) <= limit and "\n" not in line
    assert not {"link_open", "image", "html_inline", "html_block"} & set(parsed(line)), line
    assert not HIDDEN.search(line) and not AUTOLINK.search(line)


# --- Sentinel ------------------------------------------------------------------------------------

ALLOWED = {"p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "h3", "h4", "hr"}
ALLOWED |= {"blockquote", "table", "thead", "tbody", "tr", "th", "td"}


class Reader(HTMLParser):
    """Reads HTML strictly: known tags, no attributes, everything that opens closes in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED and attrs == [], (tag, attrs)
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment

    @property
    def text(self) -> str:
        return "".join(self.words)


def assert_safe_html(written: str) -> None:
    text = "\n".join(Reader(written).words)
    assert not AUTOLINK.search(text) and not HIDDEN.search(text), written
    # The portal reads comments as Markdown, too.
    assert not re.search(r"\]\(|!\[|\]\[|\]:", text), written


@pytest.mark.parametrize("text", [*LIVE, *HARMLESS, *MARKUP])
def test_sentinel_gets_escaped_html_of_few_tags(text: str) -> None:
    assert_safe_html(for_sentinel(text))


@several
@given(wild)
@example("/\\/0")
@example("www\\.evil.example")
@example("https\\://evil.example")
def test_sentinel_gets_such_html_of_any_text(text: str) -> None:
    assert_safe_html(for_sentinel(text))


@pytest.mark.parametrize(
    ("markdown", "written"),
    [
        ("", ""),
        ("**a** _b_ `c<d`", "<p><strong>a</strong> <em>b</em> <code>c&lt;d</code></p>"),
        (
            "# one\n## two\n### three\n###### six",
            "<h4>one</h4>\n<h4>two</h4>\n<h3>three</h3>\n<h4>six</h4>",
        ),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("```kusto\nT | take 5\n```", "<pre><code>T | take 5\n</code></pre>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("a & b &amp; c", "<p>a &amp; b &amp;amp; c</p>"),
        ("[a](https://x.y)", "<p>[a] (hxxps://x[.]y)</p>"),
    ],
)
def test_what_is_written_to_sentinel(markdown: str, written: str) -> None:
    assert for_sentinel(markdown) == written


LONG = "**one** two & three < four\n\n> - `five`\n>   1. six &copy; seven\n\n| a |\n|--|\n| 1 |\n\n"


@pytest.mark.parametrize("limit", range(12, len(for_sentinel(LONG)) + 2))
def test_html_is_cut_without_leaving_anything_broken(limit: int) -> None:
    whole = for_sentinel(LONG)
    cut = cut_html(whole, limit)
    assert len(cut) <= limit
    shown, all_of_it = Reader(cut).text, Reader(whole).text
    if limit >= len(whole):
        assert cut == whole
    elif cut:
        assert shown.endswith("(cut)") and all_of_it.startswith(shown.removesuffix("(cut)"))


@several
@given(wild, st.integers(0, 120))
def test_any_html_of_ours_is_cut_to_its_limit(text: str, limit: int) -> None:
    cut = cut_html(for_sentinel(text), limit)
    assert len(cut) <= limit
    assert_safe_html(cut)


# --- speed and folding ---------------------------------------------------------------------------

HOSTILE = ["[", "![", "](", "<", "&#", "*a ", "`", "> ", "- ", "a.", "www.", "https://", "//", "{{"]
HOSTILE += ["|a", "_", "aaaa:", "\u200b", "\r", " ", "\n", "[a]: b\n", "&lt;", "|a|\n|-|\n", "<a "]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_long_text_takes_no_time_to_speak_of(text: str) -> None:
    """No expression looks at a character more than a bounded number of times."""
    long = text * (100_000 // len(text))
    for_teams(long)
    unmarked(long, 100)
    plain(long, 100_000)
    cut_html(for_sentinel(long), 3_000)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("IGNORE", "ignore"),
        ("\uff29gn\u200bore", "ignore"),
        ("ﬁle", "file"),
        ("Straße", "strasse"),
        ("e\u0301", "é"),
    ],
)
def test_lookalikes_fold_to_one_form(text: str, form: str) -> None:
    assert folded(text) == form


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("see https://evil.example/a?b=1. Then", ("https://evil.example/a?b=1",)),
        ("[a](http://x.y:80/z) **www.x.y**", ("http://x.y:80/z", "www.x.y")),
        ("https://x.y https://x.y", ("https://x.y",)),
        ("hxxps://x[.]y mailto:a@b.c 203.0.113.7", ()),
        ("https://x.y/\u202ea", ("https://x.y/",)),
    ],
)
def test_addresses_can_be_had_as_they_were(text: str, found: tuple[str, ...]) -> None:
    assert addresses(text) == found
