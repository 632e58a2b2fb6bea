"""Makes untrusted text harmless on its way out: to Teams, to Sentinel, and onto a card.

Whatever a model, an incident or a log row says passes one of these functions before it is sent or
written. Nothing in such text becomes a link, an image, a mention, markup or a card expression, and
characters that hide or reorder text are made visible.
"""

from __future__ import annotations

import re
import unicodedata

import nh3
from markdown_it import MarkdownIt

# Zero-width, joiner and bidirectional controls, and the byte order mark: text that looks like one
# thing and is another. The joiners inside emoji are lost to this; a SOC can live with that.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# Emoji ask for their colours with these two, and models write emoji; they carry no text.
_STYLE = re.compile("[\ufe0e\ufe0f]")
# No boundary in front: `_https://` and `看https://` are links to some client.
_WEB = re.compile(r"(?:https?|ftps?)(?=:[/\\])", re.IGNORECASE)
_OTHER_SCHEME = re.compile(
    r"([a-z][a-z0-9+.-]{0,30}):(?=//)"
    r"|(?<![a-z0-9])(mailto|tel|sms|javascript|vbscript|data):(?=[\w+/])",
    re.IGNORECASE,
)
_HOST = re.compile(r"((?:hxxps?|fxps?)://|www\.)([^\s/\\?#<>()\[\]`\"']*)", re.IGNORECASE)
# A word that may hold an address; the others, most of any text, are passed over here.
_WORD = re.compile(r"(?<!\S)(?:[^\s:/w]|w(?!ww)|/(?!/))*+(?::|//|www)\S*", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~>])")


def visible(text: str) -> str:
    """Spell out characters that hide or reorder text, and drop control characters."""
    text = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii():
        return text
    text = _STYLE.sub("", text)
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def defang(text: str) -> str:
    """Write every URL so that no client makes a link of it: `hxxps://evil[.]example/a`.

    Works word by word, so that a text cut between two words gives a prefix of the whole's result:
    a stream of updates needs that.
    """
    return _WORD.sub(_defang_word, text)


_ADDRESS = re.compile(r"(?:(?:https?|ftps?)://|www\.)[^\s<>\"'`|{}\\^\[\]]{1,400}", re.IGNORECASE)


_LOOKED_AT = 20_000  # an answer is shorter; a hundred rows of cells may not be


def addresses(text: str, most: int = 20) -> tuple[str, ...]:
    """The web addresses in a text as they were before `defang`, for an analyst to copy.

    They are live: a card lays each over several runs, of which none is (`cards/_copy.py`).
    """
    seen = visible(text[:_LOOKED_AT])
    if "://" not in seen and "www." not in seen.lower():
        return ()
    found = (each.rstrip(".,;:!?*_)") for each in _ADDRESS.findall(seen))
    return tuple(dict.fromkeys(found))[:most]


def _defang_word(found: re.Match[str]) -> str:
    word = _WEB.sub(_broken_web, found[0])
    word = _OTHER_SCHEME.sub(_broken_scheme, word)
    word = re.sub(r"(?<![:/\w])//(?=\w)", "/ /", word)
    return _HOST.sub(lambda url: _dotless(url[1]) + _dotless(url[2]), word)


def _broken_web(found: re.Match[str]) -> str:
    return found[0].lower().replace("tt", "xx").replace("ftp", "fxp")


def _broken_scheme(found: re.Match[str]) -> str:
    scheme = found[1] or found[2]
    return f"{scheme}:" if scheme.lower() in ("hxxp", "hxxps", "fxp", "fxps") else f"{scheme}[:]"


def _dotless(host: str) -> str:
    return re.sub(r"(?<!\[)\.(?!\])", "[.]", host)


# What makes images and links, also by reference. Broken with a space after the first character.
_LINK = re.compile(r"!(?=\[)|\](?=[(\[:])")
# What starts a tag or an entity, which may stand for a hidden character.
_HTML = re.compile(r"<(?=[a-z/!?])|&(?=#?\w{1,40};)", re.IGNORECASE)
_TAG = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
# What starts a card expression.
_EXPRESSION = re.compile(r"\$(?=\{)|\{(?=\{)")


def for_teams(text: str) -> str:
    """Render a model's Markdown for a Teams message: its structure stays, nothing in it is live."""
    text = _LINK.sub(r"\g<0> ", defang(visible(text)))
    text = _HTML.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", text)
    return _EXPRESSION.sub(r"\g<0> ", text)


def stable_part(text: str) -> str:
    """Cut an unfinished text where its rendering can no longer change: after a whole word."""
    end = max(text.rfind(" "), text.rfind("\n"))
    return text[: end + 1]


def plain(text: str, limit: int) -> str:
    """Render untrusted text as one line without any markup, `limit` characters before escaping."""
    line = " ".join(visible(text[: 4 * limit]).split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    escaped = _MARKDOWN.sub(r"\\\1", for_teams(line))
    return re.sub(r"^(\d*)([-.])(?= |-|$)", r"\1\\\2", escaped)


def unmarked(text: str, limit: int) -> str:
    """Render untrusted text as one line for a field without markup, such as a task's title.

    Who shows it may read HTML, Markdown or neither, so what would begin a tag, a link or a card's
    expression is broken with a space: escaped, it would stand there as an entity where it does not.
    """
    line = " ".join(defang(visible(text[: 4 * limit])).split())
    line = _EXPRESSION.sub(r"\g<0> ", _LINK.sub(r"\g<0> ", _TAG.sub("< ", line)))
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


_TAGS = {
    "p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "h3", "h4", "hr", "blockquote",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def for_sentinel(markdown: str) -> str:
    """Render a model's Markdown as the small, escaped HTML that Sentinel's comments and tasks show.

    No link, image, style or script: raw HTML in the text is shown as text, URLs are defanged before
    Markdown is read and after, and the result is checked once more against the list of tags.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Entities would bring hidden characters and whole URLs back; links are broken anyway.
    parser.disable(["entity", "autolink", "link", "image"])
    html = parser.render(defang(visible(markdown)))
    # After rendering, which takes the backslash out of `www\.evil.example`; the portal reads
    # comments as Markdown once more.
    html = _LINK.sub(r"\g<0> ", defang(html))
    html = re.sub(r"<(/?)h[125-6]>", r"<\1h4>", html)
    return nh3.clean(html, tags=_TAGS, attributes={}, link_rel=None).strip()


def cut_html(html: str, limit: int) -> str:
    """Shorten our own HTML to `limit` characters without leaving a tag open or an entity broken."""
    if len(html) <= limit:
        return html
    note = "<p>(cut)</p>"
    room = limit - len(note)
    while room > 0:
        whole = re.sub(r"(?:<[^<>]*|&[#\w]*)$", "", html[:room])
        shorter = nh3.clean(whole, tags=_TAGS, attributes={}, link_rel=None)
        if len(shorter) + len(note) <= limit:
            return shorter + note
        room -= len(shorter) + len(note) - limit
    return ""


def folded(text: str) -> str:
    """Bring text to the form in which look-alikes compare equal (NFKC, hidden characters out)."""
    if text.isascii():
        return text.casefold()
    return _HIDDEN.sub("", unicodedata.normalize("NFKC", text)).casefold()
